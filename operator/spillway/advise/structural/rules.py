"""What is proposed: patches of bounds and lanes that would have been better for days, with what they would save."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from spillway.advise.structural.patches import pointer, removed, replaced
from spillway.advise.structural.record import HOUR_SECONDS, MONTH_SECONDS, Record
from spillway.advise.words import dollars
from spillway.api import (
    Binding,
    CapacityLane,
    CapacityPlan,
    ChangedKind,
    ChangeReason,
    ObjectChange,
    ReplicaBounds,
    RoutingPlane,
)
from spillway.api.lanechange import MOST_STEPS

LOWER_SHARE = Decimal("0.95")
"""A minimum is lowered to what was enough for this share of the time."""
RAISE_SHARE = Decimal("0.99")
"""A maximum is raised to what would have been enough for this share: above it, work spills at the dearest hours."""
FEWEST_DAYS = 2
"""A maximum has to have bound on so many days, where so many were observed: one burst is no structure."""
LEAST_USD_PER_MONTH = Decimal(10)
"""What saves less is not worth anybody's time."""
DAY = 86_400


@dataclass(frozen=True, slots=True)
class Proposed:
    """A structural change that would have been better."""

    reason: ChangeReason
    lane: str
    change: tuple[ObjectChange, ...]
    message: str
    """One sentence with the figures."""
    usd_per_month: Decimal
    """Change of the bill; negative: it falls."""
    observed_seconds: int


@dataclass(frozen=True, slots=True)
class Observed:
    """An own lane of a plan with what was seen of it."""

    lane: CapacityLane
    record: Record
    only_own_of: tuple[str, ...] = ()
    """Classes (namespace/name) that no other own lane of the plan may serve."""
    room: int | None = None
    """Replicas that its GPU pool has room for; None without a limit."""
    dispensable: bool = False
    """Whether nothing rests on it while it isn't used."""


def propose(plan: CapacityPlan, lanes: Sequence[Observed], observe_seconds: int) -> tuple[Proposed, ...]:
    """At most one change of each lane that was observed for long enough; what saves most comes first."""
    found = []
    for each in lanes:
        if each.record.seconds >= observe_seconds and each.lane.spec.self_hosted is not None:
            made = _bounds(each, each.lane.spec.self_hosted.replicas) or _unused(plan, each)
            found += [made] if made is not None else []
    return tuple(sorted(found, key=lambda item: (item.usd_per_month, item.lane)))


def _bounds(seen: Observed, bounds: ReplicaBounds) -> Proposed | None:
    enough = seen.record.needed_for(LOWER_SHARE)
    if enough < bounds.min:
        return _lowered(seen, bounds.min, enough)
    most = seen.record.needed_for(RAISE_SHARE)
    most = most if seen.room is None else min(most, seen.room)
    if most > bounds.max and seen.record.days_where(lambda n: n > bounds.max) >= min(FEWEST_DAYS, seen.record.days):
        return _raised(seen, bounds.max, most)
    return None


def _lowered(seen: Observed, now: int, enough: int) -> Proposed | None:
    saved = seen.record.saved_a_month(enough)
    if saved < LEAST_USD_PER_MONTH:
        return None
    name, moves = seen.lane.metadata.name, enough == 0 and seen.only_own_of
    message = (
        f"{_span(seen.record)} {_replicas(enough)} would have been enough for lane {name} "
        f"{_percent(LOWER_SHARE)} of the time, and its replicas.min of {now} kept {'them' if moves else 'more'}: "
        f"with {enough} the bill would be about {dollars(saved)} a month lower"
    )
    if moves:
        message += f", and {_classes(seen.only_own_of)} would be served by hosted lanes while that is cheaper"
    reason = ChangeReason.MOVE_CLASS if moves else ChangeReason.LOWER_MINIMUM
    return _of_bound(seen, reason, ("min", now, enough), message, -saved)


