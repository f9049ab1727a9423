"""Reads the cluster into one ClusterView: resources, targets, routes, stops. Never writes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar

from pydantic import ValidationError

from spillway.api import CapacityLane, CapacityPlan, LaneType, WorkloadClass
from spillway.api.names import STOP_ANNOTATION, STOP_KEY
from spillway.config import OperatorConfig
from spillway.decide.snapshot import Finding
from spillway.kube import (
    AI_GATEWAY_ROUTES,
    AI_SERVICE_BACKENDS,
    BACKENDS,
    CLASSES,
    CONFIG_MAPS,
    HPAS,
    HTTP_ROUTES,
    LANES,
    NAMESPACES,
    NODES,
    PLANS,
    SCALED_OBJECTS,
    TRAFFIC_POLICIES,
    Items,
    Kube,
    KubeError,
    Resource,
)
from spillway.observe.ai_routes import has_ai_routes, rule_keys
from spillway.observe.litellm import as_bound, proxy_findings, proxy_routes, read_proxy
from spillway.observe.membership import Members, ambiguous_bindings, error, resolve, subject, warning
from spillway.observe.pools import with_pools
from spillway.observe.routes import rule_conflicts
from spillway.observe.rules import Rules
from spillway.observe.scope import ClusterView, LaneScope, PlanScope
from spillway.observe.spill import policy_findings, queue_findings, spills, unproven_findings
from spillway.observe.targets import gpus_in, read_target

CONCURRENT_READS = 8
NOT_ABOUT_ONE_OBJECT = (0, 401, 429, 503, 504)
"""HTTP statuses that tell of the apiserver or the credentials as a whole; 0 is no answer."""

JSON = dict[str, Any]
T = TypeVar("T", CapacityPlan, CapacityLane, WorkloadClass)


def is_on(value: str | None) -> bool:
    """Whether a stop switch is thrown: anything but absent, "", "false", "0", "no", "off"."""
    return (value or "").strip().lower() not in ("", "false", "0", "no", "off")


def parse_all(model: type[T], items: Items, broken: dict[str, list[Finding]]) -> list[T]:
    """Valid objects; what is wrong with the others goes to ``broken``."""
    parsed: list[T] = []
    for item in items:
        meta = item["metadata"]
        try:
            parsed.append(model.model_validate(item))
        except ValidationError as problem:
            about = f"{model.KIND}/{meta.get('namespace', '')}/{meta['name']}"
            first = problem.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            broken.setdefault(about, []).append(error(about, "Invalid", f"{where}: {first['msg']}"))
    return parsed


async def _optional(read: Awaitable[Items]) -> Items | None:
    """A list that may not exist (its CRD is absent: empty) or may not be read (None)."""
    try:
        return await read
    except KubeError as problem:
        if problem.not_found:
            return []
        if problem.forbidden:
            return None
        raise


def _gpus_allocatable(nodes: Items | None) -> float | None:
    if nodes is None:
        return None
    total = 0.0
    for node in nodes:
        allocatable = (node.get("status") or {}).get("allocatable") or {}
        total += gpus_in(allocatable)
    return total


class ClusterReader:
    """Reads everything that one tick needs from the apiserver, a bounded number of requests at a time."""

    def __init__(self, kube: Kube, config: OperatorConfig) -> None:
        self._kube = kube
        self._config = config
        self._gate = asyncio.Semaphore(CONCURRENT_READS)

    async def read(self, now: float) -> ClusterView:
        """One fresh view. Raises ``KubeError`` when the apiserver can't be read: then nothing is decided."""
        plans_raw, lanes_raw, classes_raw, namespaces, nodes, stop = await asyncio.gather(
            self._list(PLANS),
            self._list(LANES),
            self._list(CLASSES),
            self._namespaces(),
            _optional(self._kube.list(NODES)),
            self._global_stop(),
        )
        broken: dict[str, list[Finding]] = {}
        lanes = parse_all(CapacityLane, lanes_raw, broken)
        classes = parse_all(WorkloadClass, classes_raw, broken)
        plans = parse_all(CapacityPlan, plans_raw, broken)
        labels = {n["metadata"]["name"]: n["metadata"].get("labels") or {} for n in namespaces or []}
        memberships = resolve(plans, lanes, classes, labels, broken)
        hpas, scaled_objects, rules = await asyncio.gather(
            _optional(self._list(HPAS)), _optional(self._list(SCALED_OBJECTS)), self._rules(plans, memberships.plans)
        )
        scopes = await asyncio.gather(
            *(self._scope(members, hpas, scaled_objects or [], rules) for members in memberships.plans)
        )
        stops = self._stops(namespaces, stop)
        return ClusterView(
            at=now,
            plans=tuple(
                replace(scope, stopped=stops(scope.plan.metadata.namespace))
                for scope in with_pools(scopes, self._config.gpu_pools)
            ),
            gpus_allocatable=_gpus_allocatable(nodes),
            object_findings=memberships.object_findings,
            object_plans=memberships.object_plans,
            lanes=tuple(lanes),
            classes=tuple(classes),
        )

    async def _rules(self, plans: list[CapacityPlan], members: tuple[Members, ...]) -> Rules:
        routes, backends, ai_routes, ai_services, policies = await asyncio.gather(
            self._routes(plans),
            self._backends(plans),
            self._ai_objects(plans, AI_GATEWAY_ROUTES),
            self._ai_objects(plans, AI_SERVICE_BACKENDS),
            self._policies(plans),
        )
        conflicts = rule_conflicts((each.plan for each in members), rule_keys(members)) | ambiguous_bindings(members)
        return Rules(routes, backends, ai_routes, ai_services, policies, conflicts)

    async def stopped(self, namespace: str) -> str | None:
        """Why the emergency stop holds for a namespace right now, or None."""
        everywhere = await self._global_stop()
        found = None if everywhere else await self._kube.find(NAMESPACES, None, namespace)
        return self._stops([found] if found else [], everywhere)(namespace)

    async def _list(self, resource: Resource) -> Items:
        return await self._kube.list_in(resource, self._config.namespaces)

    async def _namespaces(self) -> Items:
        """All namespaces; where those may not be listed, the ones that the operator works in."""
        listed = await _optional(self._kube.list(NAMESPACES))
        if listed is not None:
            return listed
        single = await asyncio.gather(*(self._namespace(name) for name in dict.fromkeys(self._config.namespaces)))
        return [found for found in single if found is not None]

    async def _namespace(self, name: str) -> JSON | None:
        try:
            return await self._kube.find(NAMESPACES, None, name)
        except KubeError as problem:
            if problem.forbidden:
                return None
            raise

    async def _global_stop(self) -> str | None:
        name = self._config.emergency_stop.name
        found = await self._kube.find(CONFIG_MAPS, self._config.stop_namespace, name)
        value = ((found or {}).get("data") or {}).get(STOP_KEY)
        return f"ConfigMap {self._config.stop_namespace}/{name} says stop" if is_on(value) else None

    def _stops(self, namespaces: Items | None, everywhere: str | None) -> Callable[[str], str | None]:
        by_name = {n["metadata"]["name"]: n["metadata"].get("annotations") or {} for n in namespaces or []}

        def reason(namespace: str) -> str | None:
            if everywhere:
                return everywhere
            if is_on(by_name.get(namespace, {}).get(STOP_ANNOTATION)):
                return f"namespace {namespace} is annotated {STOP_ANNOTATION}"
            return None

        return reason

    async def _backends(self, plans: list[CapacityPlan]) -> dict[str, dict[str, JSON]] | None:
        """Envoy Gateway's Backends by namespace, where any binding names one; None where they can't be read."""
        named = (text for plan in plans for binding in plan.spec.routing.bindings for text in binding.backends.values())
        if not any(text.startswith("Backend/") for text in named) and not any(map(has_ai_routes, plans)):
            return None
        return await self._named(BACKENDS)

    async def _policies(self, plans: list[CapacityPlan]) -> dict[str, dict[str, JSON]] | None:
        """Envoy Gateway's BackendTrafficPolicies by namespace, where a plan lets gateways spill; None as above."""
        return await self._named(TRAFFIC_POLICIES) if any(spills(plan) for plan in plans) else None

    async def _ai_objects(self, plans: list[CapacityPlan], resource: Resource) -> dict[str, dict[str, JSON]] | None:
        """Envoy AI Gateway's objects of a kind by namespace, where a plan's routes are its; None as above."""
        return await self._named(resource) if any(map(has_ai_routes, plans)) else None

    async def _named(self, resource: Resource) -> dict[str, dict[str, JSON]] | None:
        """Objects by namespace and name; None where the kind is not there or can't be read."""
        try:
            listed = await self._list(resource)
        except KubeError as problem:
            if problem.not_found or problem.forbidden:
                return None
            raise
        by_namespace: dict[str, dict[str, JSON]] = {}
        for item in listed:
            meta = item["metadata"]
            by_namespace.setdefault(meta["namespace"], {})[meta["name"]] = item
        return by_namespace

    async def _routes(self, plans: list[CapacityPlan]) -> dict[str, dict[str, JSON]]:
        if not any(p.spec.routing.plane.has_routes for p in plans):
            return {}
        by_namespace: dict[str, dict[str, JSON]] = {}
        for route in await _optional(self._list(HTTP_ROUTES)) or []:
            meta = route["metadata"]
            by_namespace.setdefault(meta["namespace"], {})[meta["name"]] = route
        return by_namespace

    async def _scope(
        self,
        members: Members,
        hpas: Items | None,
        scaled_objects: Items,
        rules: Rules,
    ) -> PlanScope:
        findings = list(members.findings)
        lanes: list[LaneScope] = []
        for lane in members.lanes:
            try:
                async with self._gate:
                    scope = await read_target(self._kube, lane, hpas, scaled_objects)
            except KubeError as problem:
                # Left out as a whole: a target that can't be read is not one that is gone.
                findings.append(_unreadable(lane, problem))
                continue
            lanes.append(scope or LaneScope(resource=lane))
            findings += _target_findings(lane, scope)
        namespace = members.plan.metadata.namespace
        own = {lane.metadata.name for lane in members.lanes if lane.spec.type is LaneType.SELF_HOSTED}
        states = rules.states(members, own)
        policies = None if rules.policies is None else rules.policies.get(namespace, {})
        findings += policy_findings(members.plan, policies, own) + unproven_findings(members.plan)
        if spills(members.plan):
            findings += queue_findings((each.resource, each.queue) for each in lanes)
        findings += [
            error(subject(members.plan), "RouteProblem", f"routing: {state.problem}")
            for state in states
            if state.problem is not None
        ]
        resources = [each.resource for each in lanes]
        async with self._gate:
            proxy = await read_proxy(self._kube, members.plan)
        findings += proxy_findings(members.plan, resources, proxy)
        return PlanScope(
            as_bound(members.plan, members.classes, resources),
            members.classes,
            tuple(lanes),
            states or proxy_routes(members.plan, members.classes, resources, proxy),
            tuple(findings),
            proxy=proxy,
        )


