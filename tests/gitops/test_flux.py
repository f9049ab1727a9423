"""Flux' health expressions, evaluated by Flux' own library, and what kstatus makes of the conditions alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from gitops.states import STATES, odd_objects
from spillway.api.crd import KINDS
from spillway_dev.toolchain import Tools
from support.gitops import GitOpsError, ask

ALL_KINDS = [kind.kind for kind in KINDS]
EXAMPLE = Path(__file__).parents[2] / "examples" / "gitops" / "flux" / "kustomization.yaml"
CHECKS: list[dict[str, Any]] = yaml.safe_load(EXAMPLE.read_text())["spec"]["healthCheckExprs"]


@pytest.fixture(scope="module")
def answers(tools: Tools) -> dict[str, Any]:
    """What Flux says of every state, in one run."""
    said = ask(tools, "flux-wait", {"healthCheckExprs": CHECKS, "objects": [state.obj for state in STATES]})
    return dict(zip((state.name for state in STATES), said, strict=True))


def test_each_kind_has_its_expressions() -> None:
    assert sorted(check["kind"] for check in CHECKS) == sorted(ALL_KINDS)


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.name)
def test_health_of_what_the_operator_reports(answers: dict[str, Any], state: Any) -> None:
    answer = answers[state.name]
    assert answer["supported"]
    assert answer["checked"]["status"] == state.flux
    assert answer["kstatus"]["status"] == (state.kstatus or state.flux)


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_no_odd_object_counts_as_current(tools: Tools, kind: str) -> None:
    """Objects that the CRD would let through have a status of its shape; the others are refused, or wait."""
    odd = [
        obj for obj in odd_objects(kind) if not isinstance(obj.get("status"), dict) or "conditions" not in obj["status"]
    ]
    for obj in odd:
        if isinstance(obj.get("status"), dict) and kind == "LaneChange":
            obj["status"].pop("state", None)
    for answer in ask(tools, "flux-wait", {"healthCheckExprs": CHECKS, "objects": odd}):
        assert answer["checked"]["status"] in ("Unknown", "InProgress")


def test_an_expression_that_is_none_is_refused(tools: Tools) -> None:
    broken = [CHECKS[0] | {"current": "status.conditions.exists("}]
    with pytest.raises(GitOpsError, match="failed to parse the CEL expression"):
        ask(tools, "flux-wait", {"healthCheckExprs": broken, "objects": []})
