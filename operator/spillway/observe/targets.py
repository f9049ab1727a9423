"""A lane's target as the apiserver has it: replicas, who wrote them, who else scales it, its own pods."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from statistics import median
from typing import Any

from kubernetes.utils.quantity import parse_quantity

from spillway.api import CapacityLane
from spillway.api.names import BASELINE_ANNOTATION, LAST_SCALE_ANNOTATION
from spillway.decide.snapshot import PodState, TargetState
from spillway.kube import FIELD_MANAGER, PODS, REPLICA_SETS, Items, Kube, KubeError, Resource
from spillway.observe.scope import LaneScope
from spillway.observe.spill import queue_of

GPU_SUFFIXES = ("/gpu",)
MAX_STARTUP_SECONDS = 3600.0
"""No engine takes longer from its pod's creation to Ready."""

JSON = dict[str, Any]


def unix_time(text: str | None) -> float | None:
    """RFC 3339 to Unix seconds; None when absent or malformed."""
    if not text:
        return None
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except (ValueError, OverflowError):
        return None


def controller_of(meta: Mapping[str, Any]) -> JSON | None:
    """The controlling owner reference of an object, if it has one."""
    return next((ref for ref in meta.get("ownerReferences") or [] if ref.get("controller")), None)


def replicas_writer(meta: Mapping[str, Any]) -> tuple[str | None, bool]:
    """Who last changed spec.replicas, and whether Spillway is among its owners (from managedFields).

    A changed value leaves one owner; several owners agree on it, and then Spillway counts first, since the others
    did not change what it wrote. Entries of the scale subresource carry no time.
    """
    owners = [
        str(entry.get("manager", ""))
        for entry in meta.get("managedFields") or []
        if "f:replicas" in ((entry.get("fieldsV1") or {}).get("f:spec") or {})
    ]
    if FIELD_MANAGER in owners:
        return FIELD_MANAGER, True
    return (owners[0], False) if owners else (None, False)


def last_scale(meta: Mapping[str, Any]) -> tuple[float, int, int] | None:
    """Spillway's last scale write on the target as (Unix time, from, to); None when there is none."""
    text = (meta.get("annotations") or {}).get(LAST_SCALE_ANNOTATION)
    try:
        noted = json.loads(text or "")
        at = unix_time(str(noted["at"]))
        return (at, int(noted["from"]), int(noted["to"])) if at is not None else None
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None  # anybody may write annotations


def pod_state(pod: JSON) -> PodState:
    """The part of a pod that decisions need."""
    meta, status = pod["metadata"], pod.get("status") or {}
    ready: JSON = next((c for c in status.get("conditions") or [] if c.get("type") == "Ready"), {})
    is_ready = ready.get("status") == "True"
    return PodState(
        name=meta["name"],
        ready=is_ready,
        deleting=bool(meta.get("deletionTimestamp")),
        created_at=unix_time(meta.get("creationTimestamp")) or 0.0,
        ready_at=unix_time(ready.get("lastTransitionTime")) if is_ready else None,
    )


def gpus_in(resources: Mapping[str, Any]) -> float:
    """GPUs of any vendor among these quantities ("8", or "1k" as the apiserver writes a thousand)."""
    gpus = [value for name, value in resources.items() if name.endswith(GPU_SUFFIXES)]
    return sum((float(parse_quantity(value)) for value in gpus), 0.0)


def gpus_of(pod: JSON) -> float:
    """GPUs that a pod requests, of any vendor."""
    total = 0.0
    for container in (pod.get("spec") or {}).get("containers") or []:
        resources = container.get("resources") or {}
        asked = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
        total += gpus_in(asked)
    return total


