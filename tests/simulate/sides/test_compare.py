"""Both sides replayed in processes: what changes is the difference, and nothing else is."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import spillway.simulate.sides.runs
from spillway.advise.review.effect import Band, Confidence, Effect
from spillway.simulate.backtest.pool import run_each
from spillway.simulate.scenario import ScenarioError
from spillway.simulate.sides import Ask, replay, replay_new
from spillway.simulate.sides.compare import beyond_seen, one_sided, over_ceilings
from spillway.simulate.sides.figures import ClassRun, LaneRun, RunFigures
from spillway.simulate.sides.side import build_side, read_side
from spillway.simulate.sides.traffic import load_traffic, source_of
from support.scenario_files import Files
from support.sides import Change, another_class, binding, trace

CHAT = "inference/chat"


def replayed(change: Change, ask: Ask, lines: list[str] | None = None) -> Effect:
    told: list[str] = [] if lines is None else lines
    return replay(*change.documents(), ask, told.append)


@pytest.fixture
def traffic(tmp_path: Path) -> Path:
    return trace(tmp_path / "t.csv", requests=1200)


def test_a_change_of_nothing_changes_nothing(traffic: Path, tmp_path: Path) -> None:
    ask = Ask(traffic=traffic, cache=tmp_path / "cache")
    lines: list[str] = []
    effect = replayed(Change(), ask, lines)
    assert effect.base == effect.head
    assert effect.difference == Band(0.0)  # one day, so no interval
    assert effect.base.usd_per_month.low is effect.base.usd_per_month.high is None
    assert effect.base.usd_per_month.value > 0
    assert effect.plan_key == "inference/main"
    assert effect.traffic.source == "t.csv"
    assert effect.traffic.days == pytest.approx(1.5 / 24)
    assert effect.traffic.requests == pytest.approx(9 * 1200, rel=0.02)
    assert effect.traffic.sampled
    assert effect.confidence is Confidence.LOW  # an hour and a half
    assert effect.truths == {"gpu": "declared profile", "api": "declared latency, contract price"}
    assert lines[0].startswith("seed 1: ")
    # Kept runs give the same, and are the only ones: the second replay runs nothing.
    assert len(list((tmp_path / "cache").glob("*.json"))) == 1
    again = replayed(Change(), ask)
    assert replace(again, replay_seconds=0) == replace(effect, replay_seconds=0)


def test_a_dearer_provider_costs_more_on_the_same_requests(traffic: Path) -> None:
    change = Change()
    for side in (change.base, change.head):
        side["plan"]["spec"]["routing"]["bindings"] = [binding("chat", "api")]
        side["api"]["spec"]["hosted"]["limits"] = {"requestsPerMinute": 100_000}
    price = change.head["api"]["spec"]["hosted"]["price"]
    price |= {"inputUsdPerMTok": "1.76", "outputUsdPerMTok": "3.52"}
    effect = replayed(change, Ask(traffic=traffic, seeds=2))
    base, head = effect.base, effect.head
    assert head.hosted_usd_per_month == pytest.approx(2 * base.hosted_usd_per_month)
    assert effect.difference.value == pytest.approx(base.hosted_usd_per_month)
    low, high = effect.difference.low, effect.difference.high
    assert low is not None
    assert high is not None
    assert low <= effect.difference.value <= high
    assert effect.traffic.seeds == 2
    for side in (base, head):
        chat, api = side.of(CHAT), side.lane("api")
        assert chat is not None
        assert api is not None
        assert chat.hosted_share == 1.0
        assert chat.usd_per_month == pytest.approx(api.usd_per_month)
        assert chat.objective_percent == 99.0
        assert api.replicas_mean is None
    gpu = base.lane("gpu")
    assert gpu is not None
    assert gpu.replicas_mean == pytest.approx(1.0, rel=0.05)  # its min, idle
    assert gpu.gpu_hours_per_month == pytest.approx(2 * 730, rel=0.05)
    assert base.gpu_usd_per_month == pytest.approx(2 * 730 * 3.85, rel=0.05)


def test_classes_of_one_side_are_said(traffic: Path, tmp_path: Path) -> None:
    change = Change()
    change.base["old"], change.head["new"] = another_class("old"), another_class("new")
    path = trace(tmp_path / "two.csv", "chat", "old", requests=300)
    effect = replayed(change, Ask(traffic=path))
    assert effect.base.of("inference/old") is not None
    assert effect.head.of("inference/old") is None
    new = effect.head.of("inference/new")
    assert new is not None
    assert (new.requests_per_month, new.usd_per_month, new.attainment_percent) == (0, 0, 100)
    base, head = (read_side("side", documents) for documents in change.documents())
    assert [doubt.most for doubt in one_sided(base, head)] == [Confidence.MEDIUM, Confidence.LOW]
    said = " ".join(effect.doubts)
    assert "WorkloadClass inference/new is on the head's side alone" in said
    assert "WorkloadClass inference/old is on the base's side alone" in said
    assert "WorkloadClass inference/new: the traffic has no requests of it" in said
    one, two = effect.base.of(CHAT), effect.head.of(CHAT)
    assert one is not None
    assert two is not None
    assert one.requests_per_month == two.requests_per_month


def test_a_new_plan_is_replayed_alone_and_once(traffic: Path, tmp_path: Path) -> None:
    _, head = Change().documents()
    lines: list[str] = []
    effect = replay_new(head, Ask(traffic=traffic, cache=tmp_path / "cache"), lines.append)
    both = replayed(Change(), Ask(traffic=traffic))
    assert effect.head == both.head
    assert effect.difference == effect.head.usd_per_month
    assert effect.new
    assert not effect.base.classes
    assert not effect.base.lanes
    assert effect.base.usd_per_month.value == 0
    assert effect.percent is None
    assert "CapacityPlan inference/main is new" in " ".join(effect.doubts)
    assert "both sides" not in " ".join(lines)
    assert len(list((tmp_path / "cache").glob("*.json"))) == 1


def test_sides_that_are_alike_are_run_once(traffic: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run: list[str] = []

    def counted(work: Any, runs: Any, *rest: Any, **options: Any) -> Any:
        run.extend(each.side for each in runs)
        return run_each(work, runs, *rest, **options)

    monkeypatch.setattr(spillway.simulate.sides.runs, "run_each", counted)
    replayed(Change(), Ask(traffic=traffic))
    assert run == ["base"]
    change = Change()
    change.head["gpu"]["spec"]["selfHosted"]["replicas"]["max"] += 1
    replayed(change, Ask(traffic=traffic))
    assert run == ["base", "base", "head"]


def test_requests_over_a_ceiling_are_told(tmp_path: Path) -> None:
    """A class that hosted lanes alone serve, and a ceiling that it reaches at once."""
    change = Change()
    for side in (change.base, change.head):
        side["code"] = another_class("code")
        side["plan"]["spec"]["routing"]["bindings"].append(binding("code", "api"))
    change.head["plan"]["spec"]["overflow"] = {"mode": "Split", "ceilingUsd": {"perHour": "0.001"}}
    effect = replayed(change, Ask(traffic=trace(tmp_path / "t.csv", "chat", "code", requests=6000)))
    one, two = effect.base.of("inference/code"), effect.head.of("inference/code")
    assert one is not None
    assert two is not None
    assert one.ceiling_share == 0.0
    assert two.ceiling_share > 0.5
    said = " ".join(effect.doubts)
    share = f"{100 * two.ceiling_share:.2g}%"
    text = f"WorkloadClass inference/code: hosted spending is at its ceiling {share} of the time on head alone"
    assert text in said
    assert "so that part of the difference is of such requests." in said


def test_what_base_pays_for_over_a_ceiling_is_told_too(tmp_path: Path) -> None:
    """A class that hosted lanes alone serve on base, over its ceiling, and that gets own GPUs."""
    change = Change()
    for side in (change.base, change.head):
        side["code"] = another_class("code")
        side["code"]["spec"]["equivalentModels"] = list(side["chat"]["spec"]["equivalentModels"])
        side["plan"]["spec"]["overflow"] = {"mode": "Split", "ceilingUsd": {"perHour": "0.001"}}
    routes = change.base["plan"]["spec"]["routing"]["bindings"], change.head["plan"]["spec"]["routing"]["bindings"]
    routes[0].append(binding("code", "api"))
    routes[1].append(binding("code", "api"))
    path = trace(tmp_path / "t.csv", "chat", "code", requests=6000)
    (same,) = [text for text in replayed(change, Ask(traffic=path)).doubts if "at its ceiling" in text]
    assert re.search(r"at its ceiling \S+% of the time on both sides; what the gateway then", same)
    assert "part of the difference" not in same
    routes[1][-1] = binding("code")
    (moved,) = [text for text in replayed(change, Ask(traffic=path)).doubts if "at its ceiling" in text]
    assert "of the time on base alone; what the gateway then refuses is served, and paid, in the replay" in moved


@pytest.mark.parametrize(
    ("base", "head", "says"),
    [
        (0.16, 0.22, "at its ceiling 16% of the time on base and 22% on head; what the gateway then refuses is served, "
         "and paid, in the replay."),
        (0.16, 0.1601, "at its ceiling 16% of the time on both sides; what"),
        (0.0, 0.22, "at its ceiling 22% of the time on head alone; what"),
        (0.16, 0.0, "in the replay, so that part of the difference is of such requests."),
        (0.0, 0.0, ""),
    ],
)  # fmt: skip
def test_a_ceiling_is_told_once_with_both_figures(base: float, head: float, says: str, traffic: Path) -> None:
    change = Change()
    for side in (change.base, change.head):
        side["plan"]["spec"]["routing"]["bindings"] = [binding("chat", "api")]
    source = source_of(Ask(traffic=traffic))
    both = [read_side(name, documents) for name, documents in zip(("base", "head"), change.documents(), strict=True)]
    sides = [build_side("side", each, ({}, {}), source, load_traffic(source, each.classes), None) for each in both]
    runs = [
        [RunFigures((1.0,), 1.0, 0.0, 3600.0, {}, {CHAT: ClassRun(1, 1.0, 0, 1, 1.0, 1.0, True, ceiling_share=share)})]
        for share in (base, head)
    ]
    found = over_ceilings(sides, runs)
    assert len(found) == bool(says)
    assert says in "".join(doubt.text for doubt in found)


def test_doubts_of_a_new_plan_speak_of_one_side(tmp_path: Path) -> None:
    change = Change()
    change.head["plan"]["spec"]["routing"]["bindings"] = [binding("chat", "api")]
    change.head["plan"]["spec"]["overflow"] = {"mode": "Split", "ceilingUsd": {"perHour": "0.001"}}
    path = trace(tmp_path / "t.csv", "chat", "ghost", requests=6000)
    said = " ".join(replay_new(change.documents()[1], Ask(traffic=path), [].append).doubts)
    assert "hosted spending is at its ceiling" in said
    assert "so what they cost is missing." in said
    assert "both sides" not in said


def test_a_scenario_brings_traffic_truths_and_time(tmp_path: Path) -> None:
    files = Files()
    files.scenario["truth"]["gpu"]["alphaMs"] = 30
    change = Change()
    gpu = change.head["gpu"]["spec"]["selfHosted"]
    gpu["replicas"]["min"] = 3
    effect = replayed(change, Ask(scenario=files.write(tmp_path)))
    assert effect.truths["gpu"] == "scenario scenario.yaml"
    assert effect.traffic.days == pytest.approx(3000 / 86_400)
    assert effect.head.gpu_usd_per_month >= 2.9 * 2 * 3.85 * 730
    assert effect.difference.value > 0


@pytest.mark.parametrize(
    ("before", "after", "measured", "says"),
    [
        (20.0, 24.0, None, ""),
        (20.0, 26.0, None, "26 requests at a time on a replica are more than the 20 that were seen before"),
        (20.0, 26.0, 40, ""),
        (20.0, 41.0, 40, "41 requests at a time on a replica are more than the 40 that were measured"),
        (None, 5.0, None, "CapacityLane inference/gpu is new"),
    ],
)
def test_load_beyond_what_was_seen_is_said(
    before: float | None, after: float, measured: int | None, says: str, traffic: Path
) -> None:
    change = Change()
    if before is None:
        change.base["plan"]["spec"]["lanes"] = ["api"]
    source = source_of(Ask(traffic=traffic))
    both = [read_side(name, documents) for name, documents in zip(("base", "head"), change.documents(), strict=True)]
    loaded = load_traffic(source, both[0].classes)
    sides = [build_side("side", each, ({}, {}), source, loaded, None) for each in both]
    if measured is not None:
        sides[1] = replace(sides[1], truths=replace(sides[1].truths, largest_batch={"gpu": measured}))
    one, two = (
        RunFigures(
            (1.0,), 1.0, 0.0, 3600.0, {} if batch is None else {"gpu": LaneRun(1.0, 1, 1.0, busy_batch=batch)}, {}
        )
        for batch in (before, after)
    )
    found = beyond_seen(sides, [one], [two])
    assert bool(found) == bool(says)
    assert says in " ".join(doubt.text for doubt in found)


@pytest.mark.parametrize(
    ("part", "field", "value", "says"),
    [
        (
            "gpu",
            "replicas",
            {"min": 3, "max": 2},
            r"head: CapacityLane gpu: spec\.selfHosted\.replicas: min must not be",
        ),
        ("gpu", "wrong", 1, r"head: CapacityLane gpu: spec\.selfHosted\.wrong: there is no such field"),
    ],
)
def test_bad_documents_are_one_line(part: str, field: str, value: object, says: str, traffic: Path) -> None:
    change = Change()
    change.head[part]["spec"]["selfHosted"][field] = value
    with pytest.raises(ScenarioError, match=says) as caught:
        replayed(change, Ask(traffic=traffic))
    assert "\n" not in str(caught.value)


def test_two_plans_are_not_compared(traffic: Path) -> None:
    change = Change()
    change.head["plan"]["metadata"]["name"] = "other"
    change.head["chat"]["spec"]["planRef"]["name"] = "other"
    with pytest.raises(
        ScenarioError, match=r"CapacityPlan inference/other is another one than the base's inference/main"
    ):
        replayed(change, Ask(traffic=traffic))


def test_a_plan_without_classes_is_an_error(traffic: Path) -> None:
    change = Change()
    for side in (change.base, change.head):
        del side["chat"]
    with pytest.raises(ScenarioError, match=r"CapacityPlan inference/main: no WorkloadClass has it as its planRef"):
        replayed(change, Ask(traffic=traffic))
