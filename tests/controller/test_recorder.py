"""The recorder: bounded, mended after a crash, and never in the way."""

from __future__ import annotations

import gzip
import json
import logging
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from decide.builders import NOW, World
from spillway.config import OperatorConfig
from spillway.controller.recorder import CURRENT, Recorder
from spillway.decide import decide
from spillway.decide.memory import Memory
from spillway.decide.recording import Shared, parse, replay

SMALL = 400_000


def recorder(folder: Path, max_bytes: int = SMALL) -> Recorder:
    ticks = iter(range(1, 100_000))
    return Recorder(folder, max_bytes, lambda: NOW + next(ticks))


def tick(made: Recorder, at: float = NOW) -> None:
    snapshot = replace(World(), at=at).snapshot()
    begun = made.begin(snapshot, Memory())
    made.end(begun, decide(snapshot, Memory())[0])
    made.flush()


def records(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.glob("decisions-*.gz")):
        with gzip.open(path) as lines:
            yield from map(json.loads, lines)
    yield from map(json.loads, (folder / CURRENT).read_bytes().splitlines())


def test_ticks_are_appended_and_replay(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "on demand"
    made = recorder(folder)
    for second in range(3):
        tick(made, NOW + second)
    tick(recorder(folder), NOW + 3)  # after a restart
    assert [record["at"] for record in records(folder)] == [NOW, NOW + 1, NOW + 2, NOW + 3]
    lines, shared = (folder / CURRENT).read_bytes().splitlines(), Shared()
    assert all(replay(parse(line, shared)).identical for line in lines)
    assert len(lines[1]) < len(lines[0])  # the history is the same
    assert stat.S_IMODE((folder / CURRENT).stat().st_mode) == 0o600


def test_the_folder_stays_within_its_bound_and_keeps_the_newest(tmp_path: Path) -> None:
    (tmp_path / "somebody's.txt").write_text("keep me")
    (tmp_path / "decisions-mine.jsonl.gz").write_text("keep me too")
    made = recorder(tmp_path, 60_000)
    for number in range(120):
        tick(made, NOW + number)
        assert sum(path.stat().st_size for path in tmp_path.glob("decisions*")) <= 60_000
    times = [record["at"] for record in records_of(tmp_path)]
    assert times == sorted(times)
    assert times[-1] == NOW + 119
    assert times[0] > NOW  # the oldest have gone
    assert len(list(tmp_path.glob("decisions-2*.gz"))) > 1
    assert (tmp_path / "somebody's.txt").exists()
    assert (tmp_path / "decisions-mine.jsonl.gz").exists()


def records_of(folder: Path) -> Iterator[dict[str, Any]]:
    """Of the recorder's own files, oldest first."""
    for path in sorted(folder.glob("decisions-2*.gz"), key=lambda each: each.stat().st_mtime_ns):
        with gzip.open(path) as lines:
            yield from map(json.loads, lines)
    yield from map(json.loads, (folder / CURRENT).read_bytes().splitlines())


def test_a_line_cut_off_by_a_kill_is_taken_away(tmp_path: Path) -> None:
    tick(recorder(tmp_path))
    current = tmp_path / CURRENT
    current.write_bytes(current.read_bytes() + b'{"version":1,"spill')
    (tmp_path / "decisions.gz.tmp").write_bytes(b"half")
    tick(recorder(tmp_path), NOW + 1)
    assert [record["at"] for record in records(tmp_path)] == [NOW, NOW + 1]
    assert not (tmp_path / "decisions.gz.tmp").exists()


def test_what_can_not_be_written_is_said_once_and_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    in_the_way = tmp_path / "folder"
    in_the_way.write_text("a file")
    made = recorder(in_the_way)
    with caplog.at_level(logging.WARNING):
        for second in range(3):
            tick(made, NOW + second)
        assert [record.message for record in caplog.records if "decisions are not recorded" in record.message]
        assert len(caplog.records) == 1
        in_the_way.unlink()
        tick(made, NOW + 3)
    assert [record["at"] for record in records(in_the_way)] == [NOW + 3]


def test_what_can_not_be_recorded_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = recorder(tmp_path)
    odd = replace(World().snapshot(), stopped=object())  # type: ignore[arg-type]
    with caplog.at_level(logging.WARNING):
        assert made.begin(odd, Memory()) is None
        assert made.begin(odd, Memory()) is None
    made.end(None, None)
    made.flush()
    assert [record.message for record in caplog.records] == [
        "the decision on ai/main can't be recorded: stopped: object where a number or a text was annotated"
    ]
    assert not (tmp_path / CURRENT).exists()


def test_a_decision_that_fails_is_recorded_as_such(tmp_path: Path) -> None:
    made = recorder(tmp_path)
    made.end(made.begin(World().snapshot(), Memory()), None, ZeroDivisionError("float division by zero"))
    made.flush()
    (record,) = records(tmp_path)
    assert record["decision"] is None
    assert record["error"] == "ZeroDivisionError: float division by zero"


def test_too_long_a_record_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = recorder(tmp_path, 1000)
    with caplog.at_level(logging.WARNING):
        tick(made)
    assert "raise recording.maxMegabytes" in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_off_unless_asked_for(tmp_path: Path) -> None:
    base: dict[str, Any] = {"prometheus": {"url": "http://p:9090"}}
    assert Recorder.of(OperatorConfig.model_validate(base), lambda: NOW) is None
    asked = OperatorConfig.model_validate(base | {"recording": {"directory": str(tmp_path)}})
    assert Recorder.of(asked, lambda: NOW) is not None
