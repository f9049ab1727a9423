"""The rules of AIGatewayRoutes (Envoy AI Gateway) that a plan's bindings name, as the apiserver has them.

What Envoy gets is Envoy Gateway's doing, so endpoints behind AIServiceBackends must not be mixed here either; which
lane stands behind which is the rule's ``priority``, and no Backend's ``fallback``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spillway.api import Binding, CapacityPlan, OverflowMode, Ownership, RoutingPlane, WorkloadClass
from spillway.api.airoutes import KIND, accepted, class_key, maker, priority, rule_index, rules_of
from spillway.api.names import BackendName, strangers
from spillway.api.routes import effective
from spillway.decide.snapshot import RouteState
from spillway.observe.endpoints import Backends, endpoint_problem
from spillway.observe.membership import Members
from spillway.observe.routes import managed_by

JSON = dict[str, Any]
Objects = Mapping[str, JSON]
"""Of one kind and namespace, by name."""


@dataclass(frozen=True, slots=True)
class AISight:
    """What Envoy AI Gateway's routes are made of, in one namespace."""

    routes: Objects | None
    """AIGatewayRoutes; None where they can't be read."""
    services: Objects | None
    """AIServiceBackends; None where they can't be read."""
    made: Objects
    """HTTPRoutes."""
    backends: Backends
    """Envoy Gateway's Backends; None where they can't be read."""


def has_ai_routes(plan: CapacityPlan) -> bool:
    """Whether the plan's bindings name AIGatewayRoutes."""
    return plan.spec.routing.plane is RoutingPlane.ENVOY_AI_GATEWAY


def rule_keys(members: Iterable[Members]) -> dict[tuple[str, str], str]:
    """What stands for the names of AIGatewayRoutes' rules, by (plan key, class)."""
    return {
        (each.plan.metadata.key, resource.metadata.name): key
        for each in members
        if has_ai_routes(each.plan)
        for resource in each.classes
        if (key := class_key(resource)) is not None
    }


def ai_route_states(
    plan: CapacityPlan,
    classes: Sequence[WorkloadClass],
    seen: AISight,
    conflicts: Mapping[tuple[str, str], str],
    own: Collection[str],
) -> tuple[RouteState, ...]:
    """The rules of all the plan's bindings. ``own``: names of its own lanes."""
    by_name = {each.metadata.name: each for each in classes}
    return tuple(
        _state(
            _Rule(plan, binding, by_name[binding.class_], seen, own), conflicts.get((plan.metadata.key, binding.class_))
        )
        for binding in plan.spec.routing.bindings
        if binding.class_ in by_name
    )


@dataclass(frozen=True, slots=True)
class _Rule:
    """One binding's rule, and all that bears on it."""

    plan: CapacityPlan
    binding: Binding
    resource: WorkloadClass
    seen: AISight
    own: Collection[str]

    @property
    def route(self) -> JSON | None:
        """The AIGatewayRoute."""
        return (self.seen.routes or {}).get(self.binding.http_route)

    @property
    def made(self) -> JSON | None:
        """The HTTPRoute of its name."""
        return self.seen.made.get(self.binding.http_route)

    @property
    def managed(self) -> bool:
        """Whether Spillway generates the route."""
        return self.binding.ownership is Ownership.MANAGED

    @property
    def index(self) -> int | None:
        """Of the rule in the route; a generated route's first is the class's."""
        if self.route is None:
            return None
        return (0 if rules_of(self.route) else None) if self.managed else rule_index(self.route, self.resource)

    @property
    def refs(self) -> list[JSON]:
        """Its backendRefs."""
        if self.route is None or self.index is None:
            return []
        return rules_of(self.route)[self.index].get("backendRefs") or []

    @property
    def where(self) -> str:
        """The route for messages."""
        return f"{KIND} {self.plan.metadata.namespace}/{self.binding.http_route}"


