"""Gives targets and routes back: ownership and notes removed, replicas and weights kept or restored.

Works from the annotations alone, so that it also finds what deleted plans and lanes have left behind.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from spillway.act.ownership import RELEASE_MANAGER, drop_notes
from spillway.act.planes.plane import Held
from spillway.act.planes.registry import PLANES
from spillway.act.writes import Outcome, Write
from spillway.api.names import BASELINE_ANNOTATION, LAST_SCALE_ANNOTATION
from spillway.kube import LANES, Items, Kube, KubeError, Resource

__all__ = ["Held", "held_objects", "release"]


async def _kinds(kube: Kube, namespaces: Sequence[str]) -> dict[tuple[str, str], Resource]:
    """Kinds that may hold targets: those that lanes name, and the usual ones."""
    wanted = {
        ("apps/v1", "Deployment"),
        ("apps/v1", "StatefulSet"),
        ("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet"),
    }
    for lane in await _list(kube, LANES, namespaces):
        ref = ((lane.get("spec") or {}).get("selfHosted") or {}).get("targetRef") or {}
        if ref.get("kind"):
            wanted.add((ref.get("apiVersion", "apps/v1"), ref["kind"]))
    found: dict[tuple[str, str], Resource] = {}
    for api_version, kind in sorted(wanted):
        resource = await kube.resource_for(api_version, kind)
        if resource is not None:
            found[(api_version, kind)] = resource
    return found


async def _list(kube: Kube, resource: Resource, namespaces: Sequence[str]) -> Items:
    try:
        return await kube.list_in(resource, namespaces)
    except KubeError as error:
        if error.not_found:
            return []
        raise


async def held_objects(kube: Kube, namespaces: Sequence[str]) -> AsyncIterator[Held]:
    """Every target and route that carries Spillway's notes, in these namespaces (none: everywhere)."""
    for (_, kind), resource in (await _kinds(kube, namespaces)).items():
        for item in await _list(kube, resource, namespaces):
            meta = item["metadata"]
            baseline = (meta.get("annotations") or {}).get(BASELINE_ANNOTATION)
            if baseline is not None:
                yield Held(resource, kind, meta["namespace"], meta["name"], baseline)
    for plane in PLANES.values():
        async for held in plane.held(kube, namespaces):
            yield held


async def _restore_replicas(kube: Kube, held: Held) -> str:
    if not held.baseline.isdecimal():
        raise ValueError(f"annotation {BASELINE_ANNOTATION} is no number of replicas: release without --restore")
    replicas = int(held.baseline)
    await kube.request(
        "PATCH",
        held.resource.path(held.namespace, held.name, "scale"),
        query={"fieldManager": RELEASE_MANAGER},
        body={"spec": {"replicas": replicas}},
        content_type="application/merge-patch+json",
    )
    return f"restored to {replicas} replicas"


async def release(kube: Kube, held: Held, *, restore: bool) -> Write:
    """Give one object back; with ``restore`` at its baseline, else as it is now."""
    if held.plane is not None:
        return await PLANES[held.plane].release(kube, held, restore=restore)
    try:
        detail = await _restore_replicas(kube, held) if restore else "replicas kept"
        notes = (BASELINE_ANNOTATION, LAST_SCALE_ANNOTATION)
        await drop_notes(kube, held.resource, held.namespace, held.name, notes)
    except (KubeError, ValueError) as error:
        return Write("release", held.subject, "not released", Outcome.FAILED, str(error))
    return Write("release", held.subject, detail, Outcome.WRITTEN)
