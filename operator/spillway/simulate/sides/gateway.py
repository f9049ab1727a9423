"""The gateway that a plan really has: what it can do beside scaling, and its rules' weights tick by tick."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from spillway.api import CapacityPlan, OverflowMode, RoutingPlane
from spillway.api.plan import Routing
from spillway.decide.decision import Decision
from spillway.decide.snapshot import Actuators, PlanSnapshot, RouteState
from spillway.simulate.policy import Action, Known, Observation
from spillway.simulate.spillway import SpillwayPolicy
from spillway.simulate.world import World

BACKEND_PORT = 8000
QUEUED_PER_REPLICA = 16
"""Requests that an engine lets wait before it answers 503, where nobody says; beyond its running ones."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """What one side's plan can do."""

    actuators: Actuators
    moved: tuple[bool, ...]
    """By class: whether weights can move its traffic."""

    @property
    def caps(self) -> bool:
        """Whether it caps requests in flight, whatever its weights say."""
        return self.actuators.in_flight_cap


def gateway_of(plan: CapacityPlan, world: World, names: Sequence[str]) -> Gateway:
    """As `spillway.observe.actuators` finds it in a cluster where all that the plan needs is in place.

    `names`: of the classes, in the world's order.
    """
    plane, mode = plan.spec.routing.plane, plan.spec.overflow.mode
    bound = {binding.class_ for binding in plan.spec.routing.bindings}
    front = plane is RoutingPlane.LITELLM
    spill = mode is OverflowMode.SPILL
    # Rules are found by a class's name: of two classes of one name neither is moved.
    moved = tuple(names.count(name) == 1 and (front or (plane.has_routes and name in bound)) for name in names)
    return Gateway(Actuators(in_flight_cap=front and spill, spill=plane.has_routes and spill), moved)


def reachable(world: World, gateway: Gateway) -> World:
    """The world in which hosted lanes take only what the gateway can send there: a class whose traffic nothing moves
    stays where it is, on own lanes if it has some.
    """
    classes = tuple(
        replace(truth, hosted=()) if truth.own and not moved else truth
        for truth, moved in zip(world.classes, gateway.moved, strict=True)
    )
    own = world.own
    if gateway.actuators.spill:
        own = tuple(
            lane if lane.max_queued is not None else replace(lane, max_queued=QUEUED_PER_REPLICA) for lane in own
        )
    return replace(world, classes=classes, own=own)


class PlanPolicy(SpillwayPolicy):
    """`decide` with the actuators and the bindings of its plan."""

    def __init__(self, tick_seconds: float, gateway: Gateway, world: World) -> None:
        """``world`` as `reachable` has made it."""
        super().__init__(tick_seconds, gateway.actuators)
        self._gateway, self._world = gateway, world

    def start(self, known: Known) -> Action:
        """See `Policy`."""
        first = super().start(known)
        self._routes = None
        own = [lane.name for lane in self._world.own]
        hosted = [lane.name for lane in self._world.hosted]
        self._rules: dict[int, dict[str, int]] = {}
        if not self._gateway.caps:
            for index, (truth, moved) in enumerate(zip(self._world.classes, self._gateway.moved, strict=True)):
                if moved:
                    self._rules[index] = _first_weights([own[i] for i in truth.own], [hosted[i] for i in truth.hosted])
        self._names = [item.metadata.name for item in known.classes]
        self._plan = self._bound(known.plan, self._plan)
        return first

    def _bound(self, real: CapacityPlan, applied: CapacityPlan) -> CapacityPlan:
        """The plan with its rules as bindings to lanes; without rules as it is."""
        if not self._rules:
            return applied
        plane = real.spec.routing.plane if real.spec.routing.plane.has_routes else RoutingPlane.GATEWAY_API
        bindings = [
            {
                "class": self._names[index],
                "ownership": "Managed",
                "httpRoute": self._names[index],
                "gateway": {"name": "gateway"},
                "backends": {lane: f"{lane}:{BACKEND_PORT}" for lane in weights},
            }
            for index, weights in self._rules.items()
        ]
        routing = Routing.model_validate({"plane": str(plane), "bindings": bindings})
        return applied.model_copy(update={"spec": applied.spec.model_copy(update={"routing": routing})})

    def _snapshot(self, seen: Observation) -> PlanSnapshot:
        routes = tuple(
            RouteState(self._names[i], self._names[i], self._names[i], True, "1", dict(weights), 0, True)
            for i, weights in self._rules.items()
        )
        return replace(super()._snapshot(seen), routes=routes)

    def _action(self, decision: Decision, seen: Observation) -> Action:
        action = super()._action(decision, seen)
        if self._gateway.caps:
            return action
        for route in decision.routes:
            if route.writable and route.class_name in self._names:
                self._rules[self._names.index(route.class_name)] = dict(route.weights)
        own = [lane.name for lane in self._world.own]
        none: dict[str, int] = {}
        rules = [self._rules.get(index, none) for index in range(len(self._names))]
        return replace(
            action,
            hosted_share=tuple(_hosted_share(rule, own) for rule in rules),
            own_split=tuple(tuple(float(rule.get(lane, 0)) for lane in own) if rule else () for rule in rules),
        )


def _first_weights(own: Sequence[str], hosted: Sequence[str]) -> dict[str, int]:
    """Own lanes evenly, or the first hosted one."""
    first = own or hosted[:1]
    even = {name: 100 // len(first) + (index < 100 % len(first)) for index, name in enumerate(first)}
    return {name: even.get(name, 0) for name in (*own, *hosted)}


def _hosted_share(weights: Mapping[str, int], own: Sequence[str]) -> float:
    total = sum(weights.values())
    return sum(weight for lane, weight in weights.items() if lane not in own) / total if total else 0.0
