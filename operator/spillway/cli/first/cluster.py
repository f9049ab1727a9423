"""What the apiserver has of all that a first proposal is made from. What may not be listed is a Gap, no failure."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from spillway.advise.first.facts import Gap
from spillway.kube import (
    BACKENDS,
    CLASSES,
    DEPLOYMENTS,
    HPAS,
    HTTP_ROUTES,
    LANES,
    LEADER_WORKER_SETS,
    NODES,
    PLANS,
    PODS,
    SCALED_OBJECTS,
    SERVICES,
    STATEFUL_SETS,
    Items,
    Kube,
    KubeError,
    Resource,
)

JSON = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Listed:
    """Objects by kind; a kind that is not there, or may not be listed, is empty."""

    deployments: Items
    stateful_sets: Items
    leader_worker_sets: Items
    pods: Items
    services: Items
    hpas: Items
    scaled_objects: Items
    routes: Items
    backends: Items
    nodes: Items
    plans: Items
    lanes: Items
    classes: Items
    gaps: tuple[Gap, ...] = ()


WITHOUT: dict[str, tuple[Resource, str]] = {
    "deployments": (DEPLOYMENTS, "Engines that are Deployments were not seen."),
    "stateful_sets": (STATEFUL_SETS, "Engines that are StatefulSets were not seen."),
    "leader_worker_sets": (LEADER_WORKER_SETS, "Engines that are LeaderWorkerSets were not seen."),
    "pods": (PODS, "GPU types and start-up times of running pods are not known."),
    "services": (SERVICES, "Which engines a route leads to is not known, so that nothing is bound."),
    "hpas": (HPAS, "Whether another autoscaler has these workloads is not known: kubectl get hpa."),
    "scaled_objects": (SCALED_OBJECTS, "Whether KEDA has these workloads is not known: kubectl get scaledobject."),
    "routes": (HTTP_ROUTES, "No route is bound."),
    "backends": (BACKENDS, "Routes that lead to Envoy Gateway's Backends are not bound."),
    "nodes": (NODES, "GPU types, numbers and prices of nodes are not known: check type, price and replicas.max."),
    "plans": (PLANS, "Plans that are there already were not seen."),
    "lanes": (LANES, "Lanes that are there already were not seen."),
    "classes": (CLASSES, "Classes that are there already were not seen."),
}
"""By field of Listed: the kind, and what its absence from the picture means."""


async def list_all(kube: Kube, namespaces: Sequence[str]) -> Listed:
    """Everything in these namespaces (none: all), side by side.

    Raises KubeError where the apiserver does not answer.
    """
    names = [each.name for each in fields(Listed) if each.name != "gaps"]
    answers = await asyncio.gather(*(_listed(kube, name, namespaces) for name in names))
    gaps = [gap for _, gap in answers if gap is not None]
    return Listed(**{name: items for name, (items, _) in zip(names, answers, strict=True)}, gaps=tuple(gaps))


async def _listed(kube: Kube, name: str, namespaces: Sequence[str]) -> tuple[Items, Gap | None]:
    resource, without = WITHOUT[name]
    try:
        return await kube.list_in(resource, namespaces), None
    except KubeError as error:
        if error.status in (0, 401):
            raise
        if error.not_found:
            return [], None
        why = "forbidden" if error.forbidden else f"HTTP {error.status}"
        return [], Gap(resource.plural, why, without)
