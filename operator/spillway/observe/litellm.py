"""A plan's LiteLLM proxy: the configuration that is written, whether its pods have it, and what it means for traffic.

Current weights are those that the written configuration stands for; ``accepted`` tells whether every pod has loaded it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from spillway.api import (
    Binding,
    CapacityLane,
    CapacityPlan,
    DataPolicy,
    LaneType,
    OverflowMode,
    Ownership,
    RoutingPlane,
    WorkloadClass,
)
from spillway.api.litellm import LiteLLMProxy
from spillway.api.proxynote import (
    CONFIG_ANNOTATION,
    PROXY_PROBLEM,
    is_written_for,
    note_of,
    ownership_problem,
)
from spillway.api.references import of_addresses
from spillway.decide.snapshot import Finding, RouteState, Severity
from spillway.kube import CONFIG_MAPS, DEPLOYMENTS, FIELD_MANAGER, PODS, REPLICA_SETS, Kube, KubeError
from spillway.observe.readings import PodKey
from spillway.observe.scope import ProxyScope
from spillway.observe.targets import owned_pods

JSON = dict[str, Any]
Loaded = Mapping[PodKey, Mapping[str, float]]
"""By pod: hash of a configuration to the deployments of it that the pod's process has loaded."""


def is_front(plan: CapacityPlan) -> bool:
    """Whether the proxy is the plan's only gateway."""
    return plan.spec.routing.plane is RoutingPlane.LITELLM


async def read_proxy(kube: Kube, plan: CapacityPlan) -> ProxyScope | None:
    """The plan's proxy; None where it has none. Raises ``KubeError`` where the apiserver can't be asked."""
    proxy = plan.spec.routing.litellm
    if proxy is None:
        return None
    namespace = plan.metadata.namespace
    try:
        config_map = await kube.find(CONFIG_MAPS, namespace, proxy.config_map)
        deployment = await kube.find(DEPLOYMENTS, namespace, proxy.deployment)
        pods = [] if deployment is None else await _pods(kube, deployment)
    except KubeError as error:
        if not error.forbidden:
            raise
        what = f"ConfigMap {namespace}/{proxy.config_map} or Deployment {namespace}/{proxy.deployment}"
        return ProxyScope(
            namespace, f"the operator may not read {what}: grant it (the chart's rbac.litellm.configMaps)"
        )
    return proxy_scope(plan, proxy, config_map, deployment, pods)


async def _pods(kube: Kube, deployment: JSON) -> list[JSON]:
    meta, selector = deployment["metadata"], (deployment.get("spec") or {}).get("selector") or {}
    # Owners tell which are its own: expressions, where it selects by those, need not be followed.
    labels = ",".join(f"{name}={value}" for name, value in sorted((selector.get("matchLabels") or {}).items()))
    pods = await kube.list(PODS, meta["namespace"], label_selector=labels or None)
    replica_sets = await kube.list(REPLICA_SETS, meta["namespace"], label_selector=labels or None)
    return owned_pods(pods, {**deployment, "kind": "Deployment"}, replica_sets)


def proxy_scope(
    plan: CapacityPlan, proxy: LiteLLMProxy, config_map: JSON | None, deployment: JSON | None, pods: Sequence[JSON]
) -> ProxyScope:
    """The proxy from its objects."""
    namespace = plan.metadata.namespace
    where = f"ConfigMap {namespace}/{proxy.config_map}"
    problem = ownership_problem(config_map, where, plan.metadata.key, FIELD_MANAGER)
    if problem is None and deployment is None:
        problem = f"Deployment {namespace}/{proxy.deployment} does not exist: create it, or mend spec.routing.litellm"
    if config_map is None or deployment is None or problem is not None:
        return ProxyScope(namespace, problem)
    annotations = config_map["metadata"].get("annotations") or {}
    written = annotations[CONFIG_ANNOTATION] if is_written_for(config_map, plan.metadata.key) else ""
    note = note_of(config_map) if written else None
    template = (((deployment.get("spec") or {}).get("template") or {}).get("metadata") or {}).get("annotations") or {}
    return ProxyScope(
        namespace=namespace,
        written=written,
        note=note,
        deployments=None if note is None else note.deployments,
        rolled_out=bool(written) and template.get(CONFIG_ANNOTATION) == written and is_complete(deployment),
        stuck=_stuck(deployment),
        pods=tuple(sorted(p["metadata"]["name"] for p in pods if not p["metadata"].get("deletionTimestamp"))),
        replicas=int((deployment.get("spec") or {}).get("replicas", 1)),
    )


