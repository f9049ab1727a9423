"""The five pull requests' comments: what needs no replay in them is what comes out now."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cli.diff.sides import Captured
from spillway.cli.main import main

EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "gitops" / "pull-requests"
NAMES = sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir())
DOCS = (Path(__file__).resolve().parents[3] / "docs/review.md").read_text(encoding="utf-8")
README = (Path(__file__).resolve().parents[3] / "README.md").read_text(encoding="utf-8")


def comment(name: str) -> str:
    return (EXAMPLES / name / "comment.md").read_text(encoding="utf-8")


def bullets(text: str) -> list[str]:
    return [line for line in text.split("<details>", maxsplit=1)[0].splitlines() if line.lstrip().startswith("- ")]


def fenced(text: str) -> str:
    (found,) = re.findall(r"```diff\n(.*?)```", text, re.DOTALL)
    return str(found)


def policy_rows(text: str) -> dict[str, str]:
    rows = [line.split(" | ") for line in text.splitlines() if re.match(r"\| (✅|⚠️|❌)", line)]
    return {row[1]: row[0] for row in rows}


def test_there_are_five() -> None:
    assert len(NAMES) == 5


def test_the_readme_tells_headlines_as_they_came_out() -> None:
    told = [line.removeprefix("> ") for line in README.splitlines() if line.startswith("> Monthly estimate")]
    assert len(told) == 2
    assert set(told) <= {comment(name).splitlines()[1].removeprefix("### ") for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_changes_and_text_diff_are_what_comes_out(name: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.chdir(EXAMPLES)
    main(["diff", f"{name}/base", f"{name}/head", "-o", "markdown"])
    now, kept = capsys.readouterr().out, comment(name)
    assert kept.splitlines()[0] == now.splitlines()[0]
    assert bullets(kept) == bullets(now)
    assert fenced(kept) == fenced(now)
    for policy, verdict in policy_rows(now).items():
        assert policy_rows(kept)[policy] == verdict


@pytest.mark.parametrize("name", NAMES)
def test_a_comment_has_its_figures_and_the_docs_tell_its_headline(name: str) -> None:
    text = comment(name)
    headline = text.splitlines()[1].removeprefix("### ")
    assert headline.startswith("Monthly estimate ")
    assert f"[{name}](../examples/gitops/pull-requests/{name}/comment.md) | {headline} |" in DOCS
    for heading in ("| Lane | Usage |", "| Class | Objective |", "| Result | Policy |", "How the estimate was made"):
        assert heading in text


def test_a_block_of_the_docs_is_what_comes_out(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.chdir(EXAMPLES.parents[2])
    (block,) = re.findall(r"^```\n\$ spillway (diff .*?)^```$", DOCS, re.MULTILINE | re.DOTALL)
    command, _, shown = block.partition("\n")
    main(command.split())
    assert capsys.readouterr().out.rstrip() == shown.rstrip()