def _state(rule: _Rule, conflict: str | None) -> RouteState:
    route, binding = rule.route, rule.binding
    # Lanes that may not serve the class are left out of a generated route.
    weights: dict[str, int] = dict.fromkeys(binding.backends, 0) if rule.managed else {}
    for lane, text in binding.backends.items():
        position = BackendName.parse(text).position(rule.refs)
        if position is not None:
            weights[lane] = int(rule.refs[position].get("weight", 1))
    if rule.plan.spec.overflow.mode is OverflowMode.SPILL:
        weights = effective(weights, rule.own)
    return RouteState(
        class_name=binding.class_,
        route=binding.http_route,
        rule=None if rule.managed else class_key(rule.resource),
        exists=route is not None,
        resource_version=route["metadata"]["resourceVersion"] if route else "",
        weights=weights,
        rule_index=rule.index,
        accepted=accepted(route, rule.made) if route else None,
        problem=conflict or _problem(rule),
    )


def _problem(rule: _Rule) -> str | None:
    plan, binding, key = rule.plan, rule.binding, class_key(rule.resource)
    if rule.seen.routes is None or rule.seen.services is None:
        return (
            f"binding {binding.class_}: AIGatewayRoutes or AIServiceBackends can't be read: install Envoy AI Gateway "
            "with aigateway.envoyproxy.io/v1beta1, or grant get and list on them"
        )
    if rule.seen.backends is None:
        return (
            f"binding {binding.class_}: Envoy Gateway's Backends can't be read: install it, or grant list on backends"
        )
    if key is None:
        return f"binding {binding.class_}: {rule.where} needs a header to match: give the class match.model or .header"
    if rule.made is not None and maker(rule.made) is None:
        return (
            f"HTTPRoute {plan.metadata.namespace}/{binding.http_route} exists, and Envoy AI Gateway would overwrite it "
            f"with what it makes from {rule.where}: use another name"
        )
    if rule.managed:
        if rule.route is not None and not managed_by(rule.route, plan):
            return f"{rule.where} exists and is not Spillway's: use ownership Adopted, or another name"
        named = [{"name": text} for text in binding.backends.values()]
        mixed = _endpoints(named, rule)
        return f"binding {binding.class_} {mixed}" if mixed else None
    return _adopted_problem(rule, key)


def _adopted_problem(rule: _Rule, key: str) -> str | None:
    binding = rule.binding
    if rule.route is None:
        return f"{rule.where} does not exist: create it, or use ownership Managed"
    if rule.index is None:
        return f"{rule.where} has no rule that matches {key} and nothing else: give it one"
    where = f"{rule.where} rule {key}"
    for lane, text in binding.backends.items():
        if BackendName.parse(text).position(rule.refs) is None:
            return f"{where} has no backendRef {text} (lane {lane}): add it with weight 0"
    if others := strangers(rule.refs, binding.backends):
        return (
            f"{where} also sends traffic to {', '.join(others)}, which stands for no lane: "
            "name it in the binding's backends, or give it weight 0"
        )
    wrong = _priorities(rule) or _endpoints(rule.refs, rule)
    return f"{where} {wrong}" if wrong else None


def _priorities(rule: _Rule) -> str | None:
    """Why its backendRefs' priorities are not what the mode needs, as the end of a sentence."""
    spills = rule.plan.spec.overflow.mode is OverflowMode.SPILL
    for lane, text in rule.binding.backends.items():
        position = BackendName.parse(text).position(rule.refs)
        found = 0 if position is None else priority(rule.refs[position])
        if lane in rule.own and found:
            return f"gives {text} of an own lane priority {found}: take that out"
        if lane not in rule.own and spills and not found:
            return f"is to spill, but {text} (lane {lane}) has priority 0, a paid split: give it priority 1"
        if lane not in rule.own and found and not spills:
            return f"gives {text} (lane {lane}) priority {found}, so that weights move nothing to it: take that out"
    return None


def _endpoints(refs: Sequence[Mapping[str, Any]], rule: _Rule) -> str | None:
    """Why traffic must not be moved between these AIServiceBackends, as the end of a sentence."""
    services = rule.seen.services or {}
    behind = []
    for ref in refs:
        found = services.get(str(ref.get("name")))
        if found is None:
            return f"names AIServiceBackend {ref.get('name')}, which does not exist: create it"
        behind.append((found.get("spec") or {}).get("backendRef") or {})
    return endpoint_problem(behind, rule.seen.backends)