def is_complete(deployment: JSON) -> bool:
    """Whether the Deployment's controller has seen it as it is, and all of its pods are of it and available."""
    meta, status = deployment["metadata"], deployment.get("status") or {}
    wanted = int((deployment.get("spec") or {}).get("replicas", 1))
    if int(status.get("observedGeneration") or 0) < int(meta.get("generation") or 0):
        return False
    counts = (status.get(name) or 0 for name in ("replicas", "updatedReplicas", "availableReplicas"))
    return all(count == wanted for count in counts)


def _stuck(deployment: JSON) -> str | None:
    if (deployment.get("spec") or {}).get("paused") and not is_complete(deployment):
        return "it is paused; resume it (kubectl rollout resume)"
    for condition in (deployment.get("status") or {}).get("conditions") or []:
        if condition.get("type") == "Progressing" and condition.get("status") == "False":
            return str(condition.get("message") or condition.get("reason") or "no progress")
    return None


def has_loaded(scope: ProxyScope, loaded: Loaded | None) -> bool | None:
    """Whether every pod has loaded the written configuration; None where that can't be told of all of them."""
    if not scope.written or not scope.rolled_out or _otherwise(scope, loaded):
        return False
    told = [(scope.namespace, pod) in (loaded or {}) for pod in scope.pods]
    return True if told and all(told) else None


def _otherwise(scope: ProxyScope, loaded: Loaded | None) -> dict[str, str]:
    """By pod that has loaded something else than what is written: what that is."""
    found = {}
    for pod in scope.pods:
        shown = (loaded or {}).get((scope.namespace, pod))
        if shown is None:
            continue
        if set(shown) != {scope.written}:
            found[pod] = "configuration " + (" and ".join(sorted(set(shown) - {scope.written, ""})) or "of nobody's")
        elif scope.deployments not in (None, shown[scope.written]):
            found[pod] = f"{shown[scope.written]:g} of {scope.deployments} deployments"
    return found


def loading_findings(plan: CapacityPlan, scope: ProxyScope | None, loaded: Loaded | None) -> list[Finding]:
    """Pods that go by something else although their rollout is complete: LiteLLM leaves out what it can't use."""
    proxy = plan.spec.routing.litellm
    if proxy is None or scope is None or not scope.rolled_out:
        return []
    return [
        Finding(
            Severity.WARNING,
            "ProxyLoadedOther",
            f"Pod {scope.namespace}/{pod} of Deployment {proxy.deployment} has loaded {what}, not all of configuration "
            f"{scope.written}: its log says why, such as a provider that its version does not know",
            f"CapacityPlan/{plan.metadata.key}",
        )
        for pod, what in sorted(_otherwise(scope, loaded).items())
    ]


def weights_now(scope: ProxyScope, name: str, lanes: Sequence[CapacityLane]) -> dict[str, int]:
    """A class's share by lane, whole percent; 0 for all before the first configuration that knows it.

    Where the proxy spills by itself, own lanes stand for all of it, unless none of them is used.
    """
    note = scope.note
    now = dict.fromkeys((lane.metadata.name for lane in lanes), 0)
    if note is None:
        return now
    own = [lane.metadata.name for lane in lanes if lane.spec.type is LaneType.SELF_HOSTED]
    hosted = [lane for lane in note.hosted_order if lane in now] or [lane for lane in now if lane not in own]
    if note.sending == OverflowMode.SPILL.value:
        return now | _evenly([lane for lane in own if note.in_flight.get(lane) != 0] or hosted[:1])
    if name not in note.weights:
        return now
    if note.sending == OverflowMode.NEVER.value:
        return now | _evenly(own)
    # Of what no lane with a share may serve, or none has, own lanes serve all.
    shared = {lane: weight for lane, weight in note.weights[name].items() if lane in now and weight > 0}
    return now | (shared or _evenly(own or hosted[:1]))


