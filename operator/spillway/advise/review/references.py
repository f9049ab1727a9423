"""What is named and not there: the operator's own check, before the operator meets it."""

from __future__ import annotations

from collections.abc import Iterator

from spillway.advise.review.limits import Finding, Limits
from spillway.advise.review.objects import PlanPair, PlanSide
from spillway.api.plan import AllowedFrom
from spillway.api.references import (
    Dangling,
    lane_missing,
    namespace_refused,
    of_addresses,
    of_bindings,
    of_tiers,
    plan_missing,
)


def references(plan: PlanPair, limits: Limits) -> Iterator[Finding]:
    """What leads nowhere on head; milder where it did on base, or where plans may lie elsewhere."""
    known = set(_told(plan.base))
    elsewhere = all(side.plan is None for side in (*plan.base_plans.values(), *plan.head_plans.values()))
    for text in _told(plan.head):
        if text in known:
            yield limits.references.dangling_as_before.verdict, f"{text} (as on base)"
        elif elsewhere:
            why = "neither side holds a plan, so it may lie elsewhere"
            yield limits.references.dangling_as_before.verdict, f"{text} ({why})"
        else:
            yield limits.references.dangling.verdict, text


def _told(side: PlanSide) -> Iterator[str]:
    for each in _dangling(side):
        yield f"{each.about.KIND} {each.about.metadata.key}: {each.message}"


def _dangling(side: PlanSide) -> Iterator[Dangling]:
    plan, classes = side.plan, list(side.classes.values())
    if plan is None:
        yield from (plan_missing(item) for item in classes)
        return
    yield from (lane_missing(plan, name) for name in plan.spec.lanes if name not in side.lanes)
    yield from of_bindings(plan, classes)
    yield from of_addresses(plan, plan.spec.lanes)
    yield from of_tiers(plan, classes)
    # A namespace's labels are the cluster's: only a plan that takes its own namespace's classes can be told of.
    if plan.spec.allowed_classes.from_ is AllowedFrom.SAME:
        home = plan.metadata.namespace
        yield from (namespace_refused(item) for item in classes if item.metadata.namespace != home)
