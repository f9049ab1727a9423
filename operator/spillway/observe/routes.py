"""The route rules that a plan's bindings name, as the apiserver has them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from spillway.api import Binding, CapacityPlan, Ownership, RoutingPlane
from spillway.api.airoutes import maker
from spillway.api.names import MANAGED_LABEL, MANAGED_VALUE, PLAN_ANNOTATION, BackendName, strangers
from spillway.api.routes import accepted, effective
from spillway.decide.snapshot import RouteState
from spillway.observe.endpoints import Backends, managed_refs
from spillway.observe.spill import mix_problem, spills

JSON = dict[str, Any]


def rule_index(route: JSON, binding: Binding) -> int | None:
    """Index of the binding's rule in the route; a managed route has one rule."""
    rules = (route.get("spec") or {}).get("rules") or []
    if binding.ownership is Ownership.MANAGED:
        # The first; a second one serves those who opt out of hosted lanes.
        return 0 if rules else None
    return next((i for i, rule in enumerate(rules) if rule.get("name") == binding.rule), None)


def managed_by(route: JSON, plan: CapacityPlan) -> bool:
    """Whether the route is one that Spillway generated for this plan, and not a controller's copy of its notes."""
    meta = route["metadata"]
    labels, annotations = meta.get("labels") or {}, meta.get("annotations") or {}
    ours = labels.get(MANAGED_LABEL) == MANAGED_VALUE and annotations.get(PLAN_ANNOTATION) == plan.metadata.key
    return ours and maker(route) is None


def _problem(
    plan: CapacityPlan,
    binding: Binding,
    route: JSON | None,
    index: int | None,
    backends: Backends,
    own: Collection[str],
) -> str | None:
    where = f"HTTPRoute {plan.metadata.namespace}/{binding.http_route}"
    if binding.ownership is Ownership.MANAGED:
        if route is not None and not managed_by(route, plan):
            return f"{where} exists and is not Spillway's: use ownership Adopted, or another name"
        bare = [
            lane
            for lane, text in binding.backends.items()
            if (b := BackendName.parse(text)).kind == "Service" and b.port is None
        ]
        if bare:
            return f"binding {binding.class_}: backends.{bare[0]} needs a port (name:port)"
        mixed = mix_problem(plan, binding, managed_refs(binding.backends), own, backends)
        return f"binding {binding.class_} {mixed}" if mixed else None
    if route is None:
        return f"{where} does not exist: create it, or use ownership Managed"
    if (source := maker(route)) is not None:
        return f"{where} is made from AIGatewayRoute {source}, which takes weights back: use plane EnvoyAIGateway"
    if index is None:
        return f"{where} has no rule named {binding.rule}: name the rule (spec.rules[].name)"
    refs = route["spec"]["rules"][index].get("backendRefs") or []
    for lane, text in binding.backends.items():
        if BackendName.parse(text).position(refs) is None:
            return f"{where} rule {binding.rule} has no backendRef {text} (lane {lane}): add it with weight 0"
    if others := strangers(refs, binding.backends):
        return (
            f"{where} rule {binding.rule} also sends traffic to {', '.join(others)}, which stands for no lane: "
            "name it in the binding's backends, or give it weight 0"
        )
    mixed = mix_problem(plan, binding, refs, own, backends)
    return f"{where} rule {binding.rule} {mixed}" if mixed else None


def _rule_name(binding: Binding, key: str | None) -> str | None:
    """The rule of an adopted route; None for a managed one, which is the binding's as a whole."""
    return binding.rule or key or binding.class_ if binding.ownership is Ownership.ADOPTED else None


def rule_conflicts(
    plans: Iterable[CapacityPlan], keys: Mapping[tuple[str, str], str] | None = None
) -> dict[tuple[str, str], str]:
    """Why a binding may not have its rule, by (plan key, class): one rule has one binding, the oldest plan's first.

    ``plans``: oldest first. ``keys``: what stands for the rule's name where rules have none, by (plan key, class).
    """
    taken: dict[tuple[str, str], dict[str | None, str]] = {}
    found: dict[tuple[str, str], str] = {}
    for plan in plans:
        if not plan.spec.routing.plane.has_routes:
            continue
        for binding in plan.spec.routing.bindings:
            rules = taken.setdefault((plan.metadata.namespace, binding.http_route), {})
            rule = _rule_name(binding, (keys or {}).get((plan.metadata.key, binding.class_)))
            holder = rules.get(rule) or rules.get(None) or (next(iter(rules.values()), None) if rule is None else None)
            if holder is None:
                rules[rule] = f"class {binding.class_} of plan {plan.metadata.key}"
                continue
            what = f"rule {rule} of HTTPRoute" if rule else "HTTPRoute"
            found[plan.metadata.key, binding.class_] = (
                f"binding {binding.class_}: {what} {binding.http_route} is already moved for {holder}; "
                "one rule has one binding"
            )
    return found


def route_state(
    plan: CapacityPlan,
    binding: Binding,
    routes: Mapping[str, JSON],
    conflict: str | None = None,
    backends: Backends = None,
    own: Collection[str] = (),
) -> RouteState:
    """The binding's rule now. ``routes`` are the plan's namespace's HTTPRoutes by name, ``backends`` its Backends,
    ``own`` the names of its own lanes."""
    route = routes.get(binding.http_route)
    index = rule_index(route, binding) if route else None
    problem = conflict or _problem(plan, binding, route, index, backends, own)
    generated = binding.ownership is Ownership.MANAGED
    weights: dict[str, int] = dict.fromkeys(binding.backends, 0) if generated and index is None else {}
    if route is not None and index is not None:
        refs = route["spec"]["rules"][index].get("backendRefs") or []
        for lane, text in binding.backends.items():
            position = BackendName.parse(text).position(refs)
            if position is not None:
                weights[lane] = int(refs[position].get("weight", 1))
    if spills(plan):
        weights = effective(weights, own)
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


def route_states(
    plan: CapacityPlan,
    routes: Mapping[str, JSON],
    conflicts: Mapping[tuple[str, str], str] | None = None,
    backends: Backends = None,
    own: Collection[str] = (),
) -> tuple[RouteState, ...]:
    """The rules of all the plan's bindings. ``conflicts``: those of ``rule_conflicts`` and of class names."""
    if plan.spec.routing.plane is not RoutingPlane.GATEWAY_API:
        return ()
    reasons = conflicts or {}
    return tuple(
        route_state(plan, binding, routes, reasons.get((plan.metadata.key, binding.class_)), backends, own)
        for binding in plan.spec.routing.bindings
    )
