"""What docs/budgets.md shows is what the commands print."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from spillway.cli.main import main

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/budgets.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```\n(\$ spillway .*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def split(block: str) -> tuple[list[str], str]:
    command, _, shown = block.replace("\\\n", " ").partition("\n")
    return shlex.split(command.removeprefix("$ spillway ")), shown


REPEATABLE = [block for block in BLOCKS if "--prometheus-url" not in block]


def test_there_are_some() -> None:
    assert len(REPEATABLE) == 3


@pytest.mark.parametrize("block", REPEATABLE, ids=lambda block: " ".join(split(block)[0])[:40])
def test_a_block_is_what_comes_out(
    block: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("sys.argv", ["spillway"])
    arguments, shown = split(block)
    main(arguments)
    printed = capsys.readouterr()
    assert (printed.out + printed.err).rstrip() == shown.rstrip()


def test_the_trace_is_part_of_what_comes_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    excerpt = TEXT.split("From the command above:\n\n```\n")[1].split("```")[0]
    assert main([*split(REPEATABLE[0])[0], "--explain"]) == 0
    told = "\n".join(line.removeprefix("  ") for line in capsys.readouterr().out.splitlines())
    assert excerpt.strip() in told
