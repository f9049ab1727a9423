"""Gives an object back: Spillway's notes and its entries in managedFields go, values stay as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from spillway.api.names import MANAGED_LABEL, MANAGED_VALUE
from spillway.kube import FIELD_MANAGER, Items, Kube, KubeError, Resource

RELEASE_MANAGER = "spillway-release"

JSON = dict[str, Any]


async def drop_notes(
    kube: Kube, resource: Resource, namespace: str, name: str, annotations: Sequence[str], *, labelled: bool = False
) -> None:
    """Remove these annotations and Spillway's ownership; ``labelled``: also the label that says that it manages it.

    Ownership is dropped by editing managedFields: an empty server-side apply would reset replicas instead.
    """
    for last in (False, False, False, False, True):
        item = await kube.get(resource, namespace, name)
        operations = _without_notes(item["metadata"], annotations, labelled)
        try:
            await kube.json_patch(resource, namespace, name, operations, field_manager=RELEASE_MANAGER)
            return
        except KubeError as error:
            # Its controller writes status at the same time, all the more after a restore.
            if last or not error.conflict:
                raise


def _without_notes(meta: JSON, annotations: Sequence[str], labelled: bool) -> Items:
    operations: Items = [{"op": "test", "path": "/metadata/resourceVersion", "value": meta["resourceVersion"]}]
    for annotation in annotations:
        if annotation in (meta.get("annotations") or {}):
            operations.append({"op": "remove", "path": "/metadata/annotations/" + _escaped(annotation)})
    if labelled and (meta.get("labels") or {}).get(MANAGED_LABEL) == MANAGED_VALUE:
        operations.append({"op": "remove", "path": "/metadata/labels/" + _escaped(MANAGED_LABEL)})
    kept = [entry for entry in meta.get("managedFields") or [] if entry.get("manager") != FIELD_MANAGER]
    # An empty list is taken as "not told"; one empty entry clears them.
    operations.append({"op": "replace", "path": "/metadata/managedFields", "value": kept or [{}]})
    return operations


def _escaped(key: str) -> str:
    """A key as JSON Pointer writes it."""
    return key.replace("~", "~0").replace("/", "~1")
