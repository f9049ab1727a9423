"""The conformance suite's adapter of LiteLLM: a Deployment whose pods are real proxies, as the only gateway.

A proxy takes many seconds to start, so one namespace with all that is in it serves every case.
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import yaml

from spillway.act.litellm.steady import SPACING_SECONDS
from spillway.act.litellm.terms import Terms
from spillway.act.planes.plane import Confirmation, Evidence, Found, Held, Move, Plane, Rendered, Wanted
from spillway.act.planes.registry import PLANES
from spillway.act.writes import Outcome, Write
from spillway.api import CapacityLane, CapacityPlan, RoutingPlane, WorkloadClass
from spillway.decide.snapshot import Reading, RouteState
from spillway.kube import CONFIG_MAPS, DEPLOYMENTS, Kube
from spillway.observe.litellm import Loaded, proxy_routes, read_proxy, with_loaded
from spillway.observe.metrics import MetricsReader
from spillway_dev.cluster import Cluster
from spillway_dev.processes import wait_until
from spillway_dev.prometheus import PrometheusServer, ScrapeJob
from spillway_dev.upstreams import Load, LoadOptions, LoadReport, Upstream
from support.observed import config
from support.proxied import CLIENT_KEY, OPERATOR_KEY, PROVIDER_KEY
from support.proxies import CONFIG_MAP, JOB, ProxyPods, proxy_objects
from support.rigs import Object, Pace, T, Weights, ask, traces

KEYS = {
    "SPILLWAY_KEY_HOSTED": PROVIDER_KEY,
    "SPILLWAY_CLIENT_KEY": CLIENT_KEY,
    "SPILLWAY_OPERATOR_KEY": OPERATOR_KEY,
}
CHAT, OTHER = "chat", "other"
NO_CAP = 1_000
TRIES = 8
"""Times that a write may meet one of the Deployment's controller."""


