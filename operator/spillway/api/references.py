"""References between the resources that lead nowhere, as the operator tells them in status and a review before that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from spillway.api.plan import CapacityPlan
from spillway.api.workloadclass import WorkloadClass


class Reason(StrEnum):
    """Reasons of conditions."""

    PLAN_NOT_FOUND = "PlanNotFound"
    NAMESPACE_NOT_ALLOWED = "NamespaceNotAllowed"
    LANE_NOT_FOUND = "LaneNotFound"
    CLASS_NOT_FOUND = "ClassNotFound"
    TIER_NOT_FOUND = "TierNotFound"


@dataclass(frozen=True, slots=True)
class Dangling:
    """One reference."""

    about: CapacityPlan | WorkloadClass
    """The object that has it."""
    reason: Reason
    message: str
    """With the field and the way out."""


def plan_missing(item: WorkloadClass) -> Dangling:
    """The class's plan is not there."""
    message = f"plan {item.plan_key} does not exist: create it or change spec.planRef"
    return Dangling(item, Reason.PLAN_NOT_FOUND, message)


def namespace_refused(item: WorkloadClass) -> Dangling:
    """The class's plan takes none of its namespace."""
    message = (
        f"plan {item.plan_key} does not allow classes of namespace {item.metadata.namespace}: "
        "change its spec.allowedClasses or the namespace's labels"
    )
    return Dangling(item, Reason.NAMESPACE_NOT_ALLOWED, message)


def lane_missing(plan: CapacityPlan, name: str) -> Dangling:
    """A lane of spec.lanes is not there."""
    key = f"{plan.metadata.namespace}/{name}"
    message = f"spec.lanes: no CapacityLane {key}: create it or remove it from the list"
    return Dangling(plan, Reason.LANE_NOT_FOUND, message)


def of_bindings(plan: CapacityPlan, classes: Sequence[WorkloadClass]) -> Iterator[Dangling]:
    """Classes and lanes that bindings name and the plan has not."""
    names = [item.metadata.name for item in classes]
    for binding in plan.spec.routing.bindings if plan.spec.routing.plane.has_routes else ():
        if binding.class_ not in names:
            message = f"routing.bindings: no WorkloadClass {binding.class_} in this plan: create it or drop the binding"
            yield Dangling(plan, Reason.CLASS_NOT_FOUND, message)
        for lane in binding.backends:
            if lane not in plan.spec.lanes:
                message = f"routing.bindings[{binding.class_}].backends: {lane} is not in spec.lanes: add or rename it"
                yield Dangling(plan, Reason.LANE_NOT_FOUND, message)


def of_addresses(plan: CapacityPlan, lanes: Sequence[str]) -> Iterator[Dangling]:
    """Lanes that LiteLLM's addresses name and the plan, whose lanes are given, has not."""
    proxy = plan.spec.routing.litellm
    for name in sorted(set(() if proxy is None else proxy.addresses) - set(lanes)):
        message = f"routing.litellm.addresses: {name} is not in spec.lanes: add or rename it"
        yield Dangling(plan, Reason.LANE_NOT_FOUND, message)


def of_tiers(plan: CapacityPlan, classes: Sequence[WorkloadClass]) -> Iterator[Dangling]:
    """Value tiers that classes name and the plan has not."""
    tiers = {tier.name for tier in plan.spec.value_tiers}
    for item in classes:
        if item.spec.value_tier is not None and item.spec.value_tier not in tiers:
            message = (
                f"class {item.metadata.key}: valueTier {item.spec.value_tier} is not in spec.valueTiers: add or "
                "rename it"
            )
            yield Dangling(item, Reason.TIER_NOT_FOUND, message)
