"""What is approved is what was shown, and what can be made: else one line, and nothing written."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cli.approval.objects import (
    BELOW_A_SCALAR,
    FLUX,
    LOWER_OTHER,
    NS,
    WRONG_TEST,
    Cluster,
    answering,
    lines,
    run,
)
from spillway.kube import LANE_CHANGES

Patch = pytest.MonkeyPatch
Capture = pytest.CaptureFixture[str]


def test_the_one_that_was_shown_is_carried_out(monkeypatch: Patch, capsys: Capture) -> None:
    """Also where the operator has written its status meanwhile."""
    cluster = Cluster()
    made = cluster.propose("lower")

    def answer() -> str:
        told = made | {"status": {"state": "Proposed"}}
        cluster.objects[("lanechanges", "lower")] = told | {"metadata": made["metadata"] | {"resourceVersion": "2"}}
        return "y"

    answering(monkeypatch, answer)
    assert run(monkeypatch, cluster, "approve", "lower") == 0
    assert cluster.minimum == 0
    assert "1 of 1 objects patched" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("uid", ["another", ""])
def test_one_made_anew_during_the_question_is_not(monkeypatch: Patch, capsys: Capture, uid: str) -> None:
    """It has the same name and the same hash, and another value."""
    cluster = Cluster()
    shown = cluster.propose("lower")

    def answer() -> str:
        assert cluster.propose("lower", LOWER_OTHER, uid)["spec"]["planHash"] == shown["spec"]["planHash"]
        return "y"

    answering(monkeypatch, answer)
    assert run(monkeypatch, cluster, "approve", "lower") == 1
    said = f"error: LaneChange {NS}/lower was made anew while you looked: nothing was written; look again\n"
    assert capsys.readouterr().err == said
    assert cluster.writes == []
    answering(monkeypatch, lambda: "y")
    assert run(monkeypatch, cluster, "approve", "lower") == 0
    assert cluster.minimum == 7


def test_the_very_same_made_anew_is_another(monkeypatch: Patch, capsys: Capture) -> None:
    cluster = Cluster()
    cluster.propose("lower")
    answering(monkeypatch, lambda: str(cluster.propose("lower", uid="another") and "y"))
    assert run(monkeypatch, cluster, "approve", "lower") == 1
    assert "made anew" in capsys.readouterr().err
    assert cluster.writes == []


@pytest.mark.parametrize("first", [True, False])
def test_what_git_keeps_is_looked_at_again(monkeypatch: Patch, capsys: Capture, first: bool) -> None:
    """It was shown as written, and would be undone; or as not written, and would be."""
    cluster = Cluster()
    cluster.propose("lower")
    cluster.lane["metadata"]["labels"] = FLUX if first else {}

    def answer() -> str:
        cluster.lane["metadata"]["labels"] = {} if first else FLUX
        return "y"

    answering(monkeypatch, answer)
    assert run(monkeypatch, cluster, "approve", "lower") == 1
    assert "what Git keeps has changed while you looked" in capsys.readouterr().err
    assert cluster.writes == []


def test_what_another_has_carried_out_meanwhile_is_done(monkeypatch: Patch, capsys: Capture) -> None:
    cluster = Cluster()
    cluster.propose("lower")

    def answer() -> str:
        meta = cluster.objects[("lanechanges", "lower")]["metadata"]
        digest = cluster.objects[("lanechanges", "lower")]["spec"]["planHash"]
        meta["annotations"] = {"spillway.dev/approved": digest, "spillway.dev/approved-by": "carol"}
        cluster.lane["spec"]["selfHosted"]["replicas"]["min"] = 0
        cluster.lane["metadata"]["generation"] = 2
        return "y"

    answering(monkeypatch, answer)
    assert run(monkeypatch, cluster, "approve", "lower") == 0
    assert "already applied: approved by carol" in capsys.readouterr().out
    assert cluster.writes == []


def test_ctrl_c_at_the_question_ends_it_at_once(monkeypatch: Patch, capsys: Capture) -> None:
    cluster, asked = Cluster(), []
    cluster.propose("first")
    cluster.propose("second")
    before = signal.getsignal(signal.SIGINT)

    def answer() -> str:
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(10**6):
            pass
        asked.append("went on")
        return "y"

    answering(monkeypatch, answer)
    assert run(monkeypatch, cluster, "approve", "first", "second") == 130
    assert lines(capsys.readouterr().err) == [
        f"{NS}/first: nothing was written", f"not begun: {NS}/second", "error: interrupted"
    ]  # fmt: skip
    assert asked == []
    assert cluster.writes == []
    assert signal.getsignal(signal.SIGINT) is before


UNFIT: dict[str, tuple[Sequence[dict[str, Any]], str]] = {
    "a test": (WRONG_TEST, "spec.selfHosted.replicas.min is 1, not 5, which its patch tests"),
    "below a scalar": (BELOW_A_SCALAR, "spec.selfHosted.replicas.min.x is not there"),
}


@pytest.mark.parametrize(("patch", "why"), UNFIT.values(), ids=UNFIT)
@pytest.mark.parametrize("labels", [FLUX, {}], ids=["Git", "live"])
def test_a_patch_that_cannot_be_made_is_refused_before_anything_is_written(
    monkeypatch: Patch, capsys: Capture, labels: dict[str, str], patch: Sequence[dict[str, Any]], why: str
) -> None:
    cluster = Cluster()
    cluster.lane["metadata"]["labels"] = labels
    cluster.propose("lower", patch)
    assert run(monkeypatch, cluster, "approve", "lower", "--yes") == 1
    said = capsys.readouterr().err
    way_out = "wait for a new proposal, or reject this one"
    assert said == f"error: LaneChange {NS}/lower can't be carried out: CapacityLane {NS}/gpu: {why}; {way_out}\n"
    assert cluster.writes == []
    assert run(monkeypatch, cluster, "reject", "lower", "--reason", "no") == 0


@pytest.mark.parametrize(("patch", "why"), UNFIT.values(), ids=UNFIT)
def test_the_others_are_proposed_all_the_same(
    monkeypatch: Patch, capsys: Capture, tmp_path: Path, patch: Sequence[dict[str, Any]], why: str
) -> None:
    cluster = Cluster()
    cluster.propose("first", patch)
    cluster.propose("second")
    flags = ("--output-dir", str(tmp_path / "out"), "-o", "json")
    assert run(monkeypatch, cluster, "propose", *flags) == 0
    found = {each["name"]: each for each in json.loads(capsys.readouterr().out)}
    assert {name: each["result"] for name, each in found.items()} == {"first": "left out", "second": "written"}
    assert why in found["first"]["detail"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["second"]


def test_an_approved_patch_below_a_scalar_is_no_traceback(monkeypatch: Patch, capsys: Capture) -> None:
    """Approved by hand, and the lane changed since: it is looked for in the lane."""
    cluster = Cluster()
    made = cluster.propose("lower", [{"op": "remove", "path": "/spec/selfHosted/replicas/min/x"}])
    note = {"spillway.dev/approved": made["spec"]["planHash"], "spillway.dev/approved-by": "carol"}
    cluster.put(LANE_CHANGES, made | {"metadata": made["metadata"] | {"annotations": note}})
    cluster.lane["metadata"]["generation"] = 2
    assert run(monkeypatch, cluster, "approve", "lower", "--yes") == 1
    assert "is stale" in capsys.readouterr().err
    assert run(monkeypatch, cluster, "reject", "lower", "--reason", "no") == 0


def test_a_manifest_with_a_date_that_is_none_or_nothing_in_it_is_left(
    monkeypatch: Patch, capsys: Capture, tmp_path: Path
) -> None:
    cluster = Cluster()
    cluster.propose("lower")
    folder = tmp_path / "manifests"
    folder.mkdir()
    (folder / "dates.yaml").write_text("since: 2024-02-30\n")
    (folder / "lane.yaml").write_text(
        "apiVersion: spillway.dev/v1alpha1\nkind: CapacityLane\nmetadata: {name: gpu}\nspec:\n  selfHosted: \n"
    )
    flags = ("--output-dir", str(tmp_path / "out"), "--manifests", str(folder), "-o", "json")
    assert run(monkeypatch, cluster, "propose", *flags) == 0
    (answer,) = json.loads(capsys.readouterr().out)
    (edit,) = answer["manifests"]
    assert (edit["result"], edit["detail"]) == ("left", "/spec/selfHosted/replicas/min is not written there")
