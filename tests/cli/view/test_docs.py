"""docs/kubectl.md: its commands and options exist, and it names every key of the documents."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest

from cli.view.objects import change, cluster, condition, conditions, plan, run, status
from spillway.api import CapacityPlan, LaneChange, Mode
from spillway.api.why import WhyStep
from spillway.cli.main import cli
from spillway.cli.view.changes import planned
from spillway.cli.view.explain import explained
from spillway.cli.view.judge import GOOD, findings
from spillway.cli.view.status import document
from spillway.cli.view.top import CLASS_COLUMNS, LANE_COLUMNS, TopOptions, top_document
from spillway.cli.view.world import PlanSeen, Seen

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/kubectl.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHOWN = re.findall(r"^\$ kubectl spillway (.*)$|source <\(spillway (.*)\)", PAGE + README, re.MULTILINE)
INLINE = re.findall(r"`kubectl spillway ([^`]+)`", PAGE)
COMMANDS = sorted({shell or plugin for plugin, shell in SHOWN} | set(INLINE))


def test_every_command_is_shown() -> None:
    assert {"status", "top", "explain", "plan", "completion"} == {words.split()[0] for words in COMMANDS}


@pytest.mark.parametrize("words", COMMANDS)
def test_a_command_of_the_page_exists_with_its_options(words: str) -> None:
    name, *arguments = shlex.split(words)
    command = cli.commands[name]
    context = command.make_context(name, arguments, resilient_parsing=True)
    assert isinstance(context, click.Context)
    known = {option for each in command.params if isinstance(each, click.Option) for option in each.opts}
    assert {word for word in arguments if word.startswith("-")} <= known


def test_every_option_that_the_page_names_is_one() -> None:
    views = ("status", "top", "explain", "plan")
    known = {option for name in views for each in cli.commands[name].params for option in each.opts}
    named = set(re.findall(r"`(--?[a-zA-Z-]+)", PAGE))
    assert named <= known
    assert {"--sort-by", "--watch", "--interval", "--detailed-exitcode", "-A", "--context"} <= named


def seen() -> Seen:
    made = CapacityPlan.parse(plan(status(conditions=conditions(condition("Degraded", "True", "X", "x")))))
    return Seen((PlanSeen(made, 0.0, changes=(LaneChange.parse(change()),)),))


OTHERS = ("totals", "budget", "now", "wanted")
"""Keys below which the status' own keys or lanes' names stand."""


def keys(node: Any) -> set[str]:
    """Every key of a document."""
    if isinstance(node, dict):
        return set(node) | {key for name, each in node.items() if name not in OTHERS for key in keys(each)}
    return {key for each in node for key in keys(each)} if isinstance(node, list) else set()


def test_it_names_every_key_of_the_documents() -> None:
    (found,) = seen().plans
    documents = [
        document(found, findings(found)),
        top_document(seen(), TopOptions("both", None, False)),
        {"explained": [each.document() for each in explained(seen(), None)]},
        planned(found).document(),
    ]
    named = set(re.findall(r"`([A-Za-z]+)`", PAGE))
    assert {key for each in documents for key in keys(each)} - named == set()


def test_it_names_every_column_and_step() -> None:
    named = set(re.findall(r"`([A-Za-z]+)`", PAGE))
    assert {column.key for column in (*LANE_COLUMNS, *CLASS_COLUMNS)} <= named
    assert {step.value.lower() for step in WhyStep} <= named


def test_its_outputs_have_the_shape_of_what_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Headings and labels of today's commands stand in the pasted outputs, which fit 80 columns."""
    blocks = re.findall(r"^```\n\$ kubectl spillway (\w+)[^\n]*\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert [name for name, _ in blocks] == ["status", "top", "explain", "explain", "plan"]
    for name, text in blocks:
        assert all(len(line) <= 80 for line in text.splitlines())
        assert run(monkeypatch, cluster(plan(status(), mode=Mode.APPLY.value)), name) == 0
        printed = capsys.readouterr().out
        first = printed.splitlines()[1 if name == "status" else 0].split()
        if name in ("status", "top"):
            assert first[0] == "LANE"
            assert any(line.split() == first for line in text.splitlines())
        else:
            assert "=> " in printed
            assert "\n=> " in text


def test_every_command_that_a_way_out_names_exists() -> None:
    """In every state that a plan of these tests can be in."""
    states = [
        *(condition(kind, "False" if good.value == "True" else "True", "X", "x") for kind, good in GOOD.items()),
        condition("ApprovalRequired", "True", "X", "x"),
    ]
    made = [
        PlanSeen(CapacityPlan.parse(plan(status(conditions=conditions(*states)), paused=True)), 0.0, stopped=True),
        PlanSeen(CapacityPlan.parse(plan(status(), paused=True)), 0.0, changes=(LaneChange.parse(change()),)),
        PlanSeen(CapacityPlan.parse(plan()), 1e12),
    ]
    said = [each.sentence() for one in made for each in findings(one)]
    named = {name for text in said for name in re.findall(r"`(?:kubectl )?spillway ([a-z]+)", text)}
    assert {"approve", "resume", "doctor"} <= named
    assert named <= set(cli.commands)
