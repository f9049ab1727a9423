"""Gives routes back: notes and ownership removed, weights kept or restored. Works from the annotations alone."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from spillway.act.ownership import RELEASE_MANAGER, drop_notes
from spillway.act.planes.plane import Held
from spillway.act.writes import Outcome, Write
from spillway.api import RoutingPlane
from spillway.api.airoutes import maker
from spillway.api.names import (
    BASELINE_WEIGHTS_ANNOTATION,
    MANAGED_LABEL,
    MANAGED_VALUE,
    ROUTING_ANNOTATION,
    baseline_key,
)
from spillway.kube import HTTP_ROUTES, Items, Kube, KubeError, Resource

JSON = dict[str, Any]


RuleKey = Callable[[JSON], str | None]
"""How notes name a rule."""


def by_name(rule: JSON) -> str | None:
    """HTTPRoutes' rules have names."""
    return rule.get("name")


async def held_routes(
    kube: Kube,
    namespaces: Sequence[str],
    resource: Resource = HTTP_ROUTES,
    kind: str = "HTTPRoute",
    plane: RoutingPlane = RoutingPlane.GATEWAY_API,
) -> AsyncIterator[Held]:
    """Every route of a kind that carries Spillway's notes, in these namespaces (none: everywhere)."""
    try:
        routes = await kube.list_in(resource, namespaces)
    except KubeError as error:
        if error.not_found:
            return
        raise
    for route in routes:
        meta = route["metadata"]
        noted = (meta.get("annotations") or {}).get(BASELINE_WEIGHTS_ANNOTATION)
        managed = (meta.get("labels") or {}).get(MANAGED_LABEL) == MANAGED_VALUE
        # An HTTPRoute that was made from an AIGatewayRoute has copies of that one's notes.
        if (noted is not None or managed) and maker(route) is None:
            yield Held(resource, kind, meta["namespace"], meta["name"], noted or "", plane)


async def release_route(kube: Kube, held: Held, *, restore: bool, key: RuleKey = by_name) -> Write:
    """Give one route back; with ``restore`` with its weights from before Spillway, else as they are now."""
    try:
        detail = await _release(kube, held, restore, key)
    except (KubeError, ValueError) as error:
        return Write("release", held.subject, "not released", Outcome.FAILED, str(error))
    return Write("release", held.subject, detail, Outcome.WRITTEN)


async def _release(kube: Kube, held: Held, restore: bool, key: RuleKey) -> str:
    if not held.baseline:
        return "managed route kept as it is: delete it when nothing uses it"
    detail = "weights kept"
    if restore:
        route = await kube.get(held.resource, held.namespace, held.name)
        operations = _restore_weights(route, _noted_weights(held.baseline), key)
        if operations:
            await kube.json_patch(held.resource, held.namespace, held.name, operations, field_manager=RELEASE_MANAGER)
            detail = "weights restored"
    notes = (BASELINE_WEIGHTS_ANNOTATION, ROUTING_ANNOTATION)
    await drop_notes(kube, held.resource, held.namespace, held.name, notes)
    return detail


def _restore_weights(route: JSON, noted: dict[str, dict[str, int]], key: RuleKey) -> Items:
    operations: Items = []
    for i, rule in enumerate((route.get("spec") or {}).get("rules") or []):
        weights, refs = noted.get(key(rule) or "", {}), rule.get("backendRefs") or []
        for j, ref in enumerate(refs):
            if (named := baseline_key(ref, refs)) in weights:
                path = f"/spec/rules/{i}/backendRefs/{j}"
                operations.append({"op": "test", "path": f"{path}/name", "value": ref["name"]})
                operations.append({"op": "add", "path": f"{path}/weight", "value": weights[named]})
    return operations


def _noted_weights(text: str) -> dict[str, dict[str, int]]:
    try:
        noted = json.loads(text)
        if isinstance(noted, dict) and all(isinstance(weights, dict) for weights in noted.values()):
            return noted
    except (ValueError, RecursionError):
        pass
    raise ValueError(f"annotation {BASELINE_WEIGHTS_ANNOTATION} is not what Spillway notes: release without --restore")
