"""HTTPRoutes: weights of one adopted rule by JSON Patch, or a whole generated route. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from spillway.act.planes.gateway_api_headers import answer_filters
from spillway.act.planes.gateway_api_notes import baseline
from spillway.api import Binding, CapacityPlan, DataPolicy, OverflowMode, WorkloadClass
from spillway.api.airoutes import maker
from spillway.api.names import (
    BASELINE_WEIGHTS_ANNOTATION,
    MANAGED_LABEL,
    MANAGED_VALUE,
    OPT_OUT_HEADER,
    OPT_OUT_RULE,
    OVERFLOW_HEADER,
    PLAN_ANNOTATION,
    BackendName,
    strangers,
)
from spillway.kube import HTTP_ROUTES, Items

JSON = dict[str, Any]


def _pointer(text: str) -> str:
    return text.replace("~", "~0").replace("/", "~1")


def _annotating(route: JSON, annotations: Mapping[str, str]) -> Items:
    if annotations and not route["metadata"].get("annotations"):
        return [{"op": "add", "path": "/metadata/annotations", "value": dict(annotations)}]
    return [
        {"op": "add", "path": f"/metadata/annotations/{_pointer(name)}", "value": text}
        for name, text in annotations.items()
    ]


def adopted_patch(
    route: JSON, binding: Binding, weights: Mapping[str, int], notes: Mapping[str, str] | None = None
) -> Items:
    """JSON Patch on the binding's rule alone, guarded by ``test`` operations. Raises ``KeyError`` when it is gone.

    ``notes``: annotations that go with it.
    """
    rules = route["spec"].get("rules") or []
    index = next((i for i, rule in enumerate(rules) if rule.get("name") == binding.rule), None)
    if index is None:
        raise KeyError(f"it has no rule {binding.rule}")
    tests: Items = [{"op": "test", "path": f"/spec/rules/{index}/name", "value": binding.rule}]
    return weights_patch(route, binding, (index, str(binding.rule)), tests, weights, notes)


def weights_patch(
    route: JSON,
    binding: Binding,
    rule: tuple[int, str],
    tests: Items,
    weights: Mapping[str, int],
    notes: Mapping[str, str] | None = None,
) -> Items:
    """JSON Patch on the weights of one rule, given by its index and by its name in notes. Raises ``KeyError``."""
    index, named = rule
    refs = route["spec"]["rules"][index].get("backendRefs") or []
    base = f"/spec/rules/{index}"
    operations: Items = [
        {"op": "test", "path": "/metadata/resourceVersion", "value": route["metadata"]["resourceVersion"]},
        *tests,
    ]
    changes: Items = []
    for lane, weight in sorted(weights.items()):
        backend = BackendName.parse(binding.backends[lane])
        position = backend.position(refs)
        if position is None:
            raise KeyError(f"its rule {named} has no backendRef {backend.name}")
        operations.append({"op": "test", "path": f"{base}/backendRefs/{position}/name", "value": backend.name})
        changes.append({"op": "add", "path": f"{base}/backendRefs/{position}/weight", "value": weight})
    if others := strangers(refs, binding.backends):
        raise KeyError(f"its rule {named} also sends traffic to {', '.join(others)}")
    annotations = dict(notes or {})
    if (text := baseline(route, named, refs)) is not None:
        annotations[BASELINE_WEIGHTS_ANNOTATION] = text
    return operations + _annotating(route, annotations) + changes


def _match(resource: WorkloadClass, *more: tuple[str, str]) -> JSON:
    own = resource.spec.match.header
    named = [(own.name, own.value)] if own is not None else []
    match: JSON = {"path": {"type": "PathPrefix", "value": "/"}}
    if headers := [*named, *more]:
        match["headers"] = [{"type": "Exact", "name": name, "value": value} for name, value in headers]
    return match


def _refs(binding: Binding, weights: Mapping[str, int]) -> Items:
    refs: Items = []
    for lane, weight in sorted(weights.items()):
        backend = BackendName.parse(binding.backends[lane])
        ref: JSON = {"kind": backend.kind, "name": backend.name, "weight": weight}
        ref["group"] = "gateway.envoyproxy.io" if backend.kind == "Backend" else ""
        if backend.port is not None:
            ref["port"] = backend.port
        refs.append(ref)
    return refs


def _rule(name: str, matches: Items, refs: Items, filters: Items) -> JSON:
    """Without a time limit: Envoy's own of 15 s would cut streams that are still being answered."""
    rule: JSON = {"name": name, "matches": matches, "backendRefs": refs, "timeouts": {"request": "0s"}}
    return {**rule, "filters": filters} if filters else rule


