"""What the gateway should do by itself: caps and holds, where the plane has them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from spillway.decide.curves import Curve
from spillway.decide.decision import LaneDecision
from spillway.decide.demand import ClassDemand
from spillway.decide.eligibility import Placement
from spillway.decide.memory import LaneMemory
from spillway.decide.reasons import Code, because
from spillway.decide.scaling import Scaled
from spillway.decide.snapshot import ClassSnapshot, PlanSnapshot
from spillway.decide.traffic import ClassTraffic


def with_valve(
    snapshot: PlanSnapshot, lane: LaneDecision, curves: Mapping[str, Curve], memory: LaneMemory | None
) -> LaneDecision:
    """The lane's decision with its in-flight cap: a cap of 2.5 is 2 and 3 in turn, never farther than 1 from it."""
    made = curves.get(lane.name)
    if made is None or not snapshot.actuators.in_flight_cap:
        return lane
    owed = 0.0 if memory is None else memory.cap_owed
    return replace(lane, in_flight_cap=max(1, math.floor(made.valve.cap + owed + 0.5)))


def owed(lane: LaneDecision, curves: Mapping[str, Curve], memory: LaneMemory) -> LaneMemory:
    """What rounding the cap has left over, for the next tick."""
    made = curves.get(lane.name)
    if made is None or lane.in_flight_cap is None:
        return memory
    left = memory.cap_owed + made.valve.cap - lane.in_flight_cap
    return replace(memory, cap_owed=max(-1.0, min(1.0, left)))


def hold_seconds(
    snapshot: PlanSnapshot, key: str, curves: Mapping[str, Curve], scaled: Mapping[str, Scaled]
) -> float | None:
    """How long a request of the class waits for room; not at all where none of its lanes has a replica."""
    if not snapshot.actuators.hold:
        return None
    holds = [
        curves[name].hold_seconds[key]
        for name, lane in scaled.items()
        if name in curves and key in curves[name].hold_seconds and (lane.view.ready or 0) > 0
    ]
    return min(holds, default=0.0)


def spilled_by_gateway(
    snapshot: PlanSnapshot,
    places: Mapping[str, Placement],
    demands: Mapping[str, ClassDemand],
    scaled: Mapping[str, Scaled],
) -> dict[str, ClassTraffic]:
    """Where the gateway spills by cap and hold: weights only say which classes own lanes don't serve at all."""
    return {item.key: _traffic(item, places[item.key], demands[item.key], scaled) for item in snapshot.classes}


def _traffic(item: ClassSnapshot, place: Placement, demand: ClassDemand, scaled: Mapping[str, Scaled]) -> ClassTraffic:
    problem = demand.problem()
    if problem is not None:
        return ClassTraffic(item.key, None, None, None, problem)
    serving = any((scaled[name].view.ready or 0) > 0 for name in place.own if name in scaled)
    if not place.hosted:
        message = f"Class {item.key} has no usable hosted lane; own GPUs take all of it."
        return ClassTraffic(item.key, 0.0, None, None, because(Code.OWN_ONLY, message))
    if not serving:
        message = f"All of {item.key} goes to hosted lanes, as no own replica is Ready."
        return ClassTraffic(item.key, 1.0, None, None, because(Code.HOSTED_ONLY, message))
    message = f"Requests of {item.key} that find no room on own lanes in time go to hosted lanes."
    return ClassTraffic(item.key, 0.0, None, None, because(Code.SPILLING, message))