def _evenly(lanes: Sequence[str]) -> dict[str, int]:
    return {lane: (100 + index) // len(lanes) for index, lane in enumerate(lanes)}


def proxy_routes(
    plan: CapacityPlan, classes: Sequence[WorkloadClass], lanes: Sequence[CapacityLane], scope: ProxyScope | None
) -> tuple[RouteState, ...]:
    """What carries each class: its part of the one configuration. ``accepted`` is filled in by ``with_loaded``."""
    proxy = plan.spec.routing.litellm
    if proxy is None or scope is None or not is_front(plan):
        return ()
    names = [item.metadata.name for item in classes]
    return tuple(
        RouteState(
            class_name=name,
            route=proxy.config_map,
            rule=None,
            exists=bool(scope.written),
            resource_version=scope.written,
            weights=weights_now(scope, name, _serving(item, lanes, proxy)),
            problem=scope.problem or _ambiguous(name, names),
        )
        for item, name in zip(classes, names, strict=True)
    )


def _ambiguous(name: str, names: Sequence[str]) -> str | None:
    return f"several classes of the plan are named {name}: rename one" if names.count(name) > 1 else None


def _serving(item: WorkloadClass, lanes: Sequence[CapacityLane], proxy: LiteLLMProxy) -> list[CapacityLane]:
    """Lanes of which the proxy can send the class's requests to."""
    models = set(item.spec.equivalent_models)
    own_only = item.spec.data_policy is not DataPolicy.ANY
    found = []
    for lane in lanes:
        own = lane.spec.type is LaneType.SELF_HOSTED
        reached = lane.metadata.name in proxy.addresses if own else not own_only
        if reached and models & set(lane.spec.models):
            found.append(lane)
    return found


def with_loaded(
    routes: Sequence[RouteState], scope: ProxyScope | None, loaded: Loaded | None
) -> tuple[RouteState, ...]:
    """The routes with what the proxy's pods say of themselves."""
    if scope is None or not scope.written:
        return tuple(routes)
    accepted = has_loaded(scope, loaded)
    return tuple(replace(route, accepted=accepted) for route in routes)


def as_bound(plan: CapacityPlan, classes: Sequence[WorkloadClass], lanes: Sequence[CapacityLane]) -> CapacityPlan:
    """The plan with a binding for each class, as every other plane has them: the proxy carries each of them."""
    proxy = plan.spec.routing.litellm
    if proxy is None or not is_front(plan):
        return plan
    bindings = tuple(
        Binding.model_construct(
            class_=item.metadata.name,
            ownership=Ownership.MANAGED,
            http_route=proxy.config_map,
            rule=None,
            gateway=None,
            backends={lane.metadata.name: "" for lane in _serving(item, lanes, proxy)},
        )
        for item in classes
    )
    routing = plan.spec.routing.model_copy(update={"bindings": bindings})
    return plan.model_copy(update={"spec": plan.spec.model_copy(update={"routing": routing})})


def proxy_findings(plan: CapacityPlan, lanes: Sequence[CapacityLane], scope: ProxyScope | None) -> list[Finding]:
    """What stands in the proxy's way."""
    proxy = plan.spec.routing.litellm
    if scope is None or proxy is None:
        return []
    about = f"CapacityPlan/{plan.metadata.key}"
    found = []
    if scope.problem is not None:
        found.append(Finding(Severity.ERROR, PROXY_PROBLEM, f"routing.litellm: {scope.problem}", about))
    if scope.problem is None and scope.replicas == 0:
        message = f"Deployment {scope.namespace}/{proxy.deployment} has no replicas, so nobody answers: scale it up"
        found.append(Finding(Severity.WARNING, "ProxyScaledToZero", message, about))
    if scope.stuck is not None:
        message = f"Deployment {scope.namespace}/{proxy.deployment}: its rollout is stuck: {scope.stuck}"
        found.append(Finding(Severity.WARNING, "RolloutStuck", message, about))
    for each in of_addresses(plan, [lane.metadata.name for lane in lanes]):
        found.append(Finding(Severity.ERROR, each.reason.value, each.message, about))
    for lane in lanes if is_front(plan) else ():
        if lane.spec.type is LaneType.SELF_HOSTED and lane.metadata.name not in proxy.addresses:
            message = f"routing.litellm.addresses: lane {lane.metadata.name} needs the address of its engines' Service"
            found.append(Finding(Severity.ERROR, "AddressMissing", message, f"CapacityLane/{lane.metadata.key}"))
    return found
