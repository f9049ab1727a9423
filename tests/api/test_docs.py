"""The resource reference is the generated one and leaves no field out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from spillway.api import docs
from spillway.api.crd import KINDS, object_schema

from .constraints import ITEM, VALUE, load_crds, nodes, schema_of


def test_the_committed_page_is_the_generated_one(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(repository)
    assert docs.main(["--check"]) == 0, capsys.readouterr().err


def test_check_names_the_page_and_the_way_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "reference.md"
    arguments = ["--output", str(page), "--examples", str(tmp_path / "none")]
    assert docs.main(["--check", *arguments]) == 1
    assert capsys.readouterr().err == f"{page}: missing; run `python -m spillway.api.docs`{os.linesep}"
    assert docs.main(arguments) == 0
    assert docs.main(["--check", *arguments]) == 0


def test_every_field_and_rule_is_on_the_page() -> None:
    page = docs.reference()
    for document in load_crds().values():
        for path, node in nodes(schema_of(document)):
            if path[:1] in (("spec",), ("status",)) and len(path) > 1 and path[-1] not in (ITEM, VALUE):
                dotted = ".".join(path).replace(f".{ITEM}", ITEM)
                assert f"| `{dotted}` |" in page
            for rule in node.get("x-kubernetes-validations", ()):
                assert rule["message"] in page


def test_rules_are_found_in_items_too() -> None:
    schema = object_schema(next(kind for kind in KINDS if kind.kind == "CapacityPlan"))
    assert "`spec.routing.bindings[]`" in [path for path, _ in docs.rules(schema)]


def test_the_first_example_of_a_kind_is_shown_as_written(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "kind: CapacityLane\nspec: {}  # a lane\n---\nkind: CapacityPlan\n# the plan\nspec: {}\n"
    )
    page = docs.reference(tmp_path)
    assert "```yaml\nkind: CapacityPlan\n# the plan\nspec: {}\n```" in page
    assert "```yaml\nkind: CapacityLane\nspec: {}  # a lane\n```" in page
