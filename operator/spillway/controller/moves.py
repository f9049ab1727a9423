"""Since when each rule has had its weights, and how far that and each lane have come: what status shows of moves."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace

from spillway.act.lane_facts import Seen
from spillway.act.moves import LaneMove
from spillway.act.planes.confirming import evidence
from spillway.act.planes.plane import Confirmation, Move, Stage, share_of
from spillway.act.planes.registry import plane_of
from spillway.api import CapacityPlanStatus, RouteStatus
from spillway.api.status import LaneMoveStatus, RouteStage
from spillway.decide.snapshot import PlanSnapshot, RouteState
from spillway.kube import Kube
from spillway.report.figures import percent, shorten, timestamp

SMALL = 0.05
"""A share that is lowered by no more than this, 0 to 1, takes less away than demand moves by itself: nothing waits."""


@dataclass(slots=True)
class Moves:
    """Weights by plan and class with the tick in which they were first seen, whoever wrote them, and not refused.

    After a restart all of them count as new, so that they are confirmed once more: what was forgotten only makes wait.
    """

    by_plan: dict[str, dict[str, Move]] = field(default_factory=dict)

    def seen(self, snapshot: PlanSnapshot) -> tuple[Move, ...]:
        """The plan's moves as of this tick."""
        before = self.by_plan.get(snapshot.plan.metadata.uid, {})
        now = {
            route.class_name: _move(before.get(route.class_name), route, snapshot.at)
            for route in snapshot.routes
            if route.exists and route.weights
        }
        self.by_plan[snapshot.plan.metadata.uid] = now
        return tuple(now.values())

    def confirmed(self, snapshot: PlanSnapshot, found: Iterable[Confirmation]) -> None:
        """Take note of what counters show to be where its weights are: nothing is on its way there."""
        moves = self.by_plan.get(snapshot.plan.metadata.uid, {})
        for each in found:
            move = moves.get(each.class_name)
            if move is not None and each.stage is Stage.CONFIRMED:
                shares = {lane: share_of(move.weights, lane) for lane in move.weights}
                moves[each.class_name] = replace(move, peaks=shares, lowered_at={})

    def forget_others(self, uids: Collection[str]) -> None:
        """Drop what belongs to plans that are gone."""
        self.by_plan = {uid: moves for uid, moves in self.by_plan.items() if uid in uids}


def _move(known: Move | None, route: RouteState, at: float) -> Move:
    weights = route.weights
    if known is not None and dict(known.weights) == dict(weights):
        if route.accepted is not False:
            return known
        # What is not in force yet counts from when it is: a proxy's rollout may take longer than counters do.
        return replace(known, written_at=at, lowered_at=dict.fromkeys(known.lowered_at, at))
    shares = {lane: share_of(weights, lane) for lane in weights}
    # Of weights that nobody saw come, any lane may have had all before.
    before = {} if known is None else known.peaks
    peaks = {lane: max(share, before.get(lane, 1.0)) for lane, share in shares.items()}
    lowered: dict[str, float] = {}
    for lane, share in shares.items():
        if share >= peaks[lane] - SMALL and (share > 0 or peaks[lane] == 0):
            continue
        fell = known is None or share < share_of(known.weights, lane)
        lowered[lane] = at if known is None or fell else known.lowered_at.get(lane, at)
    return Move(route.class_name, dict(weights), at, None if known is None else known.weights, peaks, lowered)


async def look(kube: Kube, snapshot: PlanSnapshot, moves: Moves) -> Seen:
    """How far the plan's weights have come."""
    plane = plane_of(snapshot.plan)
    if plane is None:
        return Seen()
    under_way = moves.seen(snapshot)
    found = await plane.confirm(kube, snapshot.plan, under_way, evidence(snapshot))
    moves.confirmed(snapshot, found)
    return Seen({each.class_name: each for each in under_way}, {each.class_name: each for each in found})


def statuses(found: Iterable[Confirmation]) -> tuple[RouteStatus, ...]:
    """Confirmations as the resource shows them."""
    return tuple(
        RouteStatus(
            **{"class": each.class_name},
            stage=RouteStage(each.stage.value),
            reason=each.reason,
            message=shorten(each.message, 512),
            hosted_percent=percent(each.hosted_share),
        )
        for each in found
    )


def move_statuses(
    moves: Iterable[LaneMove], previous: CapacityPlanStatus | None, now: float
) -> dict[str, LaneMoveStatus]:
    """Moves as the resource shows them, by lane; a state that goes on keeps its beginning."""
    before = shown_moves(previous)
    made = {}
    for move in moves:
        old = before.get(move.lane)
        since = old.since if old is not None and old.state is move.state else timestamp(now)
        made[move.lane] = LaneMoveStatus(
            state=move.state, since=since, reason=move.reason, message=shorten(move.message, 512)
        )
    return made


def shown_moves(status: CapacityPlanStatus | None) -> dict[str, LaneMoveStatus]:
    """What a status says of moves, by lane."""
    return {lane.name: lane.move for lane in (status.lanes if status else ()) if lane.move is not None}
