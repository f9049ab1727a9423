"""The route rules that a plan's bindings name, as the apiserver has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spillway.api import Binding, CapacityPlan, Ownership, RoutingPlane
from spillway.api.names import MANAGED_LABEL, MANAGED_VALUE, PLAN_ANNOTATION, BackendName
from spillway.decide.snapshot import RouteState

JSON = dict[str, Any]


def rule_index(route: JSON, binding: Binding) -> int | None:
    """Index of the binding's rule in the route; a managed route has one rule."""
    rules = (route.get("spec") or {}).get("rules") or []
    if binding.ownership is Ownership.MANAGED:
        return 0 if rules else None
    return next((i for i, rule in enumerate(rules) if rule.get("name") == binding.rule), None)


def backend_index(rule: JSON, backend: BackendName) -> int | None:
    """Index of the backend in the rule's backendRefs."""
    for index, ref in enumerate(rule.get("backendRefs") or []):
        same = ref.get("name") == backend.name and ref.get("kind", "Service") == backend.kind
        if same and (backend.port is None or ref.get("port") in (None, backend.port)):
            return index
    return None


def accepted(route: JSON) -> bool | None:
    """Whether every parent accepts this generation and resolves its references; None without a status."""
    parents = (route.get("status") or {}).get("parents") or []
    generation = route["metadata"].get("generation")
    if not parents:
        return None
    for parent in parents:
        held = {
            c["type"]
            for c in parent.get("conditions") or []
            if c.get("status") == "True" and c.get("observedGeneration", generation) == generation
        }
        if not {"Accepted", "ResolvedRefs"} <= held:
            return False
    return True


def managed_by(route: JSON, plan: CapacityPlan) -> bool:
    """Whether the route is one that Spillway generated for this plan."""
    meta = route["metadata"]
    labels, annotations = meta.get("labels") or {}, meta.get("annotations") or {}
    return labels.get(MANAGED_LABEL) == MANAGED_VALUE and annotations.get(PLAN_ANNOTATION) == plan.metadata.key


def _problem(plan: CapacityPlan, binding: Binding, route: JSON | None, index: int | None) -> str | None:
    where = f"HTTPRoute {plan.metadata.namespace}/{binding.http_route}"
    if binding.ownership is Ownership.MANAGED:
        if route is not None and not managed_by(route, plan):
            return f"{where} exists and is not Spillway's: use ownership Adopted, or another name"
        bare = [
            lane
            for lane, text in binding.backends.items()
            if (b := BackendName.parse(text)).kind == "Service" and b.port is None
        ]
        return f"binding {binding.class_}: backends.{bare[0]} needs a port (name:port)" if bare else None
    if route is None:
        return f"{where} does not exist: create it, or use ownership Managed"
    if index is None:
        return f"{where} has no rule named {binding.rule}: name the rule (spec.rules[].name)"
    rule = route["spec"]["rules"][index]
    for lane, text in binding.backends.items():
        if backend_index(rule, BackendName.parse(text)) is None:
            return f"{where} rule {binding.rule} has no backendRef {text} (lane {lane}): add it with weight 0"
    return None


def route_state(plan: CapacityPlan, binding: Binding, routes: Mapping[str, JSON]) -> RouteState:
    """The binding's rule now. ``routes`` are the plan's namespace's HTTPRoutes by name."""
    route = routes.get(binding.http_route)
    index = rule_index(route, binding) if route else None
    problem = _problem(plan, binding, route, index)
    generated = binding.ownership is Ownership.MANAGED
    weights: dict[str, int] = dict.fromkeys(binding.backends, 0) if generated and index is None else {}
    if route is not None and index is not None:
        rule = route["spec"]["rules"][index]
        for lane, text in binding.backends.items():
            position = backend_index(rule, BackendName.parse(text))
            if position is not None:
                weights[lane] = int(rule["backendRefs"][position].get("weight", 1))
    return RouteState(
        class_name=binding.class_,
        route=binding.http_route,
        rule=binding.rule,
        exists=route is not None,
        resource_version=route["metadata"]["resourceVersion"] if route else "",
        weights=weights,
        rule_index=index,
        accepted=accepted(route) if route else None,
        problem=problem,
    )


def route_states(plan: CapacityPlan, routes: Mapping[str, JSON]) -> tuple[RouteState, ...]:
    """The rules of all the plan's bindings."""
    if plan.spec.routing.plane is not RoutingPlane.GATEWAY_API:
        return ()
    return tuple(route_state(plan, binding, routes) for binding in plan.spec.routing.bindings)
