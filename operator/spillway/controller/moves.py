"""Since when each rule has had its weights, and how far that has come: what status shows of routes."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from spillway.act.planes.confirming import evidence
from spillway.act.planes.plane import Confirmation, Move
from spillway.act.planes.registry import plane_of
from spillway.api import RouteStatus
from spillway.api.status import RouteStage
from spillway.decide.snapshot import PlanSnapshot
from spillway.kube import Kube
from spillway.report.figures import percent, shorten


@dataclass(slots=True)
class Moves:
    """Weights by plan and class with the tick in which they were first seen, whoever wrote them, and not refused.

    After a restart all of them count as new, so that they are confirmed once more.
    """

    by_plan: dict[str, dict[str, Move]] = field(default_factory=dict)

    def seen(self, snapshot: PlanSnapshot) -> tuple[Move, ...]:
        """The plan's moves as of this tick."""
        before = self.by_plan.get(snapshot.plan.metadata.uid, {})
        now: dict[str, Move] = {}
        for route in snapshot.routes:
            if not route.exists or not route.weights:
                continue
            known = before.get(route.class_name)
            same = known is not None and dict(known.weights) == dict(route.weights)
            # What is not in force yet counts from when it is: a proxy's rollout may take longer than counters do.
            same = same and route.accepted is not False
            now[route.class_name] = (
                known if same and known else Move(route.class_name, dict(route.weights), snapshot.at)
            )
        self.by_plan[snapshot.plan.metadata.uid] = now
        return tuple(now.values())

    def forget_others(self, uids: Collection[str]) -> None:
        """Drop what belongs to plans that are gone."""
        self.by_plan = {uid: moves for uid, moves in self.by_plan.items() if uid in uids}


async def route_statuses(kube: Kube, snapshot: PlanSnapshot, moves: Moves) -> tuple[RouteStatus, ...]:
    """What the plan's status says of its routes."""
    plane = plane_of(snapshot.plan)
    if plane is None:
        return ()
    found = await plane.confirm(kube, snapshot.plan, moves.seen(snapshot), evidence(snapshot))
    return statuses(found)


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
