"""Executes one plan's Decision in the safe order, after a last look at whether it is still allowed.

Up: hosted weights are raised, then capacity is added. Down: hosted weights are lowered, then capacity is removed.
Which lane may get or lose replicas is its move's to say: none go before their traffic is seen to be away.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from spillway.act.lane_facts import Seen, Told, lane_moves
from spillway.act.litellm.terms import terms_of
from spillway.act.moves import LaneMove, May
from spillway.act.planes.plane import Plane, Refusal, Rendered, Wanted
from spillway.act.planes.registry import egress_of, plane_of
from spillway.act.scale import scale_lane
from spillway.act.writes import Outcome, Write
from spillway.api import CapacityLane, CapacityPlan, LaneType, Mode, OverflowMode, Ownership, RoutingPlane
from spillway.api.proxynote import PROXY_PROBLEM
from spillway.decide.decision import Decision, LaneDecision, RouteDecision
from spillway.decide.eligibility import moves_traffic
from spillway.decide.snapshot import PlanSnapshot
from spillway.kube import LANES, PLANS, Kube, KubeError

Stopped = Callable[[str], Awaitable[bool]]
"""Whether the emergency stop holds for a namespace now, freshly read."""


async def still_allowed(kube: Kube, plan: CapacityPlan, stopped: Stopped) -> bool:
    """Whether the plan is as it was decided on, in Apply, unpaused, and no stop holds."""
    fresh = await kube.find(PLANS, plan.metadata.namespace, plan.metadata.name)
    if fresh is None or fresh["metadata"].get("deletionTimestamp"):
        return False
    spec = fresh.get("spec") or {}
    same = fresh["metadata"].get("generation") == plan.metadata.generation
    same = same and fresh["metadata"].get("uid") == plan.metadata.uid
    acting = spec.get("mode") == Mode.APPLY and not spec.get("paused", False)
    return same and acting and not await stopped(plan.metadata.namespace)


def _hosted_percent(snapshot: PlanSnapshot, decided: RouteDecision, now: bool) -> float:
    weights = decided.current if now else decided.weights
    total = sum(weights.values())
    hosted = 0
    for name, weight in weights.items():
        lane = snapshot.lane(name)
        if lane is not None and lane.resource.spec.type is not LaneType.SELF_HOSTED:
            hosted += weight
    return 100 * hosted / total if total else 0.0


def to_write(decision: Decision, snapshot: PlanSnapshot) -> tuple[list[RouteDecision], list[LaneDecision]]:
    """Routes to look at, and lanes to scale: what may be written and differs from what is observed, or may differ."""
    routes = [r for r in decision.routes if _looked_at(snapshot, r)]
    lanes = []
    for decided in decision.lanes:
        observed = snapshot.lane(decided.name)
        target = observed.target if observed else None
        if not decided.writable or decided.recommended is None or target is None:
            continue
        if decided.recommended != decided.current or not target.owned_by_spillway:
            lanes.append(decided)
    return routes, lanes


def _looked_at(snapshot: PlanSnapshot, decided: RouteDecision) -> bool:
    """Whether the plane has to look: of an adopted rule that shares out, the weights alone say that nothing is due."""
    spec = snapshot.plan.spec
    states = (r for r in snapshot.routes if r.class_name == decided.class_name)
    if any(state.accepted is False for state in states):
        # Back to what the gateway did accept, whatever else forbids to move the rule.
        return True
    if _unborn(snapshot, decided):
        return True
    if not decided.writable:
        return False
    bindings = {binding.class_: binding for binding in spec.routing.bindings}
    binding = bindings.get(decided.class_name)
    adopted = binding is not None and binding.ownership is Ownership.ADOPTED
    plain = spec.routing.plane.has_routes and spec.overflow.mode is not OverflowMode.SPILL
    return decided.changed or not (adopted and plain)


def _unborn(snapshot: PlanSnapshot, decided: RouteDecision) -> bool:
    """Whether the route is still to be generated: no demand is ever seen of a class that has none."""
    states = (r for r in snapshot.routes if r.class_name == decided.class_name)
    return moves_traffic(snapshot) and any(not state.exists and state.problem is None for state in states)


@dataclass(frozen=True, slots=True)
class Executed:
    """What one plan's tick has come to."""

    writes: tuple[Write, ...] = ()
    """What was attempted, in order."""
    moves: tuple[LaneMove, ...] = ()
    """Where each own lane stands."""


