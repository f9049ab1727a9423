"""The conformance suite's adapter of Gateway API, on a real Envoy: own lane "gpu" has two replicas."""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
from support.rigs import Pace, T, ask, traces

Object = dict[str, Any]
RETRIES = spill_policy("")["spec"]["retry"]
"""Of a BackendTrafficPolicy that lets requests spill."""
ENVOY_PACE = Pace(clients=8, enough=8_000, some=500, points=2.0, patience_seconds=60.0)
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
    pace: Pace = ENVOY_PACE
    difference: tuple[str, ...] = ("gpu 100 -> 60", "hosted 0 -> 40")
    """How it words a move from all at home to 60 and 40."""
    pending: tuple[bool | None, str] = (None, "GatewayPending")
    """What is observed and said of what is written and not taken over."""
    not_owned: tuple[str, ...] = ("it is not Spillway's", "also sends traffic to canary")
    """Why it leaves what is somebody else's; one of them."""

    cap: int | None = None

    @property
    def kept(self) -> bool:
        """Whether a release keeps its notes."""
        return self.ownership == "Managed"

    @property
    def baseline(self) -> Mapping[str, int] | None:
        """What an adopted rule had at first."""
        return {"gpu": 1, "hosted": 0} if self.ownership == "Adopted" else None

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
        return self.look_at({"chat": weights})

    def look_at(
        self, weights: Mapping[str, Mapping[str, int]], plan: CapacityPlan | None = None
    ) -> tuple[Found, Rendered]:
        """The same of several classes."""

        async def looked(kube: Kube) -> tuple[Found, Rendered]:
            wanted = self.wanted(weights, plan)
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
        """Have these weights written, and wait until the gateway has them."""
        self.put(**weights)
        self.settled()

    def put(self, **weights: int) -> None:
        """Write as often as the operator's ticks would until nothing is due."""
        for _ in range(SUPERSEDED_AT_MOST):
            writes = self.write({"chat": weights})
            assert all(each.outcome is not Outcome.FAILED for each in writes), writes
            if not writes:
                break
        assert not writes, writes

    def settled(self) -> None:
        """Wait until what is written is taken over."""
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

    def content(self) -> Object:
        """What of it carries traffic."""
        return dict(self.route()["spec"])

    def version(self) -> int:
        """Which generation of it is written."""
        return int(self.route()["metadata"]["generation"])

    def traces(self) -> list[str]:
        """What on it tells of Spillway."""
        return traces(self.route()["metadata"])

    def left_out(self, rendered: Rendered) -> set[str]:
        """Classes that could not be rendered."""
        return {each.class_name for each in rendered.refused}

    def set_local(self, **settings: Any) -> None:
        """Change how own engines answer."""
        self.lanes.set_local(**settings)

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

    def restore_hosted(self) -> None:
        """It is there again."""
        self.lanes.cluster.apply(self.hosted_backend())
        self.lanes.settled()

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

    def plan_with_another(self, works: bool) -> CapacityPlan:
        """The plan with a second class, that can be served or can't."""
        return self.plan(self._another_binding(works))

    def _another_binding(self, works: bool) -> Object:
        space = self.lanes.namespace
        if self.ownership == "Adopted" and works:
            self.lanes.cluster.apply(http_route(space, "other", vllm=1, egress=0))
        if self.ownership == "Managed" and not works:
            self.lanes.cluster.apply(http_route(space, "other", vllm=1, egress=0))
        return self.bound("other", "other")

    def load(self) -> Load:
        """Requests without a pause, for as long as a test may need them."""
        options = LoadOptions(self.pace.clients, max_requests=200_000, max_seconds=400, headers=dict(self.headers))
        return Load(self.url, options)

    def send(self, requests: int, concurrency: int = 1, **body: object) -> LoadReport:
        """Send requests and wait for all."""
        options = LoadOptions(concurrency, requests, 60, body=body, headers=self.headers)
        with Load(self.url, options) as load:
            return load.finish()

    def ask(self, what: Callable[[Kube], Awaitable[T]]) -> T:
        """Run with a client of the apiserver."""
        return ask(self.lanes.cluster, what)


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
