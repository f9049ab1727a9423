"""docs/gitops.md names tests that are there, and every test of the merges has its row."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1] / "e2e"
PAGE = (Path(__file__).parents[2] / "docs" / "gitops.md").read_text()
WITHOUT_A_ROW = {"test_the_examples_are_what_both_apis_take"}


def test_each_row_has_its_test() -> None:
    code = "".join(path.read_text() for path in TESTS.glob("test_gitops_*.py"))
    there = set(re.findall(r"^(?:async )?def (test_\w+)", code, re.MULTILINE))
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert named == there - WITHOUT_A_ROW


def test_each_file_that_the_page_names_is_there() -> None:
    root = Path(__file__).parents[2]
    for path in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (root / "docs" / path).resolve().is_file(), path
    for path in re.findall(r"(?:examples|tests)/[\w/.-]+\.(?:yaml|py)", PAGE):
        assert (root / path).is_file(), path
