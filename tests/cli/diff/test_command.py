"""The command: plans, policies, exit statuses, forms of output, options without effect."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import spillway.cli.diff.history
import spillway.simulate.sides
from advise.review.builders import (
    ALL,
    CHAT,
    CHAT_FIGURES,
    GPU,
    HOSTED,
    PLAN,
    Document,
    effect,
    made,
    swapped,
    with_spec,
)
from cli.diff.sides import Captured, document, refused, run, sides
from spillway.advise.review.effect import Band, Effect, SideFigures
from spillway.cli.main import main
from spillway.simulate.scenario.errors import ScenarioError
from spillway.simulate.sides import Ask

Documents = tuple[Document, ...]
CHEAPER = swapped(with_spec(GPU, {"selfHosted.replicas.min": 1}))
LOOSENED = swapped(with_spec(CHAT, {"dataPolicy": "SelfHostedOnly"}))


class Replays:
    """Stands for the replay: what it was asked, and what it answers."""

    def __init__(self, answer: Effect | ScenarioError) -> None:
        self.answer = answer
        self.asked: list[tuple[list[str], list[str], Ask]] = []

    def __call__(self, base: Any, head: Any, ask: Ask, progress: Any) -> Effect:
        def names(documents: list[Mapping[str, Any]]) -> list[str]:
            return [f"{d['kind']} {d['metadata']['namespace']}/{d['metadata']['name']}" for d in documents]

        self.asked.append((names(base), names(head), ask))
        if isinstance(self.answer, ScenarioError):
            raise self.answer
        return self.answer


def replaying(monkeypatch: pytest.MonkeyPatch, answer: Effect | ScenarioError | None = None) -> Replays:
    found = Replays(answer or effect())
    monkeypatch.setattr(spillway.simulate.sides, "replay", found)
    return found


def test_help_fits_80_columns_and_tells_the_exit_statuses(capsys: Captured) -> None:
    out = run(capsys, "--help")
    assert max(map(len, out.splitlines())) <= 80
    assert "3 a policy failed" in " ".join(out.split())


def test_without_traffic_changes_and_policies_are_told_and_cost_is_not(tmp_path: Path, capsys: Captured) -> None:
    base, head = sides(tmp_path, *CHEAPER)
    out = run(capsys, base, head)
    assert out.startswith("1 change to plan inference/main; cost and SLO not estimated.\n")
    assert "No traffic was given to replay (--traffic FILE, --scenario FILE" in out
    assert "skip" in out
    assert max(map(len, out.splitlines())) <= 80


def test_the_replay_gets_the_plans_own_documents_and_what_was_asked(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = replaying(monkeypatch)
    other = made("CapacityPlan", "other", {"lanes": ["gpu"]}, "team-b")
    base, head = sides(tmp_path, *CHEAPER, other, base=(*ALL, other))
    traffic = tmp_path / "t.csv"
    given = ("--traffic", str(traffic), "--seeds", "3", "--jobs", "1")
    made_document = document(capsys, base, head, *given)
    names = ["CapacityPlan inference/main", "CapacityLane inference/gpu", "CapacityLane inference/hosted",
             "WorkloadClass inference/chat"]  # fmt: skip
    ((old, new, ask),) = found.asked
    assert old == new == names
    assert (ask.traffic, ask.seeds, ask.jobs) == (traffic, 3, 1)
    assert ask.prometheus_url is ask.scenario is None
    assert made_document["plans"][0]["effect"]["differenceUsd"]["value"] == "-1000.00"
    assert made_document["unchanged"] == ["team-b/other"]


def test_prometheus_is_read_once_for_both_sides(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = replaying(monkeypatch)
    read: list[tuple[Ask, list[str]]] = []

    def save(ask: Ask, documents: list[Mapping[str, Any]]) -> Path:
        read.append((ask, [each["kind"] for each in documents]))
        return Path("scenario.yaml")

    monkeypatch.setattr(spillway.cli.diff.history, "save", save)
    base, head = sides(tmp_path, *CHEAPER)
    run(capsys, base, head, "--prometheus-url", "http://p", "--days", "3", "--config", "c.yaml")
    ((asked, kinds),) = read
    assert (asked.prometheus_url, asked.days, asked.config) == ("http://p", 3, Path("c.yaml"))
    assert kinds == ["CapacityPlan", "CapacityLane", "CapacityLane", "WorkloadClass"]
    ((_, _, ask),) = found.asked
    assert ask.scenario == Path("scenario.yaml")


def test_list_prices_are_the_same_on_both_sides_and_in_force_today(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    prices: list[Any] = []

    def replay(base: Any, head: Any, ask: Ask, progress: Any) -> Effect:
        prices.extend(
            each["spec"]["hosted"]["price"] for side in (base, head) for each in side if "hosted" in each["spec"]
        )
        return effect()

    monkeypatch.setattr(spillway.simulate.sides, "replay", replay)
    unpriced = with_spec(HOSTED, {"hosted.price": None})
    base, head = sides(tmp_path, *CHEAPER[:2], unpriced, CHAT, base=(*ALL[:2], unpriced, CHAT))
    run(capsys, base, head, "--traffic", "t.csv")
    assert len(prices) == 2
    assert prices[0] == prices[1]
    assert set(prices[0]) == {"inputUsdPerMTok", "cachedInputUsdPerMTok", "outputUsdPerMTok"}


def test_a_replay_that_fails_is_an_error_and_the_review_is_still_printed(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    replaying(monkeypatch, ScenarioError("CapacityLane inference/gpu: spec.selfHosted.profile: is missing"))
    base, head = sides(tmp_path, *CHEAPER)
    assert main(["diff", base, head, "--traffic", "t.csv"]) == 1
    printed = capsys.readouterr()
    assert "fewest replicas 2 -> 1" in printed.out
    assert printed.err == (
        "error: plan inference/main: CapacityLane inference/gpu: spec.selfHosted.profile: is missing\n"
    )


@pytest.mark.parametrize(
    ("usd", "fail_on", "status"),
    [
        (-100, [], 0),
        (600, [], 0),
        (600, ["--fail-on", "warn"], 3),
        (6000, [], 3),
        (6000, ["--fail-on", "never"], 0),
        (-100, ["--fail-on", "warn"], 0),
    ],
)
def test_exit_statuses(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch, usd: float, fail_on: list[str], status: int
) -> None:
    replaying(monkeypatch, effect(usd))
    policy = tmp_path / "policy.yaml"
    policy.write_text('monthlyCost: {increase: {warnUsd: "500", failUsd: "5000"}}', encoding="utf-8")
    base, head = sides(tmp_path, *CHEAPER)
    run(capsys, base, head, "--traffic", "t.csv", "--policy", str(policy), *fail_on, status=status)


def test_a_policy_needs_no_replay(tmp_path: Path, capsys: Captured) -> None:
    base, head = sides(tmp_path, base=LOOSENED)
    assert "fail    Data policy" in run(capsys, base, head, status=3)
    policy = tmp_path / "policy.yaml"
    policy.write_text("dataPolicy: {loosened: ignore}", encoding="utf-8")
    run(capsys, base, head, "--policy", str(policy))


BINDING = {"class": "chat", "ownership": "Adopted", "httpRoute": "r", "rule": "a", "backends": {"gpu": "vllm"}}
ROUTED = swapped(with_spec(PLAN, {"routing": {"plane": "GatewayAPI", "bindings": [BINDING]}}))
OWN = with_spec(CHAT, {"dataPolicy": "SelfHostedOnly"})
MISTYPED = swapped(with_spec(CHAT, {"planRef": {"name": "mian"}}))
HAUNTED = swapped(with_spec(PLAN, {"lanes": ["gpu", "hosted", "ghost"]}))


def routed(**changes: Any) -> Documents:
    binding = {**BINDING, **changes}
    return swapped(with_spec(PLAN, {"routing": {"plane": "GatewayAPI", "bindings": [binding]}}))


@pytest.mark.parametrize(
    ("base", "head", "policy", "words"),
    [
        (ALL, MISTYPED, "fallback", "names plan inference/mian"),
        (ALL, MISTYPED, "references", "plan inference/mian does not exist"),
        ((*ALL[:3], OWN), (*ALL[:3], made("WorkloadClass", "talk", CHAT["spec"])), "dataPolicy", "prompts of talk"),
        (ALL, HAUNTED, "references", "CapacityLane inference/ghost"),
        (ROUTED, routed(backends={"gpuu": "vllm"}), "references", "gpuu is not in spec.lanes"),
        (ROUTED, routed(**{"class": "chatt"}), "references", "no WorkloadClass chatt in this plan"),
    ],
)  # fmt: skip
def test_mistakes_that_need_no_replay_to_be_seen_fail(
    tmp_path: Path, capsys: Captured, base: Documents, head: Documents, policy: str, words: str
) -> None:
    found = document(capsys, *sides(tmp_path, *head, base=base), status=3)
    results = [each for plan in found["plans"] for each in plan["policies"] if each["policy"] == policy]
    assert any(each["verdict"] == "fail" and words in each["message"] for each in results)
    out = run(capsys, *sides(tmp_path, *head, base=base), status=3)
    assert max(map(len, out.splitlines())) <= 80


def test_a_removed_class_warns(tmp_path: Path, capsys: Captured) -> None:
    assert "warn    Fallback lanes   class chat is removed" in run(capsys, *sides(tmp_path, *ALL[:3]))


def test_a_plan_without_an_estimate_can_fail(tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    replaying(monkeypatch)
    gone = (*ALL[1:3],)
    traffic = ("--traffic", "t.csv")
    policy = tmp_path / "policy.yaml"
    policy.write_text("notEstimated: fail\nfallback: {classRemoved: ignore}", encoding="utf-8")
    given = sides(tmp_path, *gone)
    assert "warn    Estimate" in run(capsys, *given, *traffic)
    run(capsys, *given, *traffic, "--policy", str(policy), status=3)
    run(capsys, *given, "--policy", str(policy))
    policy.write_text('monthlyCost: {increase: {failUsd: "9"}}', encoding="utf-8")
    assert "the policy file limits the monthly cost, but" in " ".join(
        run(capsys, *sides(tmp_path, *CHEAPER), "--policy", str(policy)).split()
    )


def test_a_new_plan_is_replayed_alone(tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    answers: list[Effect | ScenarioError] = [
        replace(effect(50_000), base=SideFigures(Band(0, 0, 0), 0, 0, (), ()), difference=Band(60_000, 60_000, 60_000)),
        ScenarioError("no requests"),
    ]

    def replay_new(head: Any, ask: Ask, progress: Any) -> Effect:
        asked.append([each["metadata"]["name"] for each in head])
        answer = answers.pop(0)
        if isinstance(answer, ScenarioError):
            raise answer
        return replace(answer, new=True)

    monkeypatch.setattr(spillway.simulate.sides, "replay_new", replay_new)
    policy = tmp_path / "policy.yaml"
    policy.write_text('monthlyCost: {increase: {failUsd: "50000"}}', encoding="utf-8")
    other = made("CapacityPlan", "other", {"lanes": ["gpu"]})
    given = (*sides(tmp_path, base=(other, GPU)), "--traffic", "t.csv", "--plan", "inference/main")
    out = run(capsys, *given, "--policy", str(policy), status=3)
    assert out.startswith("New plan: $60,000 a month; SLO held.")
    assert asked == [["main", "gpu", "hosted", "chat"]]
    (plan,) = document(capsys, *given)["plans"]
    assert plan["notEstimated"] == "The plan is new, and a replay of it alone could not be done: no requests"
    assert {each["policy"]: each["verdict"] for each in plan["policies"]}["notEstimated"] == "warn"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("monthlycost: {}", "monthlycost: there is no such field; did you mean monthlyCost?"),
        (
            "monthlyCost: {increase: {warnUds: 5}}",
            "monthlyCost.increase.warnUds: there is no such field; did you mean warnUsd?",
        ),
        ("slo: {zzz: 5}", "slo.zzz: there is no such field; known are missed, missedAsBefore, warnMore"),
        (
            "confidence: {low: off}",
            "confidence.low: give 'ignore', 'warn' or 'fail'; YAML reads off as false unless you quote it",
        ),
        ("slo: {missed: explode}", "slo.missed: "),
        ("slo: {}\nslo: {}", "line 2: 'slo' is given twice; remove one"),
        ("a: [", "mend the YAML"),
        ("- a", "give fields by name"),
        ("monthlyCost: {increase: {warnUsd: -5}}", "monthlyCost.increase.warnUsd: "),
    ],
)
def test_wrong_policy_files(tmp_path: Path, capsys: Captured, text: str, words: str) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(text, encoding="utf-8")
    line = refused(capsys, *sides(tmp_path), "--policy", str(policy))
    assert words in line
    assert f"--policy {policy}" in line


def test_an_empty_policy_file_is_the_defaults_and_one_that_is_not_there_is_refused(
    tmp_path: Path, capsys: Captured
) -> None:
    (tmp_path / "policy.yaml").write_text("# nothing\n", encoding="utf-8")
    base, head = sides(tmp_path)
    run(capsys, base, head, "--policy", str(tmp_path / "policy.yaml"))
    assert refused(capsys, base, head, "--policy", "nowhere.yaml") == (
        "error: --policy nowhere.yaml: there is no such file; for one in a Git revision give REVISION:PATH"
    )
    line = refused(capsys, base, head, "--policy", base)
    assert line == f"error: --policy {base}: is a folder; give the policy file in it"
    run(capsys, base, head, "--policy", os.devnull)
    assert "standard input is for manifests" in refused(capsys, base, head, "--policy", "-")


def test_several_plans_are_reviewed_each_by_itself_and_one_can_be_picked(tmp_path: Path, capsys: Captured) -> None:
    other = (
        made("CapacityPlan", "other", {"lanes": ["b"]}, "team-b"),
        made("CapacityLane", "b", GPU["spec"], "team-b"),
    )
    changed = with_spec(other[0], {"mode": "Apply"})
    base, head = sides(tmp_path, *CHEAPER, changed, other[1], base=(*ALL, *other))
    found = document(capsys, base, head)
    assert [plan["plan"] for plan in found["plans"]] == ["inference/main", "team-b/other"]
    (only,) = document(capsys, base, head, "--plan", "team-b/other")["plans"]
    assert only["changes"][0]["message"].startswith("plan team-b/other: mode Recommend -> Apply: the operator changes")
    line = refused(capsys, base, head, "--plan", "a/b")
    assert line.endswith("there is no such plan on either side; there are inference/main, team-b/other")


def test_lanes_and_classes_without_their_plan_are_told_all_the_same(tmp_path: Path, capsys: Captured) -> None:
    base, head = sides(
        tmp_path, with_spec(CHAT, {"latency": "Background"}), with_spec(GPU, {"models": ["n"]}), base=(CHAT, GPU)
    )
    found = document(capsys, base, head)
    assert [plan["plan"] for plan in found["plans"]] == ["inference/main", None]
    assert found["plans"][0]["notEstimated"].startswith("Plan inference/main is not in the manifests")
    assert found["plans"][1]["changes"][0]["field"] == "spec.models"
    assert "1 change to lanes that no plan names" in run(capsys, base, head)


def test_nothing_changes(tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    found = replaying(monkeypatch)
    base, head = sides(tmp_path)
    assert run(capsys, base, head, "--traffic", "t.csv") == (
        "No capacity plan, lane or workload class changes (inference/main).\n"
    )
    assert not found.asked
    out = run(capsys, base, head, "-o", "markdown")
    assert out.splitlines()[0] == "<!-- spillway-diff: no change tag=default -->"


def test_the_output_goes_to_a_file(tmp_path: Path, capsys: Captured) -> None:
    base, head = sides(tmp_path, *CHEAPER)
    target = tmp_path / "out.md"
    assert run(capsys, base, head, "-o", "markdown", "--to", str(target), "--tag", "prod") == ""
    assert target.read_text("utf-8").startswith("<!-- spillway-diff: inference/main tag=prod -->\n### 1 change to")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--days", "3"], "--days belongs to --prometheus-url"),
        (["--seeds", "3"], "--seeds belongs to a replay"),
        (["--jobs", "3"], "--jobs belongs to a replay"),
        (["--config", "c", "--traffic", "t"], "--config belongs to --prometheus-url"),
        (["--traffic", "t", "--scenario", "s"], "--traffic and --scenario: give one source of traffic"),
        (["--tag", "x"], "--tag belongs to -o markdown"),
        (["--tag", "x --> y", "-o", "markdown"], "--tag x --> y: write letters"),
        (["--fail-on", "sometimes"], "sometimes"),
    ],
)
def test_options_without_effect_are_refused(tmp_path: Path, capsys: Captured, options: list[str], words: str) -> None:
    assert words in refused(capsys, *sides(tmp_path), *options, status=2)


def test_the_json_document_is_stable(tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    missed = replace(CHAT_FIGURES, attainment_percent=98.99, held=False, misses_per_month=10_100.0)
    replaying(monkeypatch, effect(classes=(missed,)))
    base, head = sides(tmp_path, *swapped(with_spec(HOSTED, {"hosted.price.outputUsdPerMTok": "0.6"})))
    found = json.loads(run(capsys, base, head, "--traffic", "t.csv", "-o", "json", status=3))
    assert (found["version"], found["verdict"]) == (1, "fail")
    (plan,) = found["plans"]
    assert plan["changes"] == [
        {
            "kind": "CapacityLane",
            "object": "inference/hosted",
            "field": "spec.hosted.price.outputUsdPerMTok",
            "before": "0.4",
            "after": "0.6",
            "message": "hosted lane hosted: output price $0.40 -> $0.60 per million tokens (+50%)",
            "bearing": "neutral",
            "severity": "medium",
        }
    ]
    assert set(plan) == {
        "plan", "headline", "verdict", "changes", "policies", "effect", "notEstimated", "textDiff",
    }  # fmt: skip
    assert [each["policy"] for each in plan["policies"]] == [
        "dataPolicy", "fallback", "references", "notEstimated", "monthlyCost.increase", "monthlyCost.decrease", "slo",
        "budgets", "ceilings", "confidence",
    ]  # fmt: skip
    assert set(plan["effect"]) == {
        "differenceUsd", "differencePercent", "confidence", "base", "head", "traffic", "notKnown", "lanesRestOn",
        "newPlan",
    }  # fmt: skip
    assert plan["effect"]["head"]["classes"][0]["attainmentPercent"] == "98.9900"
    assert plan["effect"]["base"]["lanes"][0]["usd"] == "8000.00"
    assert plan["effect"]["differencePercent"] == "-10.00"
    assert "+      outputUsdPerMTok: '0.60'" in plan["textDiff"] or "+      outputUsdPerMTok: '0.6'" in plan["textDiff"]
