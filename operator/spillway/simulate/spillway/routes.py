"""HTTPRoutes for runs without caps: there the operator itself moves traffic, by weights that it writes each tick."""

from __future__ import annotations

from collections.abc import Sequence

from spillway.api import CapacityPlan, DataPolicy, WorkloadClass
from spillway.api.plan import Routing
from spillway.decide.decision import Decision
from spillway.decide.snapshot import RouteState

PORT = 8000


class Routes:
    """One rule for each class, as the apiserver would have it."""

    def __init__(
        self,
        classes: Sequence[WorkloadClass],
        own: Sequence[str],
        hosted: Sequence[str],
        plan: CapacityPlan | None = None,
    ):
        """All traffic goes to own lanes at first, evenly; names are those of lanes.

        ``plan``: a class that it binds has the binding's lanes alone.
        """
        self._hosted = frozenset(hosted)
        self._weights: dict[str, dict[str, int]] = {}
        bindings = () if plan is None else plan.spec.routing.bindings
        bound = {binding.class_: binding.backends for binding in bindings}
        for item in classes:
            lanes = bound.get(item.metadata.name, (*own, *hosted))
            outside = [name for name in hosted if name in lanes and item.spec.data_policy is DataPolicy.ANY]
            inside = [name for name in own if name in lanes]
            first = inside or outside[:1]
            even = {name: 100 // len(first) + (index < 100 % len(first)) for index, name in enumerate(first)}
            self._weights[item.metadata.name] = {name: even.get(name, 0) for name in (*inside, *outside)}

    def bound(self, plan: CapacityPlan) -> CapacityPlan:
        """The plan with the rules as its bindings."""
        bindings = [
            {
                "class": name,
                "ownership": "Adopted",
                "httpRoute": name,
                "rule": name,
                "backends": {lane: f"{lane}:{PORT}" for lane in weights},
            }
            for name, weights in self._weights.items()
        ]
        routing = Routing.model_validate({"plane": "GatewayAPI", "bindings": bindings})
        return plan.model_copy(update={"spec": plan.spec.model_copy(update={"routing": routing})})

    def states(self) -> tuple[RouteState, ...]:
        """The rules now."""
        return tuple(
            RouteState(name, name, name, True, "1", dict(weights), 0, True) for name, weights in self._weights.items()
        )

    def write(self, decision: Decision) -> None:
        """What was decided is in force at once."""
        for route in decision.routes:
            if route.writable:
                self._weights[route.class_name] = dict(route.weights)

    def hosted_share(self, name: str) -> float:
        """Share of a class's requests that goes to hosted lanes."""
        weights = self._weights[name]
        total = sum(weights.values())
        return sum(weight for lane, weight in weights.items() if lane in self._hosted) / total if total else 0.0
