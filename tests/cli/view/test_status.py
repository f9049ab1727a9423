"""``spillway status``: the verdict, each thing that is wrong in one sentence with its way out, and the exit status."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cli.view.objects import (
    NS,
    ago,
    change,
    cluster,
    condition,
    conditions,
    forbidden,
    plan,
    run,
    status,
)
from spillway.kube import CLASSES, LANE_CHANGES, NAMESPACES, PLANS, Kube, KubeError

Patch = pytest.MonkeyPatch
Capture = pytest.CaptureFixture[str]


def told(monkeypatch: Patch, capsys: Capture, found: Kube, *arguments: str) -> tuple[int, str]:
    """Exit status and the text with its line breaks taken out."""
    code = run(monkeypatch, found, "status", *arguments)
    out = capsys.readouterr().out
    assert all(len(line) <= 80 for line in out.splitlines()), out
    return code, " ".join(out.split())


def document(monkeypatch: Patch, capsys: Capture, found: Kube) -> tuple[int, dict[str, Any]]:
    code = run(monkeypatch, found, "status", "-o", "json")
    return code, json.loads(capsys.readouterr().out)["plans"][0]


def test_a_healthy_plan_needs_nobody(monkeypatch: Patch, capsys: Capture) -> None:
    code, text = told(monkeypatch, capsys, cluster(plan(status())))
    assert code == 0
    assert "inference/main Recommend healthy, reported" in text
    assert "gpu 6 5 4 62% - $23.10" in text
    assert "$24.00 an hour, $22.20 less than all lanes at their max ($46.20); $16.30 expected" in text
    assert "hosted 3% of the requests" in text
    assert "ceilings $12.10 of $400 this day" in text
    assert "chat $1,250.00 of $4,000.00 this month, $3,100.00 expected" in text
    assert "ACT" not in text


def test_more_dollars_than_the_static_fleet_are_told_as_more(monkeypatch: Patch, capsys: Capture) -> None:
    totals = {"billedUsdPerHour": "50.00", "staticUsdPerHour": "46.20", "savingUsdPerHour": "-3.80"}
    assert "$50.00 an hour, $3.80 more than" in told(monkeypatch, capsys, cluster(plan(status(totals=totals))))[1]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (condition("Ready", "False", "AutoscalerConflict", "HPA x scales vllm"), "HPA x scales vllm. Correct what"),
        (condition("MetricsAvailable", "False", "MetricsError", "no answer"), "no answer. Replicas and weights are"),
        (condition("SpillArmed", "False", "QueueUnlimited", "no limit"), "no limit. Until then overflow queues"),
        (condition("BudgetAtRisk", "True", "CeilingReached", "all gone"), "all gone. Raise spec.overflow.ceilingUsd"),
        (condition("CapacityUnavailable", "True", "PodsNotReady", "2 not Ready"), "`kubectl describe pod`"),
        (condition("Degraded", "True", "LaneNotMeasured", "lane gpu is mute"), "lane gpu is mute. `spillway doctor`"),
    ],
)
def test_a_bad_condition_is_one_sentence_with_the_way_out(
    monkeypatch: Patch, capsys: Capture, bad: dict[str, Any], said: str
) -> None:
    code, text = told(monkeypatch, capsys, cluster(plan(status(conditions=conditions(bad)))))
    assert code == 1
    assert "1 thing needs a person" in text
    assert said in text


@pytest.mark.parametrize(
    "note",
    [
        condition("ManualOverride", "True", "ReplicasSetByHand", "kubectl set 9 replicas"),
        condition("SpillArmed", "Unknown", "SpillUnproven", "nobody has seen it"),
        condition("FromALaterVersion", "True", "Whatever", "who knows"),
    ],
)
def test_what_ends_by_itself_or_is_not_known_needs_nobody(
    monkeypatch: Patch, capsys: Capture, note: dict[str, Any]
) -> None:
    assert told(monkeypatch, capsys, cluster(plan(status(conditions=conditions(note)))))[0] == 0


def test_one_cause_is_told_once(monkeypatch: Patch, capsys: Capture) -> None:
    bad = [
        condition("Ready", "False", "LaneInvalid", "lane gpu: no price"),
        condition("Stalled", "True", "LaneInvalid", "lane gpu: no price"),
        condition("MetricsAvailable", "False", "MetricsError", "no answer"),
        condition("Degraded", "True", "MetricsError", "no answer; held"),
    ]
    code, found = document(monkeypatch, capsys, cluster(plan(status(conditions=conditions(*bad)))))
    assert code == 1
    assert [each["subject"] for each in found["findings"]] == ["Ready", "MetricsAvailable"]


def test_a_dead_operator_is_told_with_its_age_and_the_deployments_own_replicas(
    monkeypatch: Patch, capsys: Capture
) -> None:
    code, text = told(monkeypatch, capsys, cluster(plan(status(age=14 * 60 + 5)), deployment=(7, 2)))
    assert code == 1
    assert "the operator has not reported for 14 min" in text
    assert "gpu 7 2 4" in text
    assert "`kubectl get pods -A -l app.kubernetes.io/name=spillway`" in text


@pytest.mark.parametrize(("age", "silent"), [(0, False), (200, False), (360, True), (9000, True)])
def test_a_status_is_old_once_its_own_validity_has_passed(
    monkeypatch: Patch, capsys: Capture, age: float, silent: bool
) -> None:
    code, found = document(monkeypatch, capsys, cluster(plan(status(age=age))))
    assert found["operatorSilent"] is silent
    assert code == int(silent)


def test_a_plan_that_nobody_has_reported_on(monkeypatch: Patch, capsys: Capture) -> None:
    code, text = told(monkeypatch, capsys, cluster(plan(), deployment=(3, 3)))
    assert code == 1
    assert "the operator has not reported on this plan yet. Is it running" in text
    assert "gpu 3 3 -" in text


def test_a_plan_of_this_minute_needs_no_report_yet(monkeypatch: Patch, capsys: Capture) -> None:
    young = plan()
    young["metadata"]["creationTimestamp"] = ago(5)
    assert told(monkeypatch, capsys, cluster(young))[0] == 0


def test_a_spec_that_is_newer_than_its_status_is_a_note(monkeypatch: Patch, capsys: Capture) -> None:
    code, text = told(monkeypatch, capsys, cluster(plan(status(observedGeneration=2))))
    assert code == 0
    assert "of generation 2 of the spec, which has generation 3" in text


def test_paused_is_a_note_and_stopped_needs_a_person(monkeypatch: Patch, capsys: Capture) -> None:
    code, text = told(monkeypatch, capsys, cluster(plan(status(), paused=True)))
    assert code == 0
    assert "Recommend, paused healthy" in text
    assert "`kubectl spillway resume main -n inference`" in text
    code, text = told(monkeypatch, capsys, cluster(plan(status()), stopped=True))
    assert code == 1
    assert "`kubectl annotate namespace inference spillway.dev/stop-`" in text


def test_an_emergency_stop_of_everything_is_known_from_the_status(monkeypatch: Patch, capsys: Capture) -> None:
    stopped = conditions(condition("Ready", "True", "EmergencyStop", "ConfigMap spillway-stop says stop"))
    code, text = told(monkeypatch, capsys, cluster(plan(status(conditions=stopped))))
    assert code == 1
    assert "ConfigMap spillway-stop says stop" in text


def test_open_proposals_wait_for_a_person_and_others_do_not(monkeypatch: Patch, capsys: Capture) -> None:
    changes = [
        change(),
        change("expired", expires=60),
        change("applied", state="Applied"),
        change("approved", annotations={"spillway.dev/approved": "0123456789ab"}),
        change("elsewhere") | {"spec": change()["spec"] | {"planRef": {"name": "other"}}},
    ]
    code, found = document(monkeypatch, capsys, cluster(plan(status()), changes=changes))
    assert code == 1
    assert [each["name"] for each in found["waiting"]] == ["lower-gpu"]
    assert found["waiting"][0]["usdPerMonth"] == "-310.5"
    _, text = told(monkeypatch, capsys, cluster(plan(status()), changes=changes))
    assert "`kubectl spillway approve lower-gpu -n inference`" in text


def test_a_proposal_that_somebody_has_changed_is_refused(monkeypatch: Patch, capsys: Capture) -> None:
    forged = change()
    forged["metadata"]["generation"] = 2
    code, text = told(monkeypatch, capsys, cluster(plan(status()), changes=[forged]))
    assert code == 0
    assert "LaneChange inference/lower-gpu was changed after it was proposed, so it is left out" in text
    assert "approve" not in text


def test_whoever_may_not_read_proposals_is_told_what_the_plan_says(monkeypatch: Patch, capsys: Capture) -> None:
    required = condition("ApprovalRequired", "True", "ProposalsOpen", "1 proposal waits")
    told_so = plan(status(conditions=conditions(required)))
    code, found = document(monkeypatch, capsys, cluster(told_so, errors={LANE_CHANGES: forbidden("lanechanges")}))
    assert code == 1
    assert [(each["subject"], each["message"]) for each in found["findings"]] == [
        ("ApprovalRequired", "1 proposal waits")
    ]
    _, found = document(monkeypatch, capsys, cluster(told_so, changes=[change()]))
    assert [each["subject"] for each in found["findings"]] == ["LaneChange"]


def test_a_lane_that_is_refused_is_told_where_the_plan_does_not(monkeypatch: Patch, capsys: Capture) -> None:
    found = cluster(plan(status(), lanes=["gpu", "gone"]))
    refused = condition("Ready", "False", "NotAllowed", "plan inference/main does not allow the namespace")
    found._objects[CLASSES][1]["status"] = {"conditions": [refused]}
    code, made = document(monkeypatch, capsys, found)
    assert code == 1
    assert {each["subject"] for each in made["findings"]} == {"class team-a/code", "lane gone"}


def test_the_documents_keys_are_stable(monkeypatch: Patch, capsys: Capture) -> None:
    code, found = document(monkeypatch, capsys, cluster(plan(status())))
    assert code == 0
    assert list(found) == [
        "namespace",
        "name",
        "mode",
        "paused",
        "stopped",
        "needsPerson",
        "reportedSecondsAgo",
        "operatorSilent",
        "generation",
        "observedGeneration",
        "lanes",
        "classes",
        "totals",
        "ceilings",
        "waiting",
        "findings",
    ]
    assert found["lanes"][0]["usdPerHour"] == "23.10"
    assert found["classes"][0]["budget"]["capUsd"] == "4000.00"


def test_several_plans_are_all_told_and_one_bad_one_counts(monkeypatch: Patch, capsys: Capture) -> None:
    other = plan(status(age=9000), name="other", namespace="team-a")
    code, text = told(monkeypatch, capsys, cluster(plan(status()), other), "-A")
    assert code == 1
    assert "inference/main Recommend healthy" in text
    assert "team-a/other Recommend 1 thing" in text
    assert told(monkeypatch, capsys, cluster(plan(status()), other), "main", "-A")[0] == 0
    assert "team-a/other" in told(monkeypatch, capsys, cluster(plan(status()), other), "team-a/other")[1]


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (KubeError(0, "Unreachable", "the apiserver did not answer: timed out"), "timed out"),
        (cluster(errors={PLANS: KubeError(0, "Unreachable", "the apiserver did not answer: X")}), "--context"),
        (cluster(errors={PLANS: forbidden("capacityplans")}), "kubectl auth can-i list capacityplans.spillway.dev"),
        (cluster(errors={PLANS: KubeError(404, "NotFound", "404 page not found")}), "Spillway is not installed"),
        (cluster(), f"no CapacityPlan in namespace {NS}: -A looks in all namespaces, `spillway init` writes"),
    ],
    ids=["unreachable", "unreachable-later", "forbidden", "no-crds", "no-plans"],
)
def test_trouble_is_one_line_with_the_way_out(
    monkeypatch: Patch, capsys: Capture, found: Kube | KubeError, said: str
) -> None:
    for command in ("status", "top", "explain", "plan"):
        assert run(monkeypatch, found, command) == 1
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.count("\n") == 1
        assert said in printed.err


def test_a_plan_that_is_not_there_is_named(monkeypatch: Patch, capsys: Capture) -> None:
    assert run(monkeypatch, cluster(plan(status())), "status", "typo") == 1
    assert "no CapacityPlan typo in namespace inference; `kubectl get cplan -A` lists all" in capsys.readouterr().err


def test_what_may_not_be_read_beside_the_plans_is_said(monkeypatch: Patch, capsys: Capture) -> None:
    errors = {LANE_CHANGES: forbidden("lanechanges"), NAMESPACES: forbidden("namespaces")}
    code, text = told(monkeypatch, capsys, cluster(plan(status()), errors=errors))
    assert code == 0
    assert "lanechanges can't be read, so they are left out" in text
    assert "whether namespace inference is stopped is not known" in text


def test_a_status_of_another_version_is_said_and_the_plan_is_shown(monkeypatch: Patch, capsys: Capture) -> None:
    lane = {"name": "gpu", "move": {"state": "Teleporting", "since": ago(1), "reason": "x", "message": "x"}}
    code, text = told(monkeypatch, capsys, cluster(plan(status(lanes=[lane])), deployment=(2, 2)))
    assert code == 1
    assert "can't be read by this version (status.lanes.0.move.state:" in text
    assert "gpu 2 2" in text


@pytest.mark.parametrize("command", ["status", "top", "explain", "plan"])
def test_the_longest_names_fit_80_columns_and_figures_stay_whole(
    monkeypatch: Patch, capsys: Capture, command: str
) -> None:
    long = "a" * 63
    made = status()
    made["lanes"][0] |= {"name": long, "current": 1000, "usdPerHour": "123456.78"}
    made["classes"][0] |= {"name": long, "namespace": "b" * 63, "tokensPerSecond": 12_345_678}
    assert run(monkeypatch, cluster(plan(made, lanes=[long, "hosted"])), command, "-A") in (0, 1)
    out = capsys.readouterr().out
    assert all(len(line) <= 80 for line in out.splitlines() if long not in line), out
    if command in ("status", "top"):
        assert "$123,456.78" in out
