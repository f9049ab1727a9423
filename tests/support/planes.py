"""What the conformance suite asks of every routing plane, and the adapter of Gateway API on a real Envoy.

A rig is one namespace with an own lane ("gpu", two replicas) and a hosted one ("hosted") behind a real gateway, a plan
that binds class "chat" to both, and the product's plane. Another plane joins with a rig of its own.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from spillway.act.planes.plane import Confirmation, Evidence, Found, Held, Move, Plane, Rendered, Wanted
from spillway.act.planes.registry import PLANES
from spillway.act.writes import Outcome, Write
from spillway.api import CapacityLane, CapacityPlan, LaneType, WorkloadClass
from spillway.decide.snapshot import Reading, RouteState
from spillway.kube import BACKENDS, HTTP_ROUTES, Kube
from spillway.observe.routes import route_states
from spillway_dev.gateway.manifests import parent_ref
from spillway_dev.processes import wait_until
from spillway_dev.upstreams import Load, LoadOptions, LoadReport
from support.gateways import CLASS_HEADER, Lanes, accepted, backend, http_route, spill_policy

Object = dict[str, Any]
T = TypeVar("T")
RETRIES = spill_policy("")["spec"]["retry"]
"""Of a BackendTrafficPolicy that lets requests spill."""
SUPERSEDED_AT_MOST = 8
"""Times that a write of the product may meet one of the gateway's."""


