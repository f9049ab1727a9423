"""`spillway replay`: what is identical, what differs, and what can't be read, each told in its place."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from decide.builders import NOW, World, plan
from spillway import __version__
from spillway.api import CapacityPlan
from spillway.cli.main import main
from spillway.decide import decide
from spillway.decide.codec import canonical
from spillway.decide.memory import Memory
from spillway.decide.recording import Shared, begin, line_of

ISO = "2027-01-15T08:00:10Z"
"""``NOW`` + 10 s."""


def line(at: float = NOW, made_for: CapacityPlan | None = None) -> bytes:
    snapshot = replace(World(), at=at, plan=made_for or plan()).snapshot()
    document = begin(snapshot, Memory()).document(__version__, decide(snapshot, Memory())[0])
    return line_of(document, Shared())


def other_plan() -> CapacityPlan:
    metadata = plan().metadata.model_copy(update={"name": "other"})
    return plan().model_copy(update={"metadata": metadata})


def tampered(at: float = NOW, product: str = __version__) -> bytes:
    document = json.loads(line(at))
    document["decision"]["lanes"][0]["recommended"] += 1
    document["spillway"] = product
    return canonical(document) + b"\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "decisions.jsonl"
    path.write_bytes(line() + line(NOW + 15, other_plan()) + line(NOW + 30))
    return path


def test_identical_decisions(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(file)]) == 0
    assert capsys.readouterr().out == "3 of 3 decisions are identical.\n"


def test_several_files_plain_and_gz(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    packed = tmp_path / "packed"
    packed.write_bytes(gzip.compress(line() + line(NOW + 1)))
    assert main(["replay", str(file), str(packed)]) == 0
    assert capsys.readouterr().out == "5 of 5 decisions are identical.\n"


def test_a_difference_names_field_and_both_values(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "changed.jsonl"
    path.write_bytes(line() + tampered(NOW + 1, product="0.0.9"))
    assert main(["replay", str(path)]) == 1
    out = capsys.readouterr().out
    assert "line 2: ai/main at 2027-01-15T08:00:01.000Z differs" in out
    recorded = json.loads(tampered(NOW + 1))["decision"]["lanes"][0]["recommended"]
    row = next(each for each in out.splitlines() if each.startswith("lanes[gpu].recommended"))
    assert row.split()[1:] == [str(recorded), str(recorded - 1)]
    assert "1 of 2 decisions are identical." in out
    assert f"Recorded by spillway 0.0.9, {__version__}"[:26] in out
    assert max(map(len, out.splitlines()[1:])) <= 120


def test_json_lists_every_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "changed.jsonl"
    path.write_bytes(b"".join(tampered(NOW + i) for i in range(5)))
    assert main(["replay", "-o", "json", str(path)]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["replayed"], found["identical"], len(found["different"])) == (5, 0, 5)
    (difference,) = found["different"][0]["differences"]
    assert difference["field"] == "lanes[gpu].recommended"
    assert difference["recorded"] == difference["now"] + 1
    assert main(["replay", str(path)]) == 1
    assert "2 more decisions differ" in capsys.readouterr().out


def shown(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> list[tuple[float, str]]:
    main(["replay", "--show", "-o", "json", *arguments])
    return [(each["at"], each["plan"]) for each in json.loads(capsys.readouterr().out)["records"]]


def test_one_moment_or_one_plan(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(file)
    assert shown([path, "--plan", "ai/other"], capsys) == [(NOW + 15, "ai/other")]
    assert shown([path, "--at", str(NOW + 20)], capsys) == [(NOW, "ai/main"), (NOW + 15, "ai/other")]
    assert shown([path, "--at", ISO], capsys) == [(NOW, "ai/main")]
    assert shown([path, "--at", "2027-01-15 08:01:00", "--plan", "ai/main"], capsys) == [(NOW + 30, "ai/main")]


def test_a_decision_is_told(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "--show", "--at", ISO, str(file)]) == 0
    out = capsys.readouterr().out
    reason = decide(World().snapshot(), Memory())[0].reason
    assert f"{reason.code}: {reason.message}" in out.replace("\n", " ") or reason.code in out
    for said in ("LANE", "gpu", "hosted", "ai/chat", "1 of 1 decision is identical."):
        assert said in out
    assert main(["replay", "--show", "-o", "json", "--at", ISO, str(file)]) == 0
    assert json.loads(capsys.readouterr().out)["records"][0]["decision"]["plan_key"] == "ai/main"


def failing(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["replay", *arguments]) != 0
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert "Traceback" not in captured.err
    return captured.err


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no decision is recorded there"),
        (b"\x00\x01\x02\n", "line 1: not a whole record"),
        (b'{"hello": 1}\n', "line 1: not a recording"),
        (line()[:-200], "line 1: not a whole record: it is broken or cut off"),
        (line() + line()[:500], "line 2: not a whole record"),
        (line().replace(b'"version":1', b'"version":2'), "recorded in format 2"),
        (gzip.compress(line())[:-400], "cut off or broken"),
        (gzip.compress(line())[:-4], "line 2: the gzip file is cut off or broken"),
    ],
)
def test_what_can_not_be_read_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, said: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    told = failing([str(path)], capsys)
    assert told.startswith(f"error: {path}")
    assert said in told


def test_whole_records_before_the_cut_are_replayed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "file"
    path.write_bytes(line() + line(NOW + 1) + line()[:500])
    assert main(["replay", str(path)]) == 1
    captured = capsys.readouterr()
    assert captured.out == "2 of 2 decisions are identical.\n"
    assert "line 3" in captured.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--plan", "ai/none"], "none of its 3 records is of plan ai/none"),
        (["--at", "1000"], "none of its 3 records is at or before 1970-01-01T00:16:40"),
        (["--at", "noon"], "'noon' is no time"),
    ],
)
def test_nothing_chosen(file: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    assert said in failing([*arguments, str(file)], capsys)


def test_no_such_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "does not exist" in failing([str(tmp_path / "none")], capsys)


def test_failures_replay_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document: dict[str, Any] = json.loads(line())
    document |= {"decision": None, "error": "KeyError: 'gpu'"}
    path = tmp_path / "file"
    path.write_bytes(canonical(document))
    assert main(["replay", str(path)]) == 1
    out = capsys.readouterr().out
    assert "KeyError: 'gpu'" in out
    assert "0 of 1 decision is identical." in out
