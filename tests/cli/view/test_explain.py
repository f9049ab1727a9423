"""``spillway explain``: the chain as the status tells it, and the answer in the last line."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cli.view.objects import NS, WHY, cluster, link, plan, run, status
from spillway.api import CapacityPlan, LaneStatus
from spillway.cli.view.explain import lane_answer
from spillway.cli.view.world import PlanSeen

Patch = pytest.MonkeyPatch
Capture = pytest.CaptureFixture[str]


def printed(monkeypatch: Patch, capsys: Capture, told: dict[str, Any] | None, *arguments: str) -> list[str]:
    assert run(monkeypatch, cluster(plan(told)), "explain", *arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 80 for line in lines)
    return lines


def test_every_step_is_a_line_with_its_figure_in_order(monkeypatch: Patch, capsys: Capture) -> None:
    lines = printed(monkeypatch, capsys, status(), "gpu")
    steps = [line.split() for line in lines[1:] if line.startswith("  ") and line[2] != " "]
    assert [words[0] for words in steps] == [each["step"].lower() for each in WHY]
    assert [words[1] for words in steps] == ["12.5", "14.1", "4.9", "$3.85/h", "3", "4", "4", "3%"]
    assert lines[0] == "lane inference/gpu of plan inference/main, mode Recommend"
    assert " ".join(" ".join(lines).split()).endswith(
        "=> 4 replicas recommended, 6 asked for now: 3 would cost least, but within the last 300 s 4 replicas were"
        " needed."
    )


def test_without_a_name_every_lane_of_own_gpus(monkeypatch: Patch, capsys: Capture) -> None:
    text = "\n".join(printed(monkeypatch, capsys, status()))
    assert "lane inference/gpu" in text
    assert "hosted of plan" not in text


@pytest.mark.parametrize("name", ["chat", "class/chat", "inference/chat", "wclass/inference/chat"])
def test_a_class_is_found_by_each_of_its_names(monkeypatch: Patch, capsys: Capture, name: str) -> None:
    lines = printed(monkeypatch, capsys, status(), name)
    assert lines[0].startswith("class inference/chat of plan")
    assert lines[-1] == "=> 3% of inference/chat goes to hosted lanes."


def test_a_class_may_be_asked_for_in_its_own_namespace(monkeypatch: Patch, capsys: Capture) -> None:
    assert run(monkeypatch, cluster(plan(status())), "explain", "code", "-n", "team-a") == 0
    assert "class team-a/code of plan inference/main" in capsys.readouterr().out


def test_a_hosted_lane_says_that_it_is_one(monkeypatch: Patch, capsys: Capture) -> None:
    assert printed(monkeypatch, capsys, status(), "lane/hosted")[-1] == (
        "=> Lane hosted is hosted: 3% of the plan's requests."
    )


def test_a_name_that_nothing_has_is_one_line_with_those_that_there_are(monkeypatch: Patch, capsys: Capture) -> None:
    assert run(monkeypatch, cluster(plan(status())), "explain", "typo") == 1
    err = capsys.readouterr().err
    assert "no lane or class typo of plan inference/main, which has lane/gpu, lane/hosted, class/inference/chat" in err


def test_a_silent_operator_and_one_that_never_spoke(monkeypatch: Patch, capsys: Capture) -> None:
    assert "The operator has not reported for 15 min" in "\n".join(printed(monkeypatch, capsys, status(age=900), "gpu"))
    assert printed(monkeypatch, capsys, None, "gpu")[1:] == [
        "The operator has not reported on this plan yet: nothing is known."
    ]


def seen(mode: str = "Apply") -> PlanSeen:
    return PlanSeen(CapacityPlan.parse(plan(status(), mode=mode)), 0.0)


def held(text: str) -> dict[str, Any]:
    return link("Held", "4", "replicas", text)


@pytest.mark.parametrize(
    ("current", "recommended", "why", "expected"),
    [
        (4, 4, [link("Cheapest", "4", "replicas", ".")], "4 replicas, as now, which costs least."),
        (
            4,
            4,
            [link("Cheapest", "4", "replicas", "."), link("Guard", "4", "replicas", "binds: replicas.max is 4.")],
            "4 replicas, as now, which costs least within the bounds: replicas.max is 4.",
        ),
        (2, 1, [link("Cheapest", "1", "replicas", ".")], "1 replica wanted, 2 asked for now, which costs"),
        (4, 4, [held("Prometheus does not answer.")], "4 replicas as now: Prometheus does not answer."),
        (
            4,
            3,
            [link("Cheapest", "3", "replicas", "."), held("spec.paused is true: nothing is changed.")],
            "3 replicas would be right, which costs least, 4 stay: spec.paused is true: nothing is changed.",
        ),
        (4, None, [held("mode is Observe: costs only.")], "No number is recommended, 4 stay: mode is Observe"),
        (None, None, [], "No number is recommended, an unknown number stay."),
    ],
    ids=["steady", "bound", "down", "blind", "paused", "observe", "nothing-known"],
)
def test_the_answer_of_each_state(
    current: int | None, recommended: int | None, why: list[dict[str, Any]], expected: str
) -> None:
    wire = {"name": "gpu", "current": current, "recommended": recommended, "why": why}
    assert lane_answer(seen(), LaneStatus.model_validate(wire)).startswith(expected)


def test_a_status_without_chains_tells_the_operators_sentence(monkeypatch: Patch, capsys: Capture) -> None:
    lane = {"name": "gpu", "current": 2, "recommended": 2, "message": "2 replicas are enough."}
    lines = printed(monkeypatch, capsys, status(lanes=[lane]), "gpu")
    assert lines[1:] == ["2 replicas are enough.", "=> 2 replicas, as now."]


def test_where_the_lane_stands_is_told(monkeypatch: Patch, capsys: Capture) -> None:
    told = status()
    told["lanes"][0]["move"] = {
        "state": "Draining",
        "since": "2026-01-05T09:00:00Z",
        "reason": "RequestsRun",
        "message": "3 requests run",
    }
    assert any("Draining: 3 requests run" in line for line in printed(monkeypatch, capsys, told, "gpu"))


def test_the_documents_keys_are_stable(monkeypatch: Patch, capsys: Capture) -> None:
    assert run(monkeypatch, cluster(plan(status())), "explain", "gpu", "-o", "json") == 0
    (found,) = json.loads(capsys.readouterr().out)["explained"]
    assert list(found) == [
        "kind", "name", "plan", "why", "message", "move", "answer", "reportedSecondsAgo", "operatorSilent",
    ]  # fmt: skip
    assert found["why"] == WHY
    assert found["plan"] == f"{NS}/main"