def _rules(
    plan: CapacityPlan, binding: Binding, resource: WorkloadClass, weights: Mapping[str, int], own: Collection[str]
) -> Items:
    """The class's rule, and one for requests that opt out of hosted lanes.

    A class that must stay at home has no hosted backend at all: a weight can be edited, what isn't there can't.
    """

    def rule(name: str, matches: Items, shares: Mapping[str, int]) -> JSON:
        spills = plan.spec.overflow.mode is OverflowMode.SPILL
        relayed = plan.spec.routing.litellm is not None
        filters = answer_filters(binding, shares, own, spills=spills, relayed=relayed)
        return _rule(name, matches, _refs(binding, shares), filters)

    at_home = {lane: weight for lane, weight in weights.items() if lane in own}
    name = resource.metadata.name
    if resource.spec.data_policy is DataPolicy.SELF_HOSTED_ONLY:
        return [rule(name, [_match(resource)], at_home)]
    rules = [rule(name, [_match(resource)], weights)]
    if at_home and len(at_home) < len(weights):
        # The more headers a match has the sooner it is taken, wherever its rule stands.
        kept = at_home if any(at_home.values()) else dict.fromkeys(at_home, 1)
        opted_out = [_match(resource, asked) for asked in ((OPT_OUT_HEADER, "true"), (OVERFLOW_HEADER, "never"))]
        rules.append(rule(OPT_OUT_RULE, opted_out, kept))
    return rules


def managed_route(
    plan: CapacityPlan,
    binding: Binding,
    resource: WorkloadClass,
    weights: Mapping[str, int],
    own: Collection[str],
    version: str = "",
) -> JSON:
    """The whole generated HTTPRoute.

    ``own``: names of own lanes; ``version``: the observed resourceVersion, empty for a new route.
    """
    gateway = binding.gateway
    parent = {"name": gateway.name if gateway else ""}
    if gateway and gateway.namespace:
        parent["namespace"] = gateway.namespace
    if gateway and gateway.section_name:
        parent["sectionName"] = gateway.section_name
    meta = managed_meta(plan, binding)
    if version:
        meta["resourceVersion"] = version
    return {
        "apiVersion": HTTP_ROUTES.api_version,
        "kind": "HTTPRoute",
        "metadata": meta,
        "spec": {"parentRefs": [parent], "rules": _rules(plan, binding, resource, weights, own)},
    }


def managed_meta(plan: CapacityPlan, binding: Binding) -> JSON:
    """Metadata of what Spillway generates for a binding: no owner, since garbage collection must not cut traffic."""
    return {
        "name": binding.http_route,
        "namespace": plan.metadata.namespace,
        "labels": {MANAGED_LABEL: MANAGED_VALUE},
        "annotations": {PLAN_ANNOTATION: plan.metadata.key},
    }


def is_ours(found: JSON, plan: CapacityPlan) -> bool:
    """Whether Spillway generated the object for this plan; what a controller made of one has copies of its notes."""
    noted = (found["metadata"].get("annotations") or {}).get(PLAN_ANNOTATION) == plan.metadata.key
    return noted and maker(found) is None
