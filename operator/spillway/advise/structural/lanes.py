"""What rests on an own lane of a plan: which classes have no other, and whether it may go while nothing uses it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from spillway.api import (
    CapacityLane,
    CapacityPlan,
    DataPolicy,
    LaneType,
    OverflowMode,
    RoutingPlane,
    WorkloadClass,
)


def serves(plan: CapacityPlan, lane: CapacityLane, item: WorkloadClass) -> bool:
    """Whether the lane may answer for the class: by its models, and by the class's binding where there is one."""
    routing = plan.spec.routing
    binding = next((each for each in routing.bindings if each.class_ == item.metadata.name), None)
    if binding is not None and routing.plane is not RoutingPlane.NONE and lane.metadata.name not in binding.backends:
        return False
    return bool(set(item.spec.equivalent_models) & set(lane.spec.models))


def only_own_of(
    plan: CapacityPlan, lane: CapacityLane, lanes: Sequence[CapacityLane], classes: Iterable[WorkloadClass]
) -> tuple[str, ...]:
    """Classes that the lane may serve and no other own lane of the plan."""
    others = [each for each in lanes if _own(each) and each.metadata.name != lane.metadata.name]
    return tuple(
        item.metadata.key
        for item in classes
        if serves(plan, lane, item) and not any(serves(plan, other, item) for other in others)
    )


def dispensable(
    plan: CapacityPlan, lane: CapacityLane, lanes: Sequence[CapacityLane], classes: Sequence[WorkloadClass]
) -> bool:
    """Whether an own lane that nobody uses may go: what it could serve has another own lane, or is served hosted.

    Where a ceiling or a provider's limit may stop hosted lanes, where a gateway spills by itself, and where data must
    stay, an own lane at 0 is what a class falls back to: it stays unless there is another.
    """
    alone = set(only_own_of(plan, lane, lanes, classes))
    if not alone:
        return True
    if plan.spec.overflow.mode is not OverflowMode.SPLIT or _limited(plan):
        return False
    hosted = [each for each in lanes if each.spec.hosted is not None and each.spec.hosted.limits is None]
    return all(
        item.spec.data_policy is DataPolicy.ANY
        and any(each.spec.type is LaneType.HOSTED_REALTIME and serves(plan, each, item) for each in hosted)
        for item in classes
        if item.metadata.key in alone
    )


def _limited(plan: CapacityPlan) -> bool:
    ceiling = plan.spec.overflow.ceiling_usd
    stated = (ceiling.per_hour, ceiling.per_day, ceiling.per_month)
    tiers = (tier.max_spill_usd_per_hour for tier in plan.spec.value_tiers)
    return any(value is not None for value in (*stated, *tiers))


def _own(lane: CapacityLane) -> bool:
    return lane.spec.type is LaneType.SELF_HOSTED
