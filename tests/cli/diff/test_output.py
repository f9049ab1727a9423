"""Where the output goes, how wide it is, and what it says after a replay that failed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

import spillway.simulate.sides
from advise.review.builders import ALL, CHAT, effect, made, swapped
from cli.diff.sides import Captured, refused, run, sides
from cli.diff.test_command import CHEAPER, LOOSENED, replaying
from spillway.advise.review.effect import Effect
from spillway.cli.main import main
from spillway.simulate.scenario.errors import ScenarioError


def test_after_a_replay_that_failed_no_verdict_is_known_unless_a_policy_fails_all_the_same(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    replaying(monkeypatch, ScenarioError("no"))
    base, head = sides(tmp_path, *CHEAPER)

    def verdicts() -> tuple[str | None, str | None]:
        assert main(["diff", base, head, "--traffic", "t.csv", "-o", "json"]) == 1
        found = json.loads(capsys.readouterr().out)
        return found["verdict"], found["plans"][0]["verdict"]

    assert verdicts() == (None, None)
    base, head = sides(tmp_path, *swapped(CHAT), base=LOOSENED)
    assert verdicts() == ("fail", "fail")


def test_where_the_output_cannot_go_is_said_before_the_replay(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = replaying(monkeypatch)
    base, head = sides(tmp_path, *CHEAPER)
    target = tmp_path / "no" / "out"
    line = refused(capsys, base, head, "--traffic", "t.csv", "--to", str(target))
    assert line == f"error: --to {target}: there is no folder {target.parent}; make it, or name another file"
    monkeypatch.setattr(os, "access", lambda path, how: False)
    line = refused(capsys, base, head, "--traffic", "t.csv", "--to", str(tmp_path / "out"))
    assert line == f"error: --to {tmp_path / 'out'}: cannot be written: Permission denied; name another file"
    assert not found.asked


def test_what_cannot_be_written_after_the_replay_is_printed(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()

    def replay(*_: Any) -> Effect:
        folder.rmdir()
        return effect()

    monkeypatch.setattr(spillway.simulate.sides, "replay", replay)
    base, head = sides(tmp_path, *CHEAPER)
    assert main(["diff", base, head, "--traffic", "t.csv", "--to", str(folder / "x.md")]) == 1
    printed = capsys.readouterr()
    assert printed.out.startswith("Monthly estimate decreases by $1,000")
    assert printed.err == (
        f"error: --to {folder / 'x.md'}: cannot be written: No such file or directory; it was printed instead\n"
    )


@pytest.mark.parametrize(("columns", "most"), [("60", 60), ("30", 60), ("200", 80)])
def test_the_table_keeps_to_a_terminal_of_60_to_80_columns(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch, columns: str, most: int
) -> None:
    replaying(monkeypatch)
    base, head = sides(tmp_path, *CHEAPER)
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    out = run(capsys, base, head, "--traffic", "t.csv", "--no-color")
    assert most - 10 < max(map(len, out.splitlines())) <= most


def test_traffic_of_other_plans_is_not_missing(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = replaying(monkeypatch)
    other = made("CapacityPlan", "other", {"lanes": ["b"]}, "team-b")
    code = made("WorkloadClass", "code", {**CHAT["spec"], "planRef": {"name": "other"}}, "team-b")
    code["spec"]["planRef"]["namespace"] = "team-b"
    base, head = sides(tmp_path, *CHEAPER, other, code, base=(*ALL, other, code))
    run(capsys, base, head, "--traffic", "t.csv")
    ((_, _, ask),) = found.asked
    assert ask.elsewhere == {"team-b/code"}