class LiteLLMRig:
    """LiteLLM as a plan's only gateway. Close it in the end."""

    pace = Pace(clients=4, enough=2_000, some=200, points=4.0, patience_seconds=300.0)
    difference = ("chat on lane gpu: weight 100 -> 60", "chat on lane hosted: added", "weight 40")
    pending = (False, "RolloutPending")
    not_owned = ("is not Spillway's: it holds data",)
    baseline = None
    kept = False

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster, self.namespace = cluster, namespace
        self.at = 1_800_000_000.0
        self.mode, self.config_map, self.deployment = "Split", CONFIG_MAP, "litellm"
        self.models: Mapping[str, str] = {"gpu": "m", "hosted": "m"}
        self.cap: int | None = None
        self.refused_name = False
        self.gpu, self.paid = Upstream("gpu").start(), Upstream("hosted").start()
        self.prometheus = PrometheusServer(cluster.tools, [ScrapeJob(JOB)], scrape_seconds=1).start()
        for each in proxy_objects(namespace):
            cluster.kubectl("create", "-f", "-", stdin=json.dumps(each))
        self.pods = ProxyPods(cluster, namespace, self.prometheus, KEYS)
        self.pods.__enter__()

    def close(self) -> None:
        """End every process."""
        self.cluster.kubectl("delete", "deployment", "--all", "-n", self.namespace, "--ignore-not-found")
        self.pods.__exit__(None, None, None)
        self.prometheus.close()
        self.gpu.stop()
        self.paid.stop()

    def prepare(self, mode: str) -> None:
        """As a case finds it: in this mode, with engines that serve, and a configuration that is Spillway's."""
        self.mode, self.config_map, self.deployment = mode, CONFIG_MAP, "litellm"
        self.models, self.cap, self.refused_name = {"gpu": "m", "hosted": "m"}, None, False
        self.set_local(token_seconds=0.0, limit=None, fail_status=None, refuse_status=503)
        if not self.traces():
            # It was released: somebody gives it to Spillway anew.
            self.cluster.kubectl("replace", "-f", "-", stdin=json.dumps(proxy_objects(self.namespace)[1]))

    @property
    def plane(self) -> Plane:
        """The product's."""
        return PLANES[RoutingPlane.LITELLM]

    def plan(self) -> CapacityPlan:
        """The plan."""
        addresses = {"gpu": f"{self.gpu.url}/v1", "hosted": f"{self.paid.url}/v1"}
        proxy = {"configMap": self.config_map, "deployment": self.deployment, "addresses": addresses}
        spec = {
            "lanes": ["gpu", "hosted"],
            "routing": {"plane": "LiteLLM", "litellm": proxy},
            "overflow": {"mode": self.mode},
        }
        return CapacityPlan.parse({"metadata": {"name": "main", "namespace": self.namespace}, "spec": spec})

    def plan_with_another(self, works: bool) -> CapacityPlan:
        """The same plan: its classes are not named in it. One that LiteLLM would take for a wildcard is refused."""
        self.refused_name = not works
        return self.plan()

    def workload(self, name: str = CHAT) -> WorkloadClass:
        """The class, by the model that its clients ask for."""
        model = "other*" if name == OTHER and self.refused_name else name
        spec = {
            "planRef": {"name": "main"},
            "match": {"model": model},
            "latency": "Deferrable",
            "dataPolicy": "Any",
            "equivalentModels": ["m"],
        }
        return WorkloadClass.parse({"metadata": {"name": name, "namespace": self.namespace}, "spec": spec})

    def capacity(self) -> tuple[CapacityLane, ...]:
        """The plan's lanes."""
        own = {
            "targetRef": {"name": "vllm"}, "gpu": {"type": "h100"}, "price": {"usdPerGpuHour": "3"},
            "replicas": {"min": 1, "max": 2},
        }  # fmt: skip
        hosted = {"provider": "openai", "model": self.models["hosted"]}
        specs = {
            "gpu": {"type": "SelfHosted", "models": [self.models["gpu"]], "selfHosted": own},
            "hosted": {"type": "HostedRealtime", "models": [self.models["hosted"]], "hosted": hosted},
        }
        return tuple(
            CapacityLane.parse({"metadata": {"name": name, "namespace": self.namespace}, "spec": spec})
            for name, spec in specs.items()
        )

    def wanted(self, weights: Weights, plan: CapacityPlan | None = None) -> Wanted:
        """What is to be written, by class; the turn for it has come."""
        self.at += SPACING_SECONDS
        emptied = weights[CHAT]["gpu"] == 0
        return Wanted(
            plan=plan or self.plan(),
            classes=tuple(self.workload(name) for name in weights),
            lanes=self.capacity(),
            weights=weights,
            moving=frozenset(weights),
            at=self.at,
            in_flight={} if self.mode != "Spill" else {"gpu": 0 if emptied else self.cap or NO_CAP},
            terms=Terms(self.at),
        )

    def look(self, **weights: int) -> tuple[Found, Rendered]:
        """What the cluster holds, and what would be written."""
        return self.look_at({CHAT: weights})

    def look_at(self, weights: Weights, plan: CapacityPlan | None = None) -> tuple[Found, Rendered]:
        """The same of several classes."""

        async def looked(kube: Kube) -> tuple[Found, Rendered]:
            wanted = self.wanted(weights, plan)
            found = await self.plane.read(kube, wanted)
            return found, self.plane.render(wanted, found)

        return self.ask(looked)

    def write(self, weights: Weights, plan: CapacityPlan | None = None) -> tuple[Write, ...]:
        """One tick's writes."""

        async def written(kube: Kube) -> tuple[Write, ...]:
            wanted = self.wanted(weights, plan)
            found = await self.plane.read(kube, wanted)
            return await self.plane.apply(kube, self.plane.render(wanted, found))

        return self.ask(written)

    def put(self, **weights: int) -> None:
        """Write as often as the operator's ticks would until nothing is due."""
        for _ in range(TRIES):
            writes = self.write({CHAT: weights})
            assert all(each.outcome is not Outcome.FAILED for each in writes), writes
            if not writes:
                break
        assert not writes, writes

    def settled(self) -> None:
        """Wait until every pod says that it has loaded what is written."""

        def done() -> bool:
            self.pods.require()
            return self.observed().accepted is True

        wait_until(done, "the proxy's rollout", self.pace.patience_seconds, 0.5)

    def move(self, **weights: int) -> None:
        """Both."""
        self.put(**weights)
        self.settled()

    def left_out(self, rendered: Rendered) -> set[str]:
        """Classes that have no part in the configuration."""
        refused = {each.class_name for each in rendered.refused}
        return refused | {each.subject.rpartition("/")[2] for each in rendered.findings}

    def observed(self) -> RouteState:
        """The class as the operator observes it, with what Prometheus says of the pods."""

        async def seen(kube: Kube) -> RouteState:
            plan, loaded = self.plan(), await self._loaded()
            scope = await read_proxy(kube, plan)
            (state,) = with_loaded(proxy_routes(plan, [self.workload()], self.capacity(), scope), scope, loaded)
            return state

        return self.ask(seen)

    async def _loaded(self) -> Loaded | None:
        settings = config(self.prometheus.url, prometheus={"scrapeIntervalSeconds": 1})
        reader = MetricsReader(settings, time.monotonic)
        try:
            return (await reader.read(time.time())).proxies
        finally:
            reader.close()

    def counters(self) -> dict[str, int]:
        """Requests by lane so far, as engine and provider count them."""
        return {"gpu": self.gpu.counters()["received"], "hosted": self.paid.counters()["received"]}

    def confirm(self, weights: Mapping[str, int], before: Mapping[str, int], seconds: float) -> Confirmation:
        """How far these weights have come, by what was counted since ``before``, over a window that is now over."""
        self.at += 100.0
        requests = {lane: Reading((count - before[lane]) / seconds, self.at) for lane, count in self.counters().items()}
        evidence = Evidence(self.at, (self.observed(),), {CHAT: requests}, seconds, frozenset({"gpu"}))
        move = Move(CHAT, weights, self.at - seconds)

        async def confirmed(kube: Kube) -> Confirmation:
            (found,) = await self.plane.confirm(kube, self.plan(), [move], evidence)
            return found

        return self.ask(confirmed)

    def held(self) -> list[Held]:
        """What the plane holds in this namespace."""

        async def listed(kube: Kube) -> list[Held]:
            return [held async for held in self.plane.held(kube, [self.namespace])]

        return self.ask(listed)

    def release(self, held: Held, restore: bool) -> Write:
        """Give it back."""
        return self.ask(lambda kube: self.plane.release(kube, held, restore=restore))

    def written(self) -> Object:
        """The ConfigMap."""
        return self.ask(lambda kube: kube.get(CONFIG_MAPS, self.namespace, self.config_map))

    def content(self) -> Object:
        """Its data."""
        return dict(self.written().get("data") or {})

    def traces(self) -> list[str]:
        """What on it tells of Spillway."""
        return traces(self.written()["metadata"])

    def deployed(self) -> dict[str, Object]:
        """Parameters of `chat`'s deployments, by lane."""
        entries = yaml.safe_load(self.content()["config.yaml"])["model_list"]
        return {
            item["model_info"]["spillway_lane"]: item["litellm_params"]
            for item in entries
            if item["model_name"] == CHAT
        }

    def weights(self) -> dict[str, int]:
        """The weights as they are written, by lane; a lane without a share has no deployment."""
        found = self.deployed()
        return {lane: found.get(lane, {}).get("weight", 0) for lane in ("gpu", "hosted")}

    def version(self) -> int:
        """The Deployment's generation."""
        found = self.ask(lambda kube: kube.get(DEPLOYMENTS, self.namespace, self.deployment))
        return int(found["metadata"]["generation"])

    def taken_by_somebody(self) -> None:
        """The ConfigMap holds somebody's own configuration."""
        self.config_map = "theirs"
        meta = {"name": self.config_map, "namespace": self.namespace}
        data = {"config.yaml": "model_list: []\n"}
        self.cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data})

    @contextmanager
    def gateway_away(self) -> Iterator[None]:
        """No pod becomes Ready, and none ends."""
        self.pods.away = True
        try:
            yield
        finally:
            self.pods.away = False

    def set_local(self, **settings: Any) -> None:
        """Change how the own engine answers."""
        self.gpu.set(**settings)

    def load(self) -> Load:
        """Requests without a pause, to whichever pod is Ready."""
        return self._load(self.pace.clients, 200_000, 590)

    def send(self, requests: int, concurrency: int = 1, **body: object) -> LoadReport:
        """Send requests and wait for all."""
        with self._load(concurrency, requests, 300, **body) as load:
            return load.finish(300)

    def _load(self, clients: int, requests: int, seconds: float, **body: object) -> Load:
        options = LoadOptions(
            clients,
            requests,
            seconds,
            body={"model": CHAT, "messages": [{"role": "user", "content": "hello"}], **body},
            headers={"authorization": f"Bearer {CLIENT_KEY}"},
            served_by="x-spillway-served-by",
        )
        return Load(lambda: self.pods.url, options)

    def ask(self, what: Callable[[Kube], Awaitable[T]]) -> T:
        """Run with a client of the apiserver."""
        return ask(self.cluster, what)
