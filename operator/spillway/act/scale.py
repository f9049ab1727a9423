"""Scales a lane's target: baseline noted, least loaded pods marked, then one server-side apply on ``scale``.

Every write carries a resourceVersion as its precondition, so that a decision never lands on an object that has
changed since it was read.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from spillway.act.writes import Outcome, Write
from spillway.api import CapacityLane
from spillway.api.names import BASELINE_ANNOTATION, DELETION_COST_ANNOTATION, LAST_SCALE_ANNOTATION, MARK_ANNOTATION
from spillway.decide.decision import LaneDecision
from spillway.kube import PODS, Kube, KubeError, Resource

FIRST_COST = -1000
"""Deletion cost of the pod that goes first; the next ones count up from here."""

JSON = dict[str, Any]


class Superseded(Exception):
    """The object is not as it was decided on."""


def _scale_body(target: JSON, replicas: int, resource_version: str) -> JSON:
    meta = target["metadata"]
    return {
        "apiVersion": "autoscaling/v1",
        "kind": "Scale",
        "metadata": {"name": meta["name"], "namespace": meta["namespace"], "resourceVersion": resource_version},
        "spec": {"replicas": replicas},
    }


async def mark_pods(kube: Kube, namespace: str, selector: str, go_first: Sequence[str]) -> list[Write]:
    """Give ``go_first`` the lowest deletion costs, in order, and take earlier marks off the others."""
    writes: list[Write] = []
    for pod in await kube.list(PODS, namespace, label_selector=selector):
        meta = pod["metadata"]
        annotations = meta.get("annotations") or {}
        cost: str | None = None
        if meta["name"] in go_first:
            cost = str(FIRST_COST + go_first.index(meta["name"]))
        elif MARK_ANNOTATION not in annotations:
            continue
        if annotations.get(DELETION_COST_ANNOTATION) == cost:
            continue
        change = {DELETION_COST_ANNOTATION: cost, MARK_ANNOTATION: "true" if cost else None}
        body = {"metadata": {"annotations": change, "uid": meta["uid"]}}
        outcome = Outcome.WRITTEN
        try:
            await kube.merge_patch(PODS, namespace, meta["name"], body)
        except KubeError as error:
            if not error.not_found and not error.conflict:
                raise
            outcome = Outcome.SUPERSEDED
        detail = f"cost {cost}" if cost else "mark removed"
        writes.append(Write("pod-deletion-cost", f"Pod/{namespace}/{meta['name']}", detail, outcome))
    return writes


async def _note(
    kube: Kube, resource: Resource, target: JSON, decided: LaneDecision, at: float
) -> tuple[JSON, list[Write]]:
    """Note baseline and intent before the write: a crash in between leaves the careful reading.

    Taking part ownership at an unchanged count is no step, and must not hide when the last one was.
    """
    meta = target["metadata"]
    before, after = decided.current or 0, decided.recommended or 0
    when = datetime.fromtimestamp(at, tz=UTC).isoformat(timespec="milliseconds")
    noted = dict[str, str]()
    if before != after:
        noted[LAST_SCALE_ANNOTATION] = json.dumps({"at": when, "from": before, "to": after})
    if BASELINE_ANNOTATION not in (meta.get("annotations") or {}):
        noted[BASELINE_ANNOTATION] = str(before)
    if not noted:
        return target, []
    body = {"metadata": {"resourceVersion": meta["resourceVersion"], "annotations": noted}}
    patched = await kube.merge_patch(resource, meta["namespace"], meta["name"], body)
    subject = f"{target['kind']}/{meta['namespace']}/{meta['name']}"
    patched.setdefault("kind", target["kind"])
    return patched, [Write("annotation", subject, f"{before} -> {after} replicas noted", Outcome.WRITTEN)]


def _check(target: JSON, scale: JSON, decided: LaneDecision, uid: str) -> None:
    meta = target["metadata"]
    if meta["uid"] != uid or meta.get("deletionTimestamp"):
        raise Superseded("it was deleted or replaced")
    now = int((scale.get("spec") or {}).get("replicas") or 0)
    if now != decided.current:
        raise Superseded(f"it has {now} replicas, not {decided.current}")
    if any(ref.get("controller") for ref in meta.get("ownerReferences") or []):
        raise Superseded("it has a controller now")


async def _apply_scale(kube: Kube, resource: Resource, target: JSON, decided: LaneDecision, uid: str) -> None:
    """Apply the count, looking again where the target's status moved on since the note, as controllers do all day."""
    namespace, name = target["metadata"]["namespace"], target["metadata"]["name"]
    for last in (False, False, True):
        body = _scale_body(target, decided.recommended or 0, target["metadata"]["resourceVersion"])
        try:
            await kube.apply(resource, namespace, name, body, subresource="scale")
            return
        except KubeError as error:
            if last or not error.conflict:
                raise
        target = await kube.get(resource, namespace, name)
        _check(target, await kube.get(resource, namespace, name, "scale"), decided, uid)


async def scale_lane(kube: Kube, lane: CapacityLane, decided: LaneDecision, uid: str, at: float) -> list[Write]:
    """Bring the lane's target to ``decided.recommended``; also takes part ownership at an unchanged count.

    ``uid`` is that of the target that was observed, ``at`` the Unix time of the write in seconds.
    """
    own = lane.spec.self_hosted
    if own is None or decided.recommended is None:
        return []
    namespace, ref, writes = lane.metadata.namespace, own.target_ref, list[Write]()
    subject = f"{ref.kind}/{namespace}/{ref.name}"
    detail = f"{decided.current} -> {decided.recommended} replicas"
    try:
        resource = await kube.resource_for(ref.api_version, ref.kind)
        if resource is None:
            raise Superseded("its kind is no longer served")
        target = await kube.get(resource, namespace, ref.name)
        target.setdefault("kind", ref.kind)
        scale = await kube.get(resource, namespace, ref.name, "scale")
        _check(target, scale, decided, uid)
        target, noted = await _note(kube, resource, target, decided, at)
        writes += noted
        selector = (scale.get("status") or {}).get("selector") or ""
        shrinks = decided.recommended < (decided.current or 0)
        if shrinks and decided.recommended > 0 and selector and ref.kind in ("Deployment", "ReplicaSet"):
            writes += await mark_pods(kube, namespace, selector, decided.pods_to_remove)
        await _apply_scale(kube, resource, target, decided, uid)
    except Superseded as why:
        return [*writes, Write("scale", subject, detail, Outcome.SUPERSEDED, str(why))]
    except KubeError as error:
        outcome = Outcome.SUPERSEDED if error.conflict or error.not_found else Outcome.FAILED
        return [*writes, Write("scale", subject, detail, outcome, error.message)]
    return [*writes, Write("scale", subject, detail, Outcome.WRITTEN)]
