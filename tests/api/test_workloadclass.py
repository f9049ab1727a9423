"""WorkloadClass as a value."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from spillway.api import DataPolicy, LatencyClass, WorkloadClass

from .manifests import DELETE, MINIMAL, VARIANTS, edited

MINIMAL_CLASS = MINIMAL["WorkloadClass"]


def test_defaults() -> None:
    spec = WorkloadClass.parse(MINIMAL_CLASS).spec
    assert spec.latency is LatencyClass.INTERACTIVE
    assert spec.data_policy is DataPolicy.ANY
    assert spec.value_tier is None
    assert spec.slo is not None
    assert spec.slo.attainment_percent == 99


def test_the_plan_is_in_the_own_namespace_unless_named() -> None:
    at_home = edited(MINIMAL_CLASS, {"metadata": {"name": "chat", "namespace": "team-a"}})
    assert WorkloadClass.parse(at_home).plan_key == "team-a/main"
    abroad = edited(at_home, {"spec.planRef.namespace": "inference"})
    assert WorkloadClass.parse(abroad).plan_key == "inference/main"


def test_the_data_policy_has_no_default() -> None:
    with pytest.raises(ValidationError, match="dataPolicy"):
        WorkloadClass.parse(edited(MINIMAL_CLASS, {"spec.dataPolicy": DELETE}))


@pytest.mark.parametrize("manifest", VARIANTS["WorkloadClass"])
def test_fields_of_a_newer_crd_are_ignored(manifest: dict[str, Any]) -> None:
    newer = edited(manifest, {"spec.fromTheFuture": {"a": 1}, "spec.match.cookie": "x", "status.later": []})
    assert WorkloadClass.parse(newer) == WorkloadClass.parse(manifest)


def test_a_class_cannot_be_changed_in_place() -> None:
    parsed = WorkloadClass.parse(MINIMAL_CLASS)
    with pytest.raises(ValidationError, match="frozen"):
        parsed.spec.latency = LatencyClass.DEFERRABLE  # type: ignore[misc]
