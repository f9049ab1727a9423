"""The stage that the tests of proposals play on: a plan, its lanes and its class, and an operator tick by tick."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from spillway.api import CapacityLane, CapacityPlan, WorkloadClass
from spillway.config import OperatorConfig
from spillway.controller.loop import Decided
from spillway.controller.proposals import Proposals
from spillway.controller.publish import Publisher
from spillway.decide.decision import Costs, Decision, LaneDecision, Reason
from spillway.decide.freed import Freed
from spillway.decide.snapshot import ClassSnapshot, LaneSnapshot, MetricsHealth, MetricsReason, PlanSnapshot
from spillway.kube import CLASSES, EVENTS, LANE_CHANGES, LANES, PLANS, Items, Kube, KubeError, Resource
from spillway.observe.scope import ClusterView, LaneScope, PlanScope
from spillway.report.lane_changes import PlanChanges
from spillway.report.metrics import OperatorMetrics
from spillway_dev.cluster import Cluster
from support.world import hosted_lane, own_lane, plan, workload

NOW = 1_800_000_000.0
DAY = 86_400.0
TICK = 50.0
OBSERVE = 500
NEEDS_ONE = Freed(1, {0: 6.0, 1: 6.0, 2: 3.0})
DEARER = Freed(4, {n: -3.0 * (n - 3) for n in range(4, 8)})


BY_KIND = {"CapacityPlan": PLANS, "CapacityLane": LANES, "WorkloadClass": CLASSES, "LaneChange": LANE_CHANGES}


class MemoryKube(Kube):
    """As much of an apiserver as proposals need, for tests of months: no schema, no watch, one writer."""

    def __init__(self) -> None:
        super().__init__(None)
        self.objects: dict[tuple[Resource, str], dict[str, Any]] = {}
        """By resource and "namespace/name"."""
        self.refused: dict[tuple[str, Resource], KubeError] = {}
        """What is answered to a verb, whatever the object."""
        self.asked: list[tuple[str, Resource, str, int]] = []
        """Creates and deletes: verb, resource, name, HTTP status."""

    def put(self, manifest: dict[str, Any]) -> dict[str, Any]:
        """Create it, or write its spec."""
        meta, resource = manifest["metadata"], BY_KIND[manifest["kind"]]
        key = (resource, f"{meta['namespace']}/{meta['name']}")
        before = self.objects.get(key)
        same = before is not None and before["spec"] == manifest["spec"]
        kept = {"uid": str(uuid4()), "generation": 0} if before is None else before["metadata"]
        generation = kept["generation"] + (0 if same else 1)
        self.objects[key] = (before or {}) | manifest | {"metadata": kept | meta | {"generation": generation}}
        return self.objects[key]

    async def get(self, resource: Resource, namespace: str | None, name: str, subresource: str | None = None) -> Any:
        if (resource, f"{namespace}/{name}") not in self.objects:
            raise KubeError(404, "NotFound", f"{name} not found")
        return self.objects[resource, f"{namespace}/{name}"]

    async def list_in(self, resource: Resource, namespaces: Any) -> Items:
        return [item for (kind, _), item in self.objects.items() if kind is resource]

    async def list(
        self, resource: Resource, namespace: str | None = None, *, label_selector: str | None = None
    ) -> Items:
        return await self.list_in(resource, [])

    async def create(self, resource: Resource, namespace: str | None, body: dict[str, Any]) -> Any:
        if resource is EVENTS:
            return body
        name = body["metadata"]["name"]
        there = (resource, f"{namespace}/{name}") in self.objects
        conflict = KubeError(409, "AlreadyExists", f"{name} already exists") if there else None
        self._answer("create", resource, name, self.refused.get(("create", resource)) or conflict)
        return self.put(body)

    async def delete(self, resource: Resource, namespace: str | None, name: str, uid: str) -> None:
        found = self.objects.get((resource, f"{namespace}/{name}"))
        missing = KubeError(404, "NotFound", f"{name} not found") if found is None else None
        self._answer("delete", resource, name, self.refused.get(("delete", resource)) or missing)
        del self.objects[resource, f"{namespace}/{name}"]

    async def apply(self, resource: Resource, namespace: str | None, name: str, body: Any, **_: Any) -> Any:
        key = (resource, f"{namespace}/{name}")
        found = self.objects.get(key, {"metadata": {"resourceVersion": "0"}})
        version = str(int(found["metadata"].get("resourceVersion", "0")) + 1)
        self.objects[key] = (
            found | body | {"metadata": found["metadata"] | body["metadata"] | {"resourceVersion": version}}
        )
        return self.objects[key]

    def _answer(self, verb: str, resource: Resource, name: str, error: KubeError | None) -> None:
        self.asked.append((verb, resource, name, 200 if error is None else error.status))
        if error is not None:
            raise error


def config(namespace: str, observe: int = OBSERVE) -> OperatorConfig:
    return OperatorConfig.model_validate(
        {
            "prometheus": {"url": "http://p"},
            "operatorNamespace": namespace,
            "namespaces": [namespace],
            "proposals": {"observeSeconds": observe},
        }
    )


@dataclass
class Stage:
    """A plan with its lanes and class on the apiserver, and an operator's proposals, tick by tick."""

    kube: Kube
    namespace: str
    cluster: Cluster | None = None
    """None: there is none, and what is applied goes to ``kube``, which is in memory."""
    now: float = NOW
    freed: Freed | None = NEEDS_ONE
    held: Reason | None = None
    usable: bool = True
    proposals: Proposals = field(init=False)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        publisher = Publisher(self.kube, OperatorMetrics())
        self.proposals = Proposals(self.kube, config(self.namespace), publisher)

    def apply(self, *manifests: dict[str, Any]) -> None:
        if self.cluster is not None:
            self.cluster.apply(*manifests, field_manager="person")
        elif isinstance(self.kube, MemoryKube):
            for each in manifests:
                self.kube.put(each)

    def make(self, bounds: dict[str, int] | None = None, **plan_spec: Any) -> None:
        ns = self.namespace
        lane = own_lane(ns, replicas=bounds or {"min": 3, "max": 8})
        self.apply(lane, hosted_lane(ns), workload(ns), plan(ns, **plan_spec))

    async def view(self) -> tuple[ClusterView, Decided]:
        ns = self.namespace
        found = CapacityPlan.parse(await self.kube.get(PLANS, ns, "main"))
        lanes = [CapacityLane.parse(await self.kube.get(LANES, ns, name)) for name in ("gpu", "hosted")]
        item = WorkloadClass.parse(await self.kube.get(CLASSES, ns, "chat"))
        reason = MetricsReason.FOUND if self.usable else MetricsReason.STALE
        seen = tuple(LaneSnapshot(lane) for lane in lanes)
        health = MetricsHealth(reason, "series", self.now)
        snapshot = PlanSnapshot(self.now, found, (ClassSnapshot(item, None),), seen, (), health)
        why = Reason("Steady", "Nothing to do.")
        own = LaneDecision("gpu", 3, 3, 3, 3, why, freed=self.freed)
        key = found.metadata.key
        decision = Decision(key, self.now, self.now + TICK, (own,), (), (), Costs(), why, held=self.held)
        scope = PlanScope(found, (item,), tuple(LaneScope(lane) for lane in lanes), ())
        about = {f"WorkloadClass/{ns}/chat": key} | {f"CapacityLane/{ns}/{lane.metadata.name}": key for lane in lanes}
        cluster = ClusterView(self.now, (scope,), object_plans=about, lanes=tuple(lanes), classes=(item,))
        return cluster, Decided(snapshot, decision)

    async def tick(self, number: int = 1) -> PlanChanges:
        found: PlanChanges | None = None
        for _ in range(number):
            cluster, decided = await self.view()
            found = (await self.proposals.tick(cluster, [decided], self.now)).get(decided.snapshot.key)
            self.now += TICK
        assert found is not None
        return found

    async def observe(self) -> PlanChanges:
        """Until it was seen for long enough."""
        return await self.tick(int(OBSERVE / TICK) + 1)

    async def made(self) -> dict[str, dict[str, Any]]:
        return {item["metadata"]["name"]: item for item in await self.kube.list(LANE_CHANGES, self.namespace)}

    def annotate(self, name: str, note: str) -> None:
        assert self.cluster is not None
        self.cluster.kubectl("annotate", "lchange", name, "-n", self.namespace, note)

    def events(self, kind: str) -> list[str]:
        assert self.cluster is not None
        found = self.cluster.kubectl("get", "events.events.k8s.io", "-n", self.namespace, "-o", "json")
        return sorted(item["reason"] for item in json.loads(found)["items"] if item["regarding"]["kind"] == kind)
