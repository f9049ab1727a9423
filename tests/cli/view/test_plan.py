"""``spillway plan``: what mode Apply would change, what holds it back, and the exit status."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cli.view.objects import change, cluster, condition, conditions, plan, run, status

Patch = pytest.MonkeyPatch
Capture = pytest.CaptureFixture[str]


def told(monkeypatch: Patch, capsys: Capture, made: dict[str, Any], *arguments: str, **more: Any) -> tuple[int, str]:
    code = run(monkeypatch, cluster(made, **more), "plan", *arguments)
    out = capsys.readouterr().out
    assert all(len(line) <= 80 for line in out.splitlines())
    return code, " ".join(out.split())


def settled() -> dict[str, Any]:
    lane = {"name": "gpu", "current": 4, "ready": 4, "recommended": 4}
    weights = [{"class": "chat", "route": "front", "lanes": [{"lane": "gpu", "now": 100, "wanted": 100}]}]
    return status(lanes=[lane], weights=weights)


def test_replicas_weights_and_dollars(monkeypatch: Patch, capsys: Capture) -> None:
    code, text = told(monkeypatch, capsys, plan(status()))
    assert code == 0
    assert "lane gpu: 6 -> 4 replicas" in text
    assert "route front (class chat): gpu 90 -> 97, hosted 10 -> 3" in text
    assert "$24.00 an hour now, $16.30 expected" in text
    assert "lane gpu: 3 -> 4: Within the last 300 s 4 replicas were needed." in text
    assert text.endswith("=> 2 changes that mode Apply would make; mode Recommend makes none.")


def test_nothing_to_change_says_so(monkeypatch: Patch, capsys: Capture) -> None:
    assert told(monkeypatch, capsys, plan(settled()))[1].endswith("=> Nothing to change.")


@pytest.mark.parametrize(("made", "plain", "detailed"), [(status(), 0, 2), (settled(), 0, 0)])
def test_the_exit_status_is_terraforms_only_where_asked_for(
    monkeypatch: Patch, capsys: Capture, made: dict[str, Any], plain: int, detailed: int
) -> None:
    assert told(monkeypatch, capsys, plan(made))[0] == plain
    assert told(monkeypatch, capsys, plan(made), "--detailed-exitcode")[0] == detailed


def test_a_weight_that_is_not_in_the_rule_yet_is_a_change(monkeypatch: Patch, capsys: Capture) -> None:
    lanes = [{"lane": "gpu", "now": 100, "wanted": 90}, {"lane": "hosted", "wanted": 10}]
    made = settled() | {"weights": [{"class": "chat", "route": "front", "lanes": lanes}]}
    assert "gpu 100 -> 90, hosted none -> 10" in told(monkeypatch, capsys, plan(made))[1]


def test_proposals_are_listed_with_their_dollars_and_are_no_changes(monkeypatch: Patch, capsys: Capture) -> None:
    code, text = told(monkeypatch, capsys, plan(settled()), "--detailed-exitcode", changes=[change()])
    assert code == 0
    assert "lower-gpu: min 4 of lane gpu bound for 6 days, -$310.50 a month; until" in text
    assert "`kubectl spillway approve lower-gpu -n inference`" in text


@pytest.mark.parametrize(
    ("made", "ends"),
    [
        (plan(status(), mode="Apply"), "2 changes about to be made: mode Apply."),
        (plan(status(), mode="Apply", paused=True), "2 changes that would be made, but nothing is changed now."),
        (
            plan(status(lanes=[], weights=[]), mode="Observe"),
            "Recommend to see what would be changed.",
        ),
        (plan(), "What would be changed is not known: the operator has not reported on this plan."),
    ],
    ids=["apply", "paused", "observe", "never-reported"],
)
def test_the_last_line_of_each_state(monkeypatch: Patch, capsys: Capture, made: dict[str, Any], ends: str) -> None:
    assert told(monkeypatch, capsys, made)[1].endswith(ends)


def test_what_keeps_changes_from_being_made_is_told(monkeypatch: Patch, capsys: Capture) -> None:
    blind = conditions(condition("MetricsAvailable", "False", "MetricsError", "no answer"))
    assert "held no answer." in told(monkeypatch, capsys, plan(status(conditions=blind)))[1]
    assert "has not reported for 15 min" in told(monkeypatch, capsys, plan(status(age=900)))[1]


def test_the_documents_keys_are_stable(monkeypatch: Patch, capsys: Capture) -> None:
    assert run(monkeypatch, cluster(plan(status()), changes=[change()]), "plan", "-o", "json") == 0
    (found,) = json.loads(capsys.readouterr().out)["plans"]
    assert list(found) == [
        "namespace", "name", "mode", "changes", "replicas", "weights", "usdPerHourNow", "usdPerHourExpected",
        "guards", "waiting", "blockers",
    ]  # fmt: skip
    assert found["replicas"] == [{"lane": "gpu", "now": 6, "wanted": 4}]
    assert found["weights"][0]["wanted"] == {"gpu": 97, "hosted": 3}
    assert found["waiting"][0]["name"] == "lower-gpu"
