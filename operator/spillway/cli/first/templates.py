"""Workloads with their pod templates, and the pods that they select."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from spillway.cli.first.cluster import Listed
from spillway.kube import Items
from spillway.observe.targets import controller_of, gpus_in

JSON = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Templated:
    """A workload with its pod templates; several where a replica is a group of pods."""

    kind: str
    item: JSON
    templates: tuple[tuple[JSON, int], ...]
    """Pod templates with how many pods of each make one replica."""

    @property
    def namespace(self) -> str:
        """Namespace of the workload."""
        return str(self.item["metadata"]["namespace"])

    @property
    def name(self) -> str:
        """Name of the workload."""
        return str(self.item["metadata"]["name"])

    @property
    def key(self) -> str:
        """Kind/name."""
        return f"{self.kind}/{self.name}"

    @property
    def labels(self) -> Mapping[str, str]:
        """Labels of its first template's pods."""
        found: Mapping[str, str] = (self.templates[0][0].get("metadata") or {}).get("labels") or {}
        return found

    def containers(self) -> Iterator[JSON]:
        """Containers of all templates."""
        for template, _ in self.templates:
            yield from (template.get("spec") or {}).get("containers") or []

    @property
    def gpus(self) -> int | None:
        """GPUs that one replica asks for; None where it asks for none."""
        total = 0.0
        for template, count in self.templates:
            for container in (template.get("spec") or {}).get("containers") or []:
                resources = container.get("resources") or {}
                total += count * gpus_in({**(resources.get("limits") or {}), **(resources.get("requests") or {})})
        return round(total) or None


def templated(listed: Listed) -> tuple[Templated, ...]:
    """All workloads that have a scale subresource."""
    found = [
        Templated(kind, item, (((item.get("spec") or {}).get("template") or {}, 1),))
        for kind, items in (("Deployment", listed.deployments), ("StatefulSet", listed.stateful_sets))
        for item in items
        # A LeaderWorkerSet's StatefulSets are its own business, and it is listed itself.
        if not (kind == "StatefulSet" and (controller_of(item["metadata"]) or {}).get("kind") == "LeaderWorkerSet")
    ]
    for item in listed.leader_worker_sets:
        group = (item.get("spec") or {}).get("leaderWorkerTemplate") or {}
        worker, size = group.get("workerTemplate") or {}, int(group.get("size") or 1)
        leader = group.get("leaderTemplate") or worker
        found.append(Templated("LeaderWorkerSet", item, ((leader, 1), (worker, size - 1))))
    return tuple(found)


def pods_of(each: Templated, pods: Items) -> Items:
    """Pods of its namespace that carry its selector's labels."""
    wanted = ((each.item.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
    if each.kind == "LeaderWorkerSet":
        wanted = {"leaderworkerset.sigs.k8s.io/name": each.name}
    return [
        pod
        for pod in pods
        if wanted
        and pod["metadata"].get("namespace") == each.namespace
        and wanted.items() <= (pod["metadata"].get("labels") or {}).items()
    ]