async def execute(
    kube: Kube,
    snapshot: PlanSnapshot,
    decision: Decision,
    seen: Seen,
    stopped: Stopped,
    clock: Callable[[], float],
) -> Executed:
    """Write what was decided. ``seen``: how far earlier weights have come. ``clock`` gives Unix time in seconds."""
    routes, lanes = to_write(decision, snapshot)
    rising = [r for r in routes if _hosted_percent(snapshot, r, False) >= _hosted_percent(snapshot, r, True)]
    falling = [r for r in routes if r not in rising]
    if snapshot.plan.spec.routing.plane is RoutingPlane.LITELLM:
        # One configuration holds them all, and each writing of it restarts the proxy.
        rising, falling = routes, []
    router = _Router(kube, snapshot, decision, clock())
    egress, up = await router.render_egress(), await router.render(rising)
    moves = lane_moves(snapshot, decision, seen, _told(snapshot, (up,), ()))
    if not (egress.due or up.due or falling or lanes) or not await still_allowed(kube, snapshot.plan, stopped):
        return Executed(moves=moves)
    writes: list[Write] = []
    writes += await router.write_egress(egress)
    writes += await router.write(up)
    writes += await _lanes(kube, snapshot, [d for d in lanes if _may_grow(d, moves)], clock)
    down = await router.render(falling)
    writes += await router.write(down)
    moves = lane_moves(snapshot, decision, seen, _told(snapshot, (up, down), writes))
    writes += await _lanes(kube, snapshot, [d for d in lanes if _may(d, moves, May.REMOVE)], clock)
    return Executed(tuple(writes), moves)


def _may(decided: LaneDecision, moves: Sequence[LaneMove], what: May) -> bool:
    return any(move.lane == decided.name and what in move.may for move in moves)


def _may_grow(decided: LaneDecision, moves: Sequence[LaneMove]) -> bool:
    """Whether replicas may be added; taking part ownership at an unchanged count moves nothing."""
    return decided.recommended == decided.current or _may(decided, moves, May.ADD)


def _told(snapshot: PlanSnapshot, looked: Sequence[_Due], writes: Sequence[Write]) -> Told:
    """What looks at the routes and writes of this tick say of the weights."""
    refused = {each.class_name: each.why for due in looked for each in due.rendered.refused if each.backing_off}
    lost = [
        f"{write.subject} was not written: {write.error}" for write in writes if write.kind in ROUTING and not write.ok
    ]
    if lost or any(due.failed for due in looked):
        return Told(refused, lost[0] if lost else "routes could not be read")
    if snapshot.plan.spec.routing.plane is not RoutingPlane.LITELLM:
        return Told(refused)
    # LiteLLM has what is written when its rollout is complete.
    pending = any(due.rendered.waiting for due in looked)
    pending = pending or any(write.kind in ("config", "rollout") for write in writes)
    pending = pending or any(route.accepted is False for route in snapshot.routes)
    return Told(refused, "the proxy's configuration is not loaded by every pod yet" if pending else "")


NOTHING = Rendered()
ROUTING = frozenset({"route", "policy", "config", "rollout"})
"""Kinds of writes that move traffic."""


@dataclass(frozen=True, slots=True)
class _Due:
    """What a look at some routes found."""

    rendered: Rendered = NOTHING
    failed: tuple[Write, ...] = ()

    @property
    def due(self) -> bool:
        """Whether there is anything to write or to tell: weights that were refused lately are told of by the move."""
        return bool(self.rendered.changes or self.news or self.failed)

    @property
    def news(self) -> tuple[Refusal, ...]:
        """Refusals that are no mere waiting."""
        return tuple(each for each in self.rendered.refused if not each.backing_off)