@dataclass
class GatewayRig:
    """Gateway API on a real Envoy Gateway, with a generated route or somebody's."""

    lanes: Lanes
    ownership: str
    mode: str = "Split"
    models: Mapping[str, str] = field(default_factory=lambda: {"gpu": "m", "hosted": "m"})
    """The model that each lane serves; the class asks for "m"."""
    at: float = 1_000_000.0
    """The operator's clock, Unix time in seconds."""

    @property
    def plane(self) -> Plane:
        """The product's."""
        return PLANES[self.plan().spec.routing.plane]

    @property
    def url(self) -> str:
        """Where clients send requests."""
        return self.lanes.stack.url

    @property
    def headers(self) -> Mapping[str, str]:
        """What clients send with them."""
        return self.lanes.headers

    @property
    def rule(self) -> str:
        """How the rule is named in notes."""
        return "all" if self.ownership == "Adopted" else "chat"

    def prepare(self) -> None:
        """What users make beforehand: Backends, and for an adopted rule its route and its policy."""
        lanes, space = self.lanes, self.lanes.namespace
        if self.mode == "Spill":
            lanes.cluster.apply(self.hosted_backend())
        if self.ownership == "Adopted":
            lanes.cluster.apply(http_route(space, vllm=1, egress=0))
            if self.mode == "Spill":
                lanes.cluster.apply(spill_policy(space))
            lanes.settled()

    def plan(self, *more: Object) -> CapacityPlan:
        """The plan; ``more`` are further bindings."""
        bindings = [self.bound("chat", "chat"), *more]
        routing = {"plane": "GatewayAPI", "bindings": bindings}
        meta = {"name": "main", "namespace": self.lanes.namespace}
        spec = {"lanes": ["gpu", "hosted"], "routing": routing, "overflow": {"mode": self.mode}}
        return CapacityPlan.parse({"metadata": meta, "spec": spec})

    def bound(self, name: str, route: str) -> Object:
        """A binding of a class to a route of this ownership."""
        binding: Object = {
            "class": name,
            "ownership": self.ownership,
            "httpRoute": route,
            "backends": {"gpu": "Backend/vllm", "hosted": "Backend/egress"},
        }
        return binding | ({"rule": "all"} if self.ownership == "Adopted" else {"gateway": parent_ref()})

    def workload(self, name: str = "chat") -> WorkloadClass:
        """The class, by a header of this namespace's."""
        header = {"header": {"name": CLASS_HEADER, "value": self.lanes.namespace}}
        spec = {
            "planRef": {"name": "main"},
            "match": {"routeRule": {"route": name, "rule": "all"}} if self.ownership == "Adopted" else header,
            "latency": "Deferrable",
            "dataPolicy": "Any",
            "equivalentModels": ["m"],
        }
        return WorkloadClass.parse({"metadata": {"name": name, "namespace": self.lanes.namespace}, "spec": spec})

    def capacity(self) -> tuple[CapacityLane, ...]:
        """The plan's lanes."""
        own = {
            "targetRef": {"name": "vllm"}, "gpu": {"type": "h100"}, "price": {"usdPerGpuHour": "3"},
            "replicas": {"min": 1, "max": 2},
        }  # fmt: skip
        price = {"inputUsdPerMTok": "1", "outputUsdPerMTok": "4"}
        hosted = {"provider": "openai", "model": self.models["hosted"], "price": price}
        return (
            self._lane("gpu", {"type": "SelfHosted", "models": [self.models["gpu"]], "selfHosted": own}),
            self._lane("hosted", {"type": "HostedRealtime", "models": [self.models["hosted"]], "hosted": hosted}),
        )

    def _lane(self, name: str, spec: Object) -> CapacityLane:
        return CapacityLane.parse({"metadata": {"name": name, "namespace": self.lanes.namespace}, "spec": spec})

    def wanted(self, weights: Mapping[str, Mapping[str, int]], plan: CapacityPlan | None = None) -> Wanted:
        """What is to be written, by class."""
        return Wanted(
            plan=plan or self.plan(),
            classes=tuple(self.workload(name) for name in weights),
            lanes=self.capacity(),
            weights=weights,
            moving=frozenset(weights),
            at=self.at,
        )

    def look(self, **weights: int) -> tuple[Found, Rendered]:
        """What the cluster holds, and what would be written."""

        async def looked(kube: Kube) -> tuple[Found, Rendered]:
            wanted = self.wanted({"chat": weights})
            found = await self.plane.read(kube, wanted)
            return found, self.plane.render(wanted, found)

        return self.ask(looked)

    def write(self, weights: Mapping[str, Mapping[str, int]], plan: CapacityPlan | None = None) -> tuple[Write, ...]:
        """One tick's writes."""

        async def written(kube: Kube) -> tuple[Write, ...]:
            wanted = self.wanted(weights, plan)
            found = await self.plane.read(kube, wanted)
            return await self.plane.apply(kube, self.plane.render(wanted, found))

        return self.ask(written)

    def move(self, **weights: int) -> None:
        """Write as often as the operator's ticks would until nothing is due, and wait until the gateway has it."""
        for _ in range(SUPERSEDED_AT_MOST):
            writes = self.write({"chat": weights})
            assert all(each.outcome is not Outcome.FAILED for each in writes), writes
            if not writes:
                break
        assert not writes, writes
        self.lanes.settled()

    def observed(self) -> RouteState:
        """The binding's rule as the operator observes it."""

        async def seen(kube: Kube) -> RouteState:
            space, plan = self.lanes.namespace, self.plan()
            routes = {item["metadata"]["name"]: item for item in await kube.list(HTTP_ROUTES, space)}
            backends = {item["metadata"]["name"]: item for item in await kube.list(BACKENDS, space)}
            own = {lane.metadata.name for lane in self.capacity() if lane.spec.type is LaneType.SELF_HOSTED}
            return route_states(plan, routes, None, backends, own)[0]

        return self.ask(seen)

    def counters(self) -> dict[str, int]:
        """Requests by lane so far, as engines and egress count them."""
        return {"gpu": self.lanes.counted("received"), "hosted": self.lanes.hosted.counters()["received"]}

    def confirm(self, weights: Mapping[str, int], before: Mapping[str, int], seconds: float) -> Confirmation:
        """How far these weights have come, by what was counted since ``before``, over a window that is now over."""
        self.at += 100.0
        requests = {lane: Reading((count - before[lane]) / seconds, self.at) for lane, count in self.counters().items()}
        evidence = Evidence(self.at, (self.observed(),), {"chat": requests}, seconds, frozenset({"gpu"}))
        move = Move("chat", weights, self.at - seconds)

        async def confirmed(kube: Kube) -> Confirmation:
            (found,) = await self.plane.confirm(kube, self.plan(), [move], evidence)
            return found

        return self.ask(confirmed)

    def held(self) -> list[Held]:
        """What the plane holds in this namespace."""

        async def listed(kube: Kube) -> list[Held]:
            return [held async for held in self.plane.held(kube, [self.lanes.namespace])]

        return self.ask(listed)

    def release(self, held: Held, restore: bool) -> Write:
        """Give it back."""
        return self.ask(lambda kube: self.plane.release(kube, held, restore=restore))

    def weights(self) -> dict[str, int]:
        """The weights of the rule as they are written, by lane."""
        refs = self.route()["spec"]["rules"][0]["backendRefs"]
        names = {"vllm": "gpu", "egress": "hosted"}
        return {names[ref["name"]]: ref["weight"] for ref in refs}

    def route(self) -> Object:
        """The HTTPRoute."""
        return self.ask(lambda kube: kube.get(HTTP_ROUTES, self.lanes.namespace, "chat"))

    def taken_by_somebody(self) -> None:
        """Before anything is written: the rule is somebody else's, or feeds something else."""
        lanes, space = self.lanes, self.lanes.namespace
        if self.ownership == "Managed":
            lanes.cluster.apply(http_route(space, vllm=1, egress=0))
        else:
            lanes.cluster.apply(
                backend(space, "canary", lanes.local_name, lanes.port), http_route(space, vllm=1, egress=0, canary=1)
            )

    def lose_hosted(self) -> None:
        """The hosted lane's Backend is deleted, and the gateway notices."""
        space = self.lanes.namespace
        self.lanes.cluster.kubectl("delete", "backends.gateway.envoyproxy.io", "egress", "-n", space)
        wait_until(lambda: not accepted(self.route()), "the gateway refuses the route", 60)

    def hosted_backend(self) -> Object:
        """The hosted lane's Backend."""
        lanes = self.lanes
        more = {"fallback": True} if self.mode == "Spill" else {}
        return backend(lanes.namespace, "egress", lanes.hosted_name, lanes.port, **more)

    @contextmanager
    def gateway_away(self) -> Iterator[None]:
        """The gateway's controller stands still, and so does every status."""
        process = self.lanes.stack.process
        assert process is not None
        pids = [pid for pid in descendants(process.pid) if command(pid).startswith("envoy-gateway")]
        assert pids
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def another_binding(self, works: bool) -> Object:
        """A second class's binding, that can be written or can't."""
        space = self.lanes.namespace
        if self.ownership == "Adopted" and works:
            self.lanes.cluster.apply(http_route(space, "other", vllm=1, egress=0))
        if self.ownership == "Managed" and not works:
            self.lanes.cluster.apply(http_route(space, "other", vllm=1, egress=0))
        return self.bound("other", "other")

    def send(self, requests: int, concurrency: int = 1, **body: object) -> LoadReport:
        """Send requests and wait for all."""
        options = LoadOptions(concurrency, requests, 60, body=body, headers=self.headers)
        with Load(self.url, options) as load:
            return load.finish()

    def ask(self, what: Callable[[Kube], Awaitable[T]]) -> T:
        """Run with a client of the apiserver."""

        async def run() -> T:
            async with await Kube.connect(str(self.lanes.cluster.kubeconfig)) as kube:
                return await what(kube)

        return asyncio.run(run())


def descendants(pid: int) -> list[int]:
    """The process and all that it started."""
    found = [pid]
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in tasks.read_text().split():
            found += descendants(int(child))
    return found


def command(pid: int) -> str:
    """What the process is called."""
    return Path(f"/proc/{pid}/comm").read_text().strip()