def _unreadable(lane: CapacityLane, problem: KubeError) -> Finding:
    """What to say of a target that the apiserver refuses to show. Raises ``problem`` where it refuses everything."""
    own = lane.spec.self_hosted
    if own is None or problem.status in NOT_ABOUT_ONE_OBJECT:
        raise problem
    about, where = subject(lane), f"{own.target_ref.kind} {lane.metadata.namespace}/{own.target_ref.name}"
    if problem.forbidden:
        message = (
            f"lane {lane.metadata.name}: the operator may not read {where}, its scale or its pods: "
            "grant it (the chart's rbac.extraTargets), or mend spec.selfHosted.targetRef"
        )
        return error(about, "TargetForbidden", message)
    message = f"lane {lane.metadata.name}: {where} can't be read now (HTTP {problem.status}); the lane is left as it is"
    return warning(about, "TargetUnreadable", message)


def _target_findings(lane: CapacityLane, scope: LaneScope | None) -> list[Finding]:
    if lane.spec.self_hosted is None:
        return []
    about, ref = subject(lane), lane.spec.self_hosted.target_ref
    where = f"{ref.kind} {lane.metadata.namespace}/{ref.name}"
    if scope is None or scope.target is None:
        message = f"lane {lane.metadata.name}: {where} does not exist or has no scale subresource"
        return [error(about, "TargetNotFound", message)]
    if scope.target.controller_owner:
        message = f"lane {lane.metadata.name}: {where} is controlled by {scope.target.controller_owner}; scale that one"
        return [error(about, "ControllerOwned", message)]
    if scope.target.autoscaler:
        message = (
            f"lane {lane.metadata.name}: {where} is scaled by {scope.target.autoscaler}; "
            "delete it to hand the target over"
        )
        return [error(about, "AutoscalerConflict", message)]
    return []