def _raised(seen: Observed, now: int, most: int) -> Proposed | None:
    served = seen.record.saved_a_month(most)
    saved = served - _committed_a_month(seen.lane) * (most - now)
    # More of what is paid for whether it runs or not has to pay for itself.
    if abs(saved) < LEAST_USD_PER_MONTH or saved < 0 < served:
        return None
    name, short = seen.lane.metadata.name, seen.record.seconds_where(lambda n: n > now)
    message = (
        f"{_span(seen.record)} lane {name} was held at its replicas.max of {now} for {_length(short)}, while "
        f"up to {_replicas(most)} would have paid for themselves: with {most} the bill would be about "
        f"{dollars(abs(saved))} a month {'lower' if saved > 0 else 'higher'}"
    )
    if saved < 0:
        message += ", for requests that nobody serves within their objectives now"
    moves = now == 0 and seen.only_own_of
    if moves:
        message += f", and {_classes(seen.only_own_of)} would be served by own GPUs while that is cheaper"
    reason = ChangeReason.MOVE_CLASS if moves else ChangeReason.RAISE_MAXIMUM
    return _of_bound(seen, reason, ("max", now, most), message, -saved)


def _committed_a_month(lane: CapacityLane) -> Decimal:
    """What one replica more under the maximum costs while it doesn't run: GPUs that are reserved or owned."""
    own = lane.spec.self_hosted
    if own is None:
        return Decimal(0)
    kept: Decimal = own.price.usd_per_gpu_hour - own.price.avoidable_usd_per_gpu_hour
    return kept * own.gpu.per_replica * MONTH_SECONDS / HOUR_SECONDS


def _of_bound(
    seen: Observed, reason: ChangeReason, bound: tuple[str, int, int], message: str, usd_per_month: Decimal
) -> Proposed:
    name, before, after = bound
    meta = seen.lane.metadata
    change = ObjectChange(
        kind=ChangedKind.LANE,
        namespace=meta.namespace,
        name=meta.name,
        patch=replaced(pointer("selfHosted", "replicas", name), before, after),
    )
    return Proposed(reason, meta.name, (change,), f"{message}.", usd_per_month, int(seen.record.seconds))


def _unused(plan: CapacityPlan, seen: Observed) -> Proposed | None:
    bounds, name = seen.lane.spec.self_hosted, seen.lane.metadata.name
    if bounds is None or bounds.replicas.min > 0 or seen.record.used_seconds > 0 or not seen.dispensable:
        return None
    if name not in plan.spec.lanes or len(plan.spec.lanes) < 2:
        return None
    steps = list(removed(pointer("lanes", plan.spec.lanes.index(name)), name))
    for index, binding in enumerate(_bindings(plan)):
        if name in binding.backends:
            if len(binding.backends) < 2:
                return None
            steps += removed(pointer("routing", "bindings", index, "backends", name), binding.backends[name])
    litellm = plan.spec.routing.litellm
    if litellm is not None and name in litellm.addresses:
        steps += removed(pointer("routing", "litellm", "addresses", name), litellm.addresses[name])
    if len(steps) > MOST_STEPS:
        return None
    meta = plan.metadata
    change = ObjectChange(kind=ChangedKind.PLAN, namespace=meta.namespace, name=meta.name, patch=tuple(steps))
    message = (
        f"{_span(seen.record)} lane {name} had no replica and none would have paid for itself: without it the plan "
        "decides the same, and the bill stays as it is."
    )
    return Proposed(ChangeReason.REMOVE_LANE, name, (change,), message, Decimal(0), int(seen.record.seconds))


def _bindings(plan: CapacityPlan) -> Sequence[Binding]:
    """Those that a person has written: with LiteLLM in front they are made up from lanes and classes."""
    return () if plan.spec.routing.plane is RoutingPlane.LITELLM else plan.spec.routing.bindings


def _span(record: Record) -> str:
    return f"Over {_length(record.seconds)} of observation"


def _length(seconds: Decimal) -> str:
    for size, name in ((DAY, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= 2 * size:
            return f"{(seconds / size).quantize(Decimal('0.1'))} {name}s"
    return f"{int(seconds)} seconds"


def _replicas(number: int) -> str:
    return "no replica" if number == 0 else "1 replica" if number == 1 else f"{number} replicas"


def _percent(share: Decimal) -> str:
    return f"{(share * 100).quantize(Decimal(1))}%"


def _classes(keys: Sequence[str]) -> str:
    shown = ", ".join(keys[:3])
    more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
    return f"{'class' if len(keys) == 1 else 'classes'} {shown}{more}"