class _Router:
    """Brings routes to their decided weights through the plan's plane, some now and others later."""

    def __init__(self, kube: Kube, snapshot: PlanSnapshot, decision: Decision, at: float) -> None:
        self._kube, self._snapshot, self._at = kube, snapshot, at
        self._decision = decision
        self._plane: Plane | None = plane_of(snapshot.plan)
        self._egress: Plane | None = egress_of(snapshot.plan)
        self._weights = {route.class_name: route.current for route in decision.routes}
        self._frozen = frozenset(
            route.class_name for route in decision.routes if not (route.writable or _unborn(snapshot, route))
        )
        self._in_flight = {
            lane.name: lane.in_flight_cap * _staying(lane) for lane in decision.lanes if lane.in_flight_cap is not None
        }

    async def render(self, routes: Sequence[RouteDecision]) -> _Due:
        """What must be written for these routes; the others keep what they have, or got before."""
        whole = self._plane is not None and self._plane.name is RoutingPlane.LITELLM and self._may_configure()
        if self._plane is None or not (routes or whole):
            return _Due()
        self._weights |= {route.class_name: route.weights for route in routes}
        return await self._rendered(self._plane, routes)

    async def render_egress(self) -> _Due:
        """What must be written for the proxy behind the gateway."""
        if self._egress is None or not self._may_configure():
            return _Due()
        return await self._rendered(self._egress, ())

    def _may_configure(self) -> bool:
        """Whether a proxy's configuration may be written, whatever is decided of single routes."""
        broken = any(finding.reason == PROXY_PROBLEM for finding in self._snapshot.findings)
        return moves_traffic(self._snapshot) and not broken

    async def _rendered(self, plane: Plane, routes: Sequence[RouteDecision]) -> _Due:
        proxied = self._snapshot.plan.spec.routing.litellm is not None
        wanted = Wanted(
            plan=self._snapshot.plan,
            classes=tuple(item.resource for item in self._snapshot.classes),
            lanes=tuple(lane.resource for lane in self._snapshot.lanes),
            weights=dict(self._weights),
            moving=frozenset(route.class_name for route in routes),
            frozen=self._frozen,
            at=self._at,
            in_flight=self._in_flight,
            terms=terms_of(self._snapshot, self._decision) if proxied else None,
        )
        try:
            return _Due(plane.render(wanted, await plane.read(self._kube, wanted)))
        except KubeError as error:
            subject = f"CapacityPlan/{self._snapshot.key}"
            return _Due(failed=(Write("route", subject, "routes not read", Outcome.FAILED, error.message),))

    async def write(self, due: _Due) -> list[Write]:
        """Send what is due."""
        if self._plane is None:
            return []
        return [*due.failed, *await self._plane.apply(self._kube, replace(due.rendered, refused=due.news))]

    async def write_egress(self, due: _Due) -> list[Write]:
        """Send what is due of the proxy behind the gateway."""
        return [] if self._egress is None else [*due.failed, *await self._egress.apply(self._kube, due.rendered)]


def _staying(lane: LaneDecision) -> int:
    """Replicas that serve now and are to stay."""
    ready = lane.ready or 0
    return ready if lane.recommended is None or not lane.writable else min(ready, lane.recommended)


async def _unchanged(kube: Kube, lane: CapacityLane) -> bool:
    """Whether the lane's spec is as it was decided on: its bounds and its target may have been edited since."""
    fresh = await kube.find(LANES, lane.metadata.namespace, lane.metadata.name)
    meta = fresh["metadata"] if fresh else {}
    same = meta.get("uid") == lane.metadata.uid and meta.get("generation") == lane.metadata.generation
    return same and not meta.get("deletionTimestamp")


async def _lanes(
    kube: Kube, snapshot: PlanSnapshot, decided: list[LaneDecision], clock: Callable[[], float]
) -> list[Write]:
    writes: list[Write] = []
    for lane in decided:
        observed = snapshot.lane(lane.name)
        if observed is not None and observed.target is not None and await _unchanged(kube, observed.resource):
            writes += await scale_lane(kube, observed.resource, lane, observed.target.uid, clock())
    return writes
