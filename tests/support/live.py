"""A world in which all traffic is real: pods as processes behind a real Envoy, scraped as in a cluster.

Nothing is scripted: Prometheus scrapes the engines in the pods, Envoy's own counters and the egress; the operator
reads that, writes weights and replicas, and Envoy and the pods follow.
"""

from __future__ import annotations

import json
import threading
import time
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import pytest

from spillway_dev.audit import AuditEntry
from spillway_dev.controlplane import ControlPlane, ControlPlaneOptions
from spillway_dev.gateway import EnvoyGatewayStack
from spillway_dev.loopback import fetch
from spillway_dev.processes import ProcessError, wait_until
from spillway_dev.prometheus import ScrapeJob
from spillway_dev.toolchain import Tools
from spillway_dev.upstreams import Load, LoadOptions, Upstream
from spillway_dev.upstreams.pods import POD_ANNOTATIONS, Addresses, PodOptions, PodUpstreams
from support.gateways import CLASS_HEADER, backend, http_route
from support.world import OperatorWorld, deployment, hosted_lane, own_lane, plan, workload

STEP_MS = 95.0
SEQUENCES = 32
PROMPT_TOKENS = 100
HOSTED_TOKEN_SECONDS = 0.1
PROFILE = {
    "alpha_ms": STEP_MS,
    "beta_ms_per_sequence": 0.1,
    "gamma_ms_per_ktoken_kv": 0.0,
    "prefill_ms_per_ktoken": 1.0,
    "max_sequences": SEQUENCES,
}
"""Of the engine in each pod; the lane tells the operator the same."""


@dataclass(frozen=True)
class PodShape:
    """How a pod ends, and how soon the name follows.

    Attributes:
        pre_stop_seconds: sleep of its preStop hook.
        grace_seconds: terminationGracePeriodSeconds.
        name_delay_seconds: what endpoint slices and the caches of a cluster's DNS take.
    """

    pre_stop_seconds: int = 6
    grace_seconds: int = 60
    name_delay_seconds: float = 2.0


class LiveWorld(OperatorWorld):
    """One class, `chat`, on an own lane `gpu` and a hosted one, behind somebody's route that Spillway has adopted."""

    def __init__(self, stack: EnvoyGatewayStack, namespace: str, scratch: Path, shape: PodShape) -> None:
        self.stack, self.shape = stack, shape
        self.hosted = Upstream(
            "hosted",
            egress={"model": "gpt-5-nano", "team": namespace},
            token_seconds=HOSTED_TOKEN_SECONDS,
            prompt_tokens=PROMPT_TOKENS,
        ).start()
        self.headers = {CLASS_HEADER: namespace}
        self._names = {name: f"{name}.{namespace}.svc.cluster.local" for name in ("vllm", "egress")}
        jobs = [
            ScrapeJob("engines"),
            ScrapeJob("egress", (_address(self.hosted.url),)),
            ScrapeJob("envoy", (_address(stack.envoy_admin_url),), path="/stats/prometheus"),
        ]
        super().__init__(stack.cluster, namespace, scratch, jobs)
        engine = {"profile": PROFILE, "model": "llama"}
        settings = {"prompt_tokens": PROMPT_TOKENS}
        options = PodOptions(namespace, "vllm", engine, shape.name_delay_seconds, settings)
        self.pods = PodUpstreams(stack.cluster, options, self._moved)
        self.pods.__enter__()

    def close(self) -> None:
        """End operator, pods and the rest."""
        self.stop_operator()
        self.cluster.kubectl("delete", "deployment", "vllm", "-n", self.namespace, "--ignore-not-found")
        self.pods.close()
        super().close()
        self.hosted.stop()

    def _moved(self, addresses: Addresses) -> None:
        self.stack.set_names({self._names["vllm"]: addresses.in_name, self._names["egress"]: [self.hosted.host]})
        self.prometheus.set_targets("engines", addresses.running)

    def deploy(self, replicas: int, **plan_spec: Any) -> None:
        """Pods, Backends, lanes, class and plan; returns when the pods are Ready."""
        ns = self.namespace
        self.cluster.kubectl("create", "-f", "-", stdin=json.dumps(self._deployment(replicas)))
        wait_until(lambda: self.ready() == replicas, "pods Ready", 120)
        # Names come before Backends: Envoy asks for an unknown one again after 30 s only.
        wait_until(lambda: len(self.prometheus.query("up{job='engines'} == 1")) == replicas, "pods scraped", 60)
        self.apply(
            backend(ns, "vllm", self._names["vllm"], self.pods.port),
            backend(ns, "egress", self._names["egress"], self.hosted.port),
            self._route(),
        )
        profile = {
            "alphaMs": str(STEP_MS),
            "betaMsPerSequence": "0.1",
            "prefillMsPerKToken": "1",
            "maxSequences": SEQUENCES,
        }
        own = own_lane(ns, profile=profile, replicas={"min": 1, "max": 5}, startupSeconds=4)
        slo = {"timeToFirstTokenMs": 3000, "interTokenLatencyMs": 400, "attainmentPercent": "99"}
        chat = workload(ns, match={"header": {"name": CLASS_HEADER, "value": ns}}, slo=slo)
        self.apply(own, hosted_lane(ns), chat, plan(ns, routing=self._routing(), **plan_spec))

    def _routing(self) -> dict[str, Any]:
        binding = {
            "class": "chat",
            "ownership": "Adopted",
            "httpRoute": "chat",
            "rule": "all",
            "backends": {"gpu": "Backend/vllm", "hosted": "Backend/egress"},
        }
        return {"plane": "GatewayAPI", "bindings": [binding]}

    def _route(self) -> dict[str, Any]:
        made = http_route(self.namespace, vllm=100, egress=0)
        # Envoy's own limit of 15 s would cut longer answers.
        made["spec"]["rules"][0]["timeouts"] = {"request": "0s"}
        return made

    def _deployment(self, replicas: int) -> dict[str, Any]:
        made = deployment(self.namespace, replicas=replicas)
        template = made["spec"]["template"]
        template["metadata"]["annotations"] = dict(POD_ANNOTATIONS)
        template["spec"]["terminationGracePeriodSeconds"] = self.shape.grace_seconds
        sleep = {"preStop": {"sleep": {"seconds": self.shape.pre_stop_seconds}}}
        template["spec"]["containers"][0]["lifecycle"] = sleep
        return made

    def serves(self) -> bool:
        """Whether one request gets through the gateway to a pod."""
        with Load(self.stack.url, LoadOptions(1, 1, 10, headers=self.headers)) as load:
            return load.finish().ok == 1

    def kill_operator(self) -> None:
        """SIGKILL it, and return once another one has decided for the first time."""
        assert self.operator is not None
        self.operator.kill()
        self.operator = None
        self.start_operator()
        self.wait_ticks(1)

    def written(self, resource: str, subresource: str = "") -> list[AuditEntry]:
        """What the operator has had carried out on such objects."""
        return [
            entry
            for entry in self.journal.writes(user=self.user)
            if entry.ok and (entry.resource, entry.subresource) == (resource, subresource)
        ]

    def scale_ins(self) -> list[tuple[int, int]]:
        """Replicas before and after of each step down that the operator made."""
        counts = [int(e.body["spec"]["replicas"]) for e in self.written("deployments", "scale") if e.body]
        return [(before, after) for before, after in pairwise(counts) if after < before]

    def shifts(self) -> int:
        """How often the operator has changed the route's weights."""
        found = [_weights_of(entry) for entry in self.written("httproutes")]
        return sum(before != after for before, after in pairwise(found))

    def queued(self) -> bool:
        """Whether the latest scrape has requests that wait in an engine."""
        return bool(self.prometheus.query("sum(vllm:num_requests_waiting) > 0"))

    def requests_seen_by_envoy(self) -> int:
        """Requests that Envoy has sent upstream for the rule."""
        name = f"cluster.httproute/{self.namespace}/chat/rule/0.upstream_rq_total"
        return self.stack.envoy_stats(name).get(name, 0)


