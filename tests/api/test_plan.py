"""CapacityPlan as a value."""

from __future__ import annotations

from spillway.api import CapacityPlan, Mode, OverflowMode, RoutingPlane

from .manifests import MINIMAL, VARIANTS, edited


def test_a_plan_recommends_and_moves_nothing_unless_told() -> None:
    spec = CapacityPlan.parse(MINIMAL["CapacityPlan"]).spec
    assert spec.mode is Mode.RECOMMEND
    assert not spec.paused
    assert spec.routing.plane is RoutingPlane.NONE
    assert spec.overflow.mode is OverflowMode.SPLIT
    assert spec.overflow.ceiling_usd.per_hour is None
    assert spec.allowed_classes.from_.value == "Same"
    assert spec.forecast.seasonality_seconds == (86_400, 604_800)


def test_python_keywords_have_their_plain_names_on_the_wire() -> None:
    wire = CapacityPlan.parse(VARIANTS["CapacityPlan"][0]).to_wire()["spec"]
    assert wire["allowedClasses"]["from"] == "Selector"
    assert wire["routing"]["bindings"][0]["class"] == "coding-agents"


def test_what_is_read_is_what_is_written() -> None:
    for manifest in VARIANTS["CapacityPlan"]:
        plan = CapacityPlan.parse(manifest)
        assert CapacityPlan.parse(plan.to_wire()) == plan


def test_fields_of_a_newer_crd_are_ignored() -> None:
    manifest = VARIANTS["CapacityPlan"][0]
    newer = edited(manifest, {"spec.disruptionBudgets": [{"replicas": 2}], "spec.guards.later": 1, "status.later": 1})
    assert CapacityPlan.parse(newer) == CapacityPlan.parse(manifest)


def test_plans_are_equal_by_value() -> None:
    first, second = (CapacityPlan.parse(MINIMAL["CapacityPlan"]).spec for _ in range(2))
    assert first == second
    assert first != first.model_copy(update={"paused": True})
