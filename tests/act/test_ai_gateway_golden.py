"""What is written for Envoy AI Gateway, object by object, against files that were read by people.

`SPILLWAY_GOLDEN=write pytest tests/act/test_ai_gateway_golden.py` writes them anew; tests/e2e/test_ai_gateway.py holds
each against the CRDs on a real apiserver.
"""

from __future__ import annotations

import os

import pytest
import yaml

from support.ai_gateway import GOLDEN, SHAPES


@pytest.mark.parametrize("name", SHAPES)
def test_what_is_rendered_is_what_was_agreed(name: str) -> None:
    shape = SHAPES[name]
    rendered = shape.case.render(None, **shape.weights)
    assert rendered.refused == ()
    text = yaml.safe_dump_all([change.body for change in rendered.changes], sort_keys=False)
    file = GOLDEN / f"{name}.yaml"
    if os.environ.get("SPILLWAY_GOLDEN") == "write":
        file.write_text(text, "utf-8")
    assert text == file.read_text("utf-8")


def test_each_file_has_its_shape() -> None:
    assert {file.stem for file in GOLDEN.glob("*.yaml")} == set(SHAPES)
