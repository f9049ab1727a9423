"""Gathers what only routing asks about: rights on proxies' ConfigMaps, and limits on rules that Spillway adopts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any

from spillway.api import Binding, Mode, OverflowMode, Ownership, RoutingPlane
from spillway.cli.doctor.facts import AdoptedRule, ProxyRights
from spillway.cli.doctor.permissions import Need, Permission
from spillway.kube import HTTP_ROUTES, TRAFFIC_POLICIES, Items, Kube, KubeError
from spillway.observe.scope import ClusterView, PlanScope

JSON = dict[str, Any]
Allowed = Callable[[Permission, str, str], Awaitable[bool]]
"""Whether one verb is allowed on the object of that namespace and name."""

READ = Permission("", "configmaps", "get", Need.RECOMMEND)
PATCH = Permission("", "configmaps", "patch", Need.APPLY)


async def proxy_rights(view: ClusterView, allowed: Allowed) -> tuple[ProxyRights, ...]:
    """What may be done with the ConfigMap of each plan's proxy."""
    found = []
    for scope in view.plans:
        proxy, meta = scope.plan.spec.routing.litellm, scope.plan.metadata
        if proxy is None:
            continue
        may = [await allowed(each, meta.namespace, proxy.config_map) for each in (READ, PATCH)]
        applies = scope.plan.spec.mode is Mode.APPLY
        found.append(ProxyRights(meta.key, meta.namespace, proxy.config_map, may[0], may[1], applies))
    return tuple(found)


async def adopted_rules(kube: Kube, view: ClusterView) -> tuple[AdoptedRule, ...]:
    """The rules that plans adopt, with their limits; those whose route or policies can't be read are left out."""
    policies = _Policies(kube)
    return tuple([rule for scope in view.plans async for rule in _rules(kube, scope, policies)])


async def _rules(kube: Kube, scope: PlanScope, policies: _Policies) -> AsyncIterator[AdoptedRule]:
    plan = scope.plan
    if plan.spec.routing.plane is not RoutingPlane.GATEWAY_API:
        return
    namespace, spills = plan.metadata.namespace, plan.spec.overflow.mode is OverflowMode.SPILL
    for binding in plan.spec.routing.bindings:
        if binding.ownership is not Ownership.ADOPTED:
            continue
        route = await _route(kube, namespace, binding.http_route)
        near = await policies.of(namespace)
        if route is None or near is None:
            continue
        gateways = [await policies.of(ns) for ns, _ in _gateways(route)]
        far = [policy for found in gateways for policy in found or ()]
        if any((policy.get("spec") or {}).get("targetSelectors") for policy in (*near, *far)):
            continue
        limits = limits_of(binding, near, far, [name for _, name in _gateways(route)])
        yield AdoptedRule(f"HTTPRoute {namespace}/{binding.http_route}", str(binding.rule), limits, spills)


async def _route(kube: Kube, namespace: str, name: str) -> JSON | None:
    try:
        return await kube.find(HTTP_ROUTES, namespace, name)
    except KubeError:
        return None


class _Policies:
    """BackendTrafficPolicies by namespace, each read once."""

    def __init__(self, kube: Kube) -> None:
        self._kube, self._known = kube, dict[str, Items | None]()

    async def of(self, namespace: str) -> Items | None:
        """Those of one namespace; None where they can't be read."""
        if namespace not in self._known:
            try:
                self._known[namespace] = await self._kube.list(TRAFFIC_POLICIES, namespace)
            except KubeError:
                self._known[namespace] = None
        return self._known[namespace]


def _gateways(route: JSON) -> Iterable[tuple[str, str]]:
    """Namespace and name of each Gateway that the route hangs on."""
    for parent in (route.get("spec") or {}).get("parentRefs") or []:
        yield str(parent.get("namespace") or route["metadata"]["namespace"]), str(parent.get("name"))


def limits_of(binding: Binding, near: Items, far: Items, gateways: Iterable[str]) -> Mapping[str, int]:
    """The limits in force for an adopted rule: its own policy's, else its route's, else its Gateway's.

    ``near``: the policies of its namespace, ``far``: those of its Gateways'. A nearer policy hides the others unless it
    says ``mergeType``.
    """
    chain = [
        *_targeting(near, "HTTPRoute", binding.http_route, binding.rule),
        *_targeting(near, "HTTPRoute", binding.http_route, None),
        *(spec for name in gateways for spec in _targeting(far, "Gateway", name, None)),
    ]
    limits: dict[str, int] = {}
    for spec in chain:
        limits = {**(spec.get("circuitBreaker") or {}), **limits}
        if not spec.get("mergeType"):
            break
    return limits


def _targeting(policies: Items, kind: str, name: str, section: str | None) -> Iterable[JSON]:
    for policy in policies:
        spec = policy.get("spec") or {}
        targets = [*(spec.get("targetRefs") or []), *([spec["targetRef"]] if spec.get("targetRef") else [])]
        wanted = (kind, name, section)
        if any((each.get("kind"), each.get("name"), each.get("sectionName")) == wanted for each in targets):
            yield spec
