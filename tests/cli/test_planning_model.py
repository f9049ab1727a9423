"""docs/planning-model.md walks the rows of the planning model; what each row points to is there."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from spillway.cli.main import cli

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "planning-model.md"
LATER = "later"
MAY_WAIT = {"Ownership test", "Signals for moving", "Hidden costs of ownership", "Eight steps"}
"""Sections that the product may answer later; every row of the others has its feature."""
ROWS = {
    "Lanes": 5,
    "Workload classes": 3,
    "Demand": 6,
    "Budget": 8,
    "Self-hosted sizing": 6,
    "Ownership test": 7,
    "Signals for moving": 7,
    "Hidden costs of ownership": 8,
    "Eight steps": 8,
}
"""How many rows each section has: none gets lost."""

Row = tuple[str, str, str]


def rows() -> list[Row]:
    """(section, row, where) of each table row."""
    section, found = "", list[Row]()
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ").strip()
        elif section and line.startswith("|") and not re.match(r"^\|[ |:-]*$", line):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if cells[-1] != "where":
                found.append((section, cells[0], cells[-1]))
    return found


def pointers(where: str) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`]+)`", where)


def has_command(pointer: str) -> bool:
    """`spillway NAME [--option ...]`: the command and each of its options exist."""
    words = pointer.split()
    command: click.Command | None = cli.commands.get(words[1])
    options = {name for each in command.params for name in each.opts} if command else set()
    return command is not None and all(word in options for word in words[2:] if word.startswith("-"))


def has_field(pointer: str) -> bool:
    """`Kind.spec.path.to.field` of a CRD."""
    kind, *path = pointer.split(".")
    for file in (ROOT / "crds").glob("*.yaml"):
        definition: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
        if definition["spec"]["names"]["kind"] == kind:
            node = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
            for name in path:
                node = node.get("items", node).get("properties", {}).get(name)
                if node is None:
                    return False
            return True
    return False


def has_file(pointer: str) -> bool:
    """`examples/...`."""
    return (ROOT / pointer).is_file()


def has_test(pointer: str) -> bool:
    """`tests/file.py::test_name`."""
    file, _, name = pointer.partition("::")
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8")) if has_file(file) else ast.Module([], [])
    return any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name for node in tree.body)


@functools.cache
def _sources() -> str:
    files = sorted((ROOT / "operator" / "spillway").rglob("*.py"))
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


def has_name(pointer: str) -> bool:
    """A metric's name or a machine reason, as the product's code has it."""
    return f'"{pointer}' in _sources()


KINDS: list[tuple[str, Callable[[str], bool]]] = [
    (r"spillway [a-z]", has_command),
    (r"(WorkloadClass|CapacityLane|CapacityPlan)\.", has_field),
    (r"tests/.*::", has_test),
    (r"[a-z]+/", has_file),
    (r"spillway_[a-z_]+$|[A-Z][A-Za-z]+$", has_name),
]


def exists(pointer: str) -> bool:
    """Whether what is pointed to is there."""
    check = next((check for shape, check in KINDS if re.match(shape, pointer)), None)
    assert check is not None, f"no test knows what {pointer} points to"
    return check(pointer)


@pytest.mark.parametrize(("section", "row", "where"), rows(), ids=lambda cell: str(cell)[:40])
def test_every_row_has_its_feature_or_is_named_as_later(section: str, row: str, where: str) -> None:
    if where.startswith(LATER):
        assert section in MAY_WAIT, f"{row} may not wait"
        return
    assert pointers(where), row
    assert [pointer for pointer in pointers(where) if not exists(pointer)] == []


def test_no_row_is_lost() -> None:
    counts: dict[str, int] = {}
    for section, _, _ in rows():
        counts[section] = counts.get(section, 0) + 1
    assert counts == ROWS


@pytest.mark.parametrize(
    "pointer",
    [
        "spillway nothing",
        "spillway replay --nothing",
        "WorkloadClass.spec.nothing",
        "tests/cli/test_planning_model.py::test_nothing",
        "examples/nothing.yaml",
        "spillway_nothing_usd",
        "NothingOfTheKind",
    ],
)
def test_a_pointer_to_nothing_is_found_out(pointer: str) -> None:
    assert not exists(pointer)