def _address(url: str) -> str:
    return urlsplit(url).netloc


def _weights_of(entry: AuditEntry) -> dict[str, int]:
    """The weights of a JSON Patch, by their paths."""
    return {op["path"]: op["value"] for op in entry.body or [] if op["path"].endswith("/weight")}


class LoadedWeights:
    """What share Envoy itself has loaded for the hosted backend, looked at several times a second."""

    POLL_SECONDS = 0.2

    def __init__(self, stack: EnvoyGatewayStack, namespace: str) -> None:
        self._stack = stack
        self._cluster = f"httproute/{namespace}/chat/rule/0"
        self._times: list[float] = []
        self._shares: list[float | None] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def at(self, when: float) -> float | None:
        """The share, 0 to 1, that held before and after a moment; None where it was just moving, or not known."""
        after = bisect_right(self._times, when)
        if not 0 < after < len(self._times):
            return None
        return self._shares[after] if self._shares[after - 1] == self._shares[after] else None

    def _run(self) -> None:
        while not self._stop.wait(self.POLL_SECONDS):
            try:
                share = self._share()
            except (OSError, ProcessError):
                share = None
            self._times.append(time.time())
            self._shares.append(share)

    def _share(self) -> float | None:
        address = f"{self._stack.envoy_admin_url}/config_dump?resource=dynamic_active_clusters"
        found = json.loads(fetch(address, timeout_seconds=10)).get("configs", [])
        mine = [entry["cluster"] for entry in found if entry["cluster"]["name"] == self._cluster]
        return _hosted_share(mine[0]) if mine else None


def _hosted_share(cluster: Mapping[str, Any]) -> float:
    weights = {True: 0, False: 0}
    for locality in cluster["load_assignment"]["endpoints"]:
        name = locality["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]["address"]
        weights[name.startswith("egress.")] += locality.get("load_balancing_weight", 0)
    return weights[True] / max(1, weights[True] + weights[False])


@pytest.fixture(scope="module")
def live_stack(tools: Tools, repository: Path) -> Iterator[EnvoyGatewayStack]:
    """Envoy Gateway on a control plane of its own, with GPU nodes and the project's CRDs."""
    with ControlPlane(tools, ControlPlaneOptions()) as control_plane, EnvoyGatewayStack(control_plane) as stack:
        control_plane.apply_crds(repository / "crds")
        yield stack
