"""Gives targets and routes back: ownership and notes removed, replicas and weights kept or restored.

Works from the annotations alone, so that it also finds what deleted plans and lanes have left behind.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from spillway.act.writes import Outcome, Write
from spillway.api.names import (
    BASELINE_ANNOTATION,
    BASELINE_WEIGHTS_ANNOTATION,
    LAST_SCALE_ANNOTATION,
    MANAGED_LABEL,
    MANAGED_VALUE,
    baseline_key,
)
from spillway.kube import FIELD_MANAGER, HTTP_ROUTES, LANES, Items, Kube, KubeError, Resource

RELEASE_MANAGER = "spillway-release"

JSON = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Held:
    """An object that Spillway holds."""

    resource: Resource
    kind: str
    namespace: str
    name: str
    baseline: str
    """The noted baseline: replicas, or weights as JSON; empty for a managed route."""

    @property
    def subject(self) -> str:
        """Kind/namespace/name."""
        return f"{self.kind}/{self.namespace}/{self.name}"


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
    for route in await _list(kube, HTTP_ROUTES, namespaces):
        meta = route["metadata"]
        noted = (meta.get("annotations") or {}).get(BASELINE_WEIGHTS_ANNOTATION)
        managed = (meta.get("labels") or {}).get(MANAGED_LABEL) == MANAGED_VALUE
        if noted is not None or managed:
            yield Held(HTTP_ROUTES, "HTTPRoute", meta["namespace"], meta["name"], noted or "")


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


async def _drop_notes(kube: Kube, held: Held, annotations: Sequence[str]) -> None:
    """Remove the notes and Spillway's entries in managedFields; values stay as they are.

    Ownership is dropped by editing managedFields: an empty server-side apply would reset replicas instead.
    """
    for last in (False, False, False, False, True):
        item = await kube.get(held.resource, held.namespace, held.name)
        operations = _without_notes(item["metadata"], annotations)
        try:
            await kube.json_patch(held.resource, held.namespace, held.name, operations, field_manager=RELEASE_MANAGER)
            return
        except KubeError as error:
            # Its controller writes status at the same time, all the more after a restore.
            if last or not error.conflict:
                raise


def _without_notes(meta: JSON, annotations: Sequence[str]) -> Items:
    operations: Items = [{"op": "test", "path": "/metadata/resourceVersion", "value": meta["resourceVersion"]}]
    for annotation in annotations:
        if annotation in (meta.get("annotations") or {}):
            path = "/metadata/annotations/" + annotation.replace("~", "~0").replace("/", "~1")
            operations.append({"op": "remove", "path": path})
    kept = [entry for entry in meta.get("managedFields") or [] if entry.get("manager") != FIELD_MANAGER]
    # An empty list is taken as "not told"; one empty entry clears them.
    operations.append({"op": "replace", "path": "/metadata/managedFields", "value": kept or [{}]})
    return operations


def _restore_weights(route: JSON, noted: dict[str, dict[str, int]]) -> Items:
    operations: Items = []
    for i, rule in enumerate((route.get("spec") or {}).get("rules") or []):
        weights, refs = noted.get(rule.get("name", ""), {}), rule.get("backendRefs") or []
        for j, ref in enumerate(refs):
            if (key := baseline_key(ref, refs)) in weights:
                path = f"/spec/rules/{i}/backendRefs/{j}"
                operations.append({"op": "test", "path": f"{path}/name", "value": ref["name"]})
                operations.append({"op": "add", "path": f"{path}/weight", "value": weights[key]})
    return operations


def _noted_weights(text: str) -> dict[str, dict[str, int]]:
    try:
        noted = json.loads(text)
        if isinstance(noted, dict) and all(isinstance(weights, dict) for weights in noted.values()):
            return noted
    except (ValueError, RecursionError):
        pass
    raise ValueError(f"annotation {BASELINE_WEIGHTS_ANNOTATION} is not what Spillway notes: release without --restore")


async def _release_route(kube: Kube, held: Held, restore: bool) -> str:
    if not held.baseline:
        return "managed route kept as it is: delete it when nothing uses it"
    detail = "weights kept"
    if restore:
        route = await kube.get(held.resource, held.namespace, held.name)
        operations = _restore_weights(route, _noted_weights(held.baseline))
        if operations:
            await kube.json_patch(held.resource, held.namespace, held.name, operations, field_manager=RELEASE_MANAGER)
            detail = "weights restored"
    await _drop_notes(kube, held, (BASELINE_WEIGHTS_ANNOTATION,))
    return detail


async def release(kube: Kube, held: Held, *, restore: bool) -> Write:
    """Give one object back; with ``restore`` at its baseline, else as it is now."""
    try:
        if held.resource is HTTP_ROUTES:
            detail = await _release_route(kube, held, restore)
        else:
            detail = await _restore_replicas(kube, held) if restore else "replicas kept"
            await _drop_notes(kube, held, (BASELINE_ANNOTATION, LAST_SCALE_ANNOTATION))
    except (KubeError, ValueError) as error:
        return Write("release", held.subject, "not released", Outcome.FAILED, str(error))
    return Write("release", held.subject, detail, Outcome.WRITTEN)