def owned_pods(pods: Iterable[JSON], target: JSON, replica_sets: Iterable[JSON]) -> Items:
    """The pods that the target really owns: a label that somebody copied is not enough."""
    uid = target["metadata"]["uid"]
    parents = {uid} | {
        rs["metadata"]["uid"] for rs in replica_sets if (controller_of(rs["metadata"]) or {}).get("uid") == uid
    }
    kind = target.get("kind")
    strict = kind in ("Deployment", "StatefulSet", "ReplicaSet")
    return [
        pod
        for pod in pods
        if not strict or (controller_of(pod["metadata"]) or {}).get("uid") in parents
        if (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
    ]


def autoscaler_of(namespace: str, kind: str, name: str, hpas: Items, scaled_objects: Items) -> str | None:
    """ "Kind/name" of another autoscaler on the target."""
    for scaler, ref_field in ((hpas, "scaleTargetRef"), (scaled_objects, "scaleTargetRef")):
        for item in scaler:
            ref = (item.get("spec") or {}).get(ref_field) or {}
            same = ref.get("name") == name and ref.get("kind", "Deployment") == kind
            if same and item["metadata"].get("namespace") == namespace:
                label = "ScaledObject" if scaler is scaled_objects else "HorizontalPodAutoscaler"
                return f"{label}/{item['metadata']['name']}"
    return None


def _baseline(meta: Mapping[str, Any]) -> int | None:
    text = (meta.get("annotations") or {}).get(BASELINE_ANNOTATION, "")
    return int(text) if text.isdecimal() else None


async def read_target(kube: Kube, lane: CapacityLane, hpas: Items | None, scaled_objects: Items) -> LaneScope | None:
    """The lane with its target; None when the target (or its kind) does not exist.

    ``hpas`` is None when they may not be listed: then the target counts as scaled by somebody unknown.
    """
    spec = lane.spec.self_hosted
    if spec is None:
        return LaneScope(resource=lane)
    namespace, ref = lane.metadata.namespace, spec.target_ref
    resource = await kube.resource_for(ref.api_version, ref.kind)
    if resource is None:
        return None
    try:
        target = await kube.get(resource, namespace, ref.name)
        scale = await kube.get(resource, namespace, ref.name, "scale")
    except KubeError as error:
        if error.not_found:
            return None
        raise
    target.setdefault("kind", ref.kind)
    pods = await _pods_of(kube, resource, target, scale)
    autoscaler = (
        "unknown (HorizontalPodAutoscalers may not be listed)"
        if hpas is None
        else autoscaler_of(namespace, ref.kind, ref.name, hpas, scaled_objects)
    )
    return _scope(lane, target, scale, pods, autoscaler)


async def _pods_of(kube: Kube, resource: Resource, target: JSON, scale: JSON) -> Items:
    selector = (scale.get("status") or {}).get("selector")
    if not selector:
        return []
    namespace = target["metadata"]["namespace"]
    pods = await kube.list(PODS, namespace, label_selector=selector)
    is_deployment = resource.plural == "deployments"
    replica_sets = await kube.list(REPLICA_SETS, namespace, label_selector=selector) if is_deployment else []
    return owned_pods(pods, target, replica_sets)


def _scope(lane: CapacityLane, target: JSON, scale: JSON, pods: Items, autoscaler: str | None) -> LaneScope:
    meta = target["metadata"]
    states = tuple(pod_state(pod) for pod in pods)
    manager, owned = replicas_writer(meta)
    noted = last_scale(meta)
    owner = controller_of(meta)
    template = ((target.get("spec") or {}).get("template") or {}).get("spec") or {}
    startups = [s.ready_at - s.created_at for s in states if s.ready_at is not None and not s.deleting]
    # A pod that was Ready before tells how long it has lived, not how long it took to start.
    startups = [seconds for seconds in startups if seconds <= MAX_STARTUP_SECONDS]
    gpus = [gpus_of(pod) for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    return LaneScope(
        resource=lane,
        target=TargetState(
            kind=target["kind"],
            name=meta["name"],
            namespace=meta["namespace"],
            uid=meta["uid"],
            resource_version=meta["resourceVersion"],
            replicas=int((scale.get("spec") or {}).get("replicas") or 0),
            ready_replicas=sum(1 for s in states if s.ready and not s.deleting),
            pods=states,
            controller_owner=f"{owner['kind']}/{owner['name']}" if owner else None,
            autoscaler=autoscaler,
            replicas_manager=manager,
            replicas_written_at=noted[0] if noted and manager == FIELD_MANAGER else None,
            last_scale_at=noted[0] if noted else None,
            last_scale_from=noted[1] if noted else None,
            last_scale_to=noted[2] if noted else None,
            owned_by_spillway=owned,
            termination_grace_seconds=template.get("terminationGracePeriodSeconds"),
            baseline_replicas=_baseline(meta),
        ),
        gpus_requested=sum(gpus) if any(gpus) else None,
        queue=queue_of(lane, target),
        startup_seconds_observed=median(startups) if startups else None,
    )
