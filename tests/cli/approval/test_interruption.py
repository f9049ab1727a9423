"""What an interruption, or a write without an answer, leaves is said: written, not written, or not known."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.approval.objects import FLUX, NS, Cluster, interrupt_at, lines, run, unanswered_at
from spillway.cli.approval import propose
from spillway.cli.approval.sources import write_whole
from support.lane_changes import FEWER_MODELS, LOWER, change_on

Patch = pytest.MonkeyPatch
Capture = pytest.CaptureFixture[str]
LANE, CLASS = f"CapacityLane {NS}/gpu", f"WorkloadClass {NS}/chat"
FIRST, GPU, CHAT = ("lanechanges", "first"), ("capacitylanes", "gpu"), ("workloadclasses", "chat")
GO_ON = "run it again, or reject it"


def two() -> Cluster:
    """A proposal of two patches, and another one."""
    cluster = Cluster()
    made = cluster.propose("first")
    entries = [change_on("CapacityLane", NS, "gpu", LOWER), change_on("WorkloadClass", NS, "chat", FEWER_MODELS)]
    made["spec"]["change"] = entries
    cluster.propose("second")
    return cluster


@pytest.mark.parametrize(
    ("at", "answered", "said", "noted", "minimum"),
    [
        (FIRST, False, f"the approval of {NS}/first: whether it was written is not known", False, 1),
        (FIRST, True, f"the approval of {NS}/first is noted; not patched: {LANE}, {CLASS}; {GO_ON}", True, 1),
        (GPU, False, f"is noted; not known whether patched: {LANE}; not patched: {CLASS}; {GO_ON}", True, 1),
        (GPU, True, f"is noted; patched: {LANE}; not patched: {CLASS}; {GO_ON}", True, 0),
        (CHAT, False, f"is noted; patched: {LANE}; not known whether patched: {CLASS}; {GO_ON}", True, 0),
    ],
)  # fmt: skip
def test_an_approval_says_how_far_it_came_and_goes_on_from_there(
    monkeypatch: Patch, capsys: Capture, at: tuple[str, str], answered: bool, said: str, noted: bool, minimum: int
) -> None:
    cluster = two()
    press = interrupt_at(at, answered=answered)
    cluster.before, cluster.after = (cluster.before, press) if answered else (press, cluster.after)
    assert run(monkeypatch, cluster, "approve", "first", "second", "--yes") == 130
    left = lines(capsys.readouterr().err)
    assert said in left[0]
    assert left[1:] == [f"not begun: {NS}/second", "error: interrupted"]
    assert ("spillway.dev/approved" in cluster.notes("first")) is noted
    assert cluster.minimum == minimum

    cluster.before = cluster.after = lambda write: None
    assert run(monkeypatch, cluster, "approve", "first", "--yes") == 0
    assert cluster.minimum == 0
    assert sorted(cluster.writes) == sorted([FIRST, GPU, CHAT]), "each once"


def test_for_git_an_interruption_between_two_says_which_is_done(monkeypatch: Patch, capsys: Capture) -> None:
    cluster = two()
    cluster.lane["metadata"]["labels"] = FLUX
    cluster.after = interrupt_at(FIRST, answered=True)
    assert run(monkeypatch, cluster, "approve", "first", "second", "--yes", "-o", "json") == 130
    captured = capsys.readouterr()
    (answer,) = json.loads(captured.out)
    assert answer["result"] == "approved"
    assert lines(captured.err) == [
        f"{NS}/second: nothing was written", f"done: {NS}/first (approved)", "error: interrupted"
    ]  # fmt: skip


def test_one_answer_that_came_with_the_interruption_is_given(monkeypatch: Patch, capsys: Capture) -> None:
    cluster = Cluster()
    cluster.propose("first")
    cluster.after = interrupt_at(GPU, answered=True)
    assert run(monkeypatch, cluster, "approve", "first", "--yes", "-o", "json") == 130
    captured = capsys.readouterr()
    assert [answer["result"] for answer in json.loads(captured.out)] == ["applied"]
    assert lines(captured.err) == ["error: interrupted"]


def pause(cluster: Cluster, monkeypatch: Patch, *more: str) -> int:
    return run(monkeypatch, cluster, "pause", "--all", *more)


def reject(cluster: Cluster, monkeypatch: Patch, *more: str) -> int:
    return run(monkeypatch, cluster, "reject", "first", "second", "--reason", "no", *more)


SEVERAL = [
    (pause, ("capacityplans", "main"), ("capacityplans", "night"), "paused", f"plan {NS}/night: "),
    (reject, FIRST, ("lanechanges", "second"), "rejected", f"the rejection of {NS}/second: "),
]
Several = Callable[..., int]


@pytest.mark.parametrize(("command", "first", "second", "done", "what"), SEVERAL)
def test_of_several_each_is_told_as_it_comes(
    monkeypatch: Patch, capsys: Capture, command: Several, first: tuple[str, str], second: tuple[str, str], done: str,
    what: str,
) -> None:  # fmt: skip
    cluster = two()
    seen: list[str] = []
    press = interrupt_at(second, answered=False)

    def before(write: tuple[str, str]) -> object:
        seen.append(capsys.readouterr().out)
        return press(write)

    cluster.before = before
    assert command(cluster, monkeypatch) == 130
    assert seen[0] == ""
    assert seen[1].startswith(f"{NS}/{first[1]}: {done}")
    assert lines(capsys.readouterr().err) == [
        f"{what}whether it was written is not known: run the command again",
        f"done: {NS}/{first[1]} ({done})",
        "error: interrupted",
    ]


@pytest.mark.parametrize(("command", "first", "second", "done", "what"), SEVERAL)
def test_json_is_one_document_also_then(
    monkeypatch: Patch, capsys: Capture, command: Several, first: tuple[str, str], second: tuple[str, str], done: str,
    what: str,
) -> None:  # fmt: skip
    cluster = two()
    cluster.after = interrupt_at(first, answered=True)
    assert command(cluster, monkeypatch, "-o", "json") == 130
    captured = capsys.readouterr()
    assert [(answer["name"], answer["result"]) for answer in json.loads(captured.out)] == [(first[1], done)]
    assert lines(captured.err) == [
        f"{NS}/{second[1]}: nothing was written", f"done: {NS}/{first[1]} ({done})", "error: interrupted"
    ]  # fmt: skip
    assert cluster.writes == [first]


@pytest.mark.parametrize("form", [(), ("-o", "json")])
def test_what_is_proposed_in_files_is_told_as_it_comes(
    monkeypatch: Patch, capsys: Capture, tmp_path: Path, form: tuple[str, ...]
) -> None:
    cluster, out = two(), tmp_path / "out"

    def pressed(path: Path, text: str) -> bool:
        if path.name == "README.md":
            os.kill(os.getpid(), signal.SIGINT)
        return write_whole(path, text)

    monkeypatch.setattr(propose, "write_whole", pressed)
    assert run(monkeypatch, cluster, "propose", "--output-dir", str(out), *form) == 130
    captured = capsys.readouterr()
    assert lines(captured.err) == [
        f"{NS}/second: nothing was written", f"done: {NS}/first (written)", "error: interrupted"
    ]  # fmt: skip
    assert [path.name for path in out.iterdir()] == ["first"]
    if form:
        assert [answer["result"] for answer in json.loads(captured.out)] == ["written"]
    else:
        assert captured.out.startswith(f"{NS}/first: written:")
    monkeypatch.undo()
    assert run(monkeypatch, cluster, "propose", "--output-dir", str(out)) == 0
    assert f"{NS}/first: unchanged" in capsys.readouterr().out


def test_a_second_ctrl_c_cuts_a_folder_short_and_says_so(monkeypatch: Patch, capsys: Capture, tmp_path: Path) -> None:
    def pressed(path: Path, text: str) -> bool:
        if path.name != "README.md":
            return write_whole(path, text)
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("the second one interrupts at once")

    monkeypatch.setattr(propose, "write_whole", pressed)
    assert run(monkeypatch, two(), "propose", "--output-dir", str(tmp_path)) == 130
    assert lines(capsys.readouterr().err) == [
        f"{NS}/first: {tmp_path / 'first'} may lack files; run it again",
        f"not begun: {NS}/second",
        "error: interrupted",
    ]


def test_an_approval_without_an_answer_is_not_called_refused(monkeypatch: Patch, capsys: Capture) -> None:
    cluster = Cluster()
    cluster.propose("first")
    cluster.after = unanswered_at(FIRST)
    said = "the apiserver did not answer: timed out; whether it was written is not known: run the command again"
    assert run(monkeypatch, cluster, "approve", "first", "--yes", "-o", "json") == 1
    (answer,) = json.loads(capsys.readouterr().out)
    assert (answer["result"], answer["detail"]) == ("not known", f"LaneChange {NS}/first: {said}")
    cluster.after = unanswered_at(GPU)
    assert run(monkeypatch, cluster, "approve", "first", "--yes", "-o", "json") == 1
    (answer,) = json.loads(capsys.readouterr().out)
    assert answer["result"] == "incomplete"
    assert answer["writes"][0]["error"] == said
    assert run(monkeypatch, cluster, "approve", "first", "--yes") == 0
    assert "already applied" in capsys.readouterr().out, "both had been written"


@pytest.mark.parametrize(("command", "first", "second", "done", "what"), SEVERAL)
def test_nor_is_a_pause_or_a_rejection_and_the_others_go_on(
    monkeypatch: Patch, capsys: Capture, command: Several, first: tuple[str, str], second: tuple[str, str], done: str,
    what: str,
) -> None:  # fmt: skip
    cluster = two()
    cluster.before = unanswered_at(first)
    assert command(cluster, monkeypatch) == 1
    captured = capsys.readouterr()
    assert "is not known: run the command again" in " ".join(captured.err.split())
    assert captured.out.startswith(f"{NS}/{second[1]}: {done}")
    assert command(cluster, monkeypatch, "-o", "json") == 1
    results = [answer["result"] for answer in json.loads(capsys.readouterr().out)]
    assert results == ["not known", f"already {done}"]
