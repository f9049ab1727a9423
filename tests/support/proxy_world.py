"""A world whose only gateway is a LiteLLM proxy that Spillway configures: real proxies, engine, clients and scrapes."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from spillway.api.proxynote import CONFIG_ANNOTATION, NOTE_ANNOTATION
from spillway_dev.cluster import Cluster
from spillway_dev.nodes import FAKE_LABELS, FAKE_TAINT
from spillway_dev.processes import wait_until
from spillway_dev.prometheus import ScrapeJob
from spillway_dev.upstreams import Upstream
from spillway_dev.upstreams.pods import POD_ANNOTATIONS
from support.chat import Client, chat
from support.proxied import CLIENT_KEY, OPERATOR_KEY, PROVIDER_KEY
from support.proxies import CONFIG_MAP, JOB, ProxyPods, proxy_objects
from support.world import OperatorWorld, deployment, hosted_lane, own_lane, plan, workload

STEP_MS = 50.0
SEQUENCES = 8
PROMPT_TOKENS = 10
ENGINE = {
    "alpha_ms": STEP_MS,
    "beta_ms_per_sequence": 0.1,
    "gamma_ms_per_ktoken_kv": 0.0,
    "prefill_ms_per_ktoken": 1.0,
    "max_sequences": SEQUENCES,
}
KEYS = {
    "SPILLWAY_KEY_HOSTED": PROVIDER_KEY,
    "SPILLWAY_CLIENT_KEY": CLIENT_KEY,
    "SPILLWAY_OPERATOR_KEY": OPERATOR_KEY,
}


class ProxyWorld(OperatorWorld):
    """One class, `chat`, one own lane of one replica, one hosted lane."""

    def __init__(self, cluster: Cluster, namespace: str, scratch: Path) -> None:
        super().__init__(cluster, namespace, scratch, [ScrapeJob(JOB), ScrapeJob("engine")])
        self.extra_config = {
            "gateways": [{"name": "proxy", "type": "LiteLLM", "role": "Front", "labels": {"job": JOB}}]
        }
        self.paid = Upstream("paid", prompt_tokens=PROMPT_TOKENS).start()
        self.gpu: Upstream | None = None
        self.proxies = ProxyPods(cluster, namespace, self.prometheus, KEYS)
        self.proxies.__enter__()

    def close(self) -> None:
        """End operator, proxies, engine and the rest."""
        self.stop_operator()
        self.cluster.kubectl("delete", "deployment", "--all", "-n", self.namespace, "--ignore-not-found")
        self.proxies.__exit__(None, None, None)
        self.paid.stop()
        if self.gpu is not None:
            self.gpu.stop()
        super().close()

    def start_engine(self) -> None:
        """The engine's Deployment, with one pod that a process stands for."""
        ns = self.namespace
        self.cluster.kubectl("create", "-f", "-", stdin=json.dumps(deployment(ns)))
        wait_until(lambda: self.ready() == 1, "the engine's pod Ready", 60)
        pods = json.loads(self.cluster.kubectl("get", "pods", "-n", ns, "-l", "app=vllm", "-o", "json"))["items"]
        engine = {"profile": ENGINE, "model": "llama", "namespace": ns, "pod": pods[0]["metadata"]["name"]}
        self.gpu = Upstream("gpu", engine=engine, prompt_tokens=PROMPT_TOKENS).start()
        self.prometheus.set_targets("engine", [self.gpu.url.removeprefix("http://")])

    def play_kubelet(self, made: dict[str, Any]) -> None:
        """Have one of these pods run on a fake node, and be Ready when its process answers."""
        made["spec"]["replicas"] = 1
        template = made["spec"]["template"]
        template["metadata"]["annotations"] = dict(POD_ANNOTATIONS)
        template["spec"] |= {
            "nodeSelector": FAKE_LABELS,
            "tolerations": [FAKE_TAINT],
            "terminationGracePeriodSeconds": 30,
        }

    def deploy(self, class_spec: Mapping[str, Any] | None = None, **plan_spec: Any) -> None:
        """The engine's pod, the proxy, lanes, class and plan."""
        ns = self.namespace
        self.start_engine()
        for made in proxy_objects(ns):
            self.cluster.kubectl("create", "-f", "-", stdin=json.dumps(made))
        profile = {
            "alphaMs": str(STEP_MS),
            "betaMsPerSequence": "0.1",
            "prefillMsPerKToken": "1",
            "maxSequences": SEQUENCES,
        }
        slo = {"timeToFirstTokenMs": 2000, "interTokenLatencyMs": 100, "attainmentPercent": "99"}
        self.apply(
            own_lane(ns, profile=profile, replicas={"min": 1, "max": 1}),
            hosted_lane(ns),
            workload(ns, match={"model": "chat"}, slo=slo, **(class_spec or {})),
            plan(ns, **({"routing": self.routing()} | plan_spec)),
        )

    def routing(self) -> dict[str, Any]:
        """The plan's `spec.routing`."""
        assert self.gpu is not None
        return self.routed({"gpu": f"{self.gpu.url}/v1", "hosted": f"{self.paid.url}/v1"})

    def routed(self, addresses: Mapping[str, str]) -> dict[str, Any]:
        """The same with these addresses."""
        proxy = {"configMap": CONFIG_MAP, "deployment": "litellm", "addresses": dict(addresses)}
        return {"plane": "LiteLLM", "litellm": proxy}

    @property
    def clients(self) -> Client:
        """Of the proxy that is Ready now."""
        self.proxies.require()
        return Client(self.proxies.url, CLIENT_KEY)

    def config_map(self) -> dict[str, Any]:
        """The proxy's ConfigMap."""
        return self.reader.get(f"/api/v1/namespaces/{self.namespace}/configmaps/{CONFIG_MAP}")

    def written(self) -> str:
        """Hash of the configuration that is written; empty before the first."""
        return str((self.config_map()["metadata"].get("annotations") or {}).get(CONFIG_ANNOTATION) or "")

    def noted(self) -> dict[str, Any]:
        """What the operator has noted of it."""
        text = (self.config_map()["metadata"].get("annotations") or {}).get(NOTE_ANNOTATION)
        return dict(json.loads(text or "{}"))

    def loaded(self) -> set[str]:
        """Hashes that the proxies say they have loaded, as Prometheus has it."""
        return {labels["config"] for labels, _ in self.prometheus.query("spillway_proxy_deployments")}

    def wait_rolled_out(self, timeout: float = 300.0) -> None:
        """Until every proxy serves what is written."""

        def done() -> bool:
            self.proxies.require()
            found = self.deployment("litellm")
            status, meta = found.get("status") or {}, found["metadata"]
            counts = [status.get(name) for name in ("replicas", "updatedReplicas", "availableReplicas")]
            seen = status.get("observedGeneration") == meta["generation"]
            return (
                bool(self.written() and self.proxies.url)
                and seen
                and counts == [1, 1, 1]
                and self.loaded() == {self.written()}
            )

        self.wait(done, "the proxies' rollout", timeout)

    def later(self, seconds: float) -> None:
        """As if the last configuration had been written so much earlier."""
        noted = self.noted()
        self.note(noted | {"at": noted["at"] - seconds})

    def note(self, noted: dict[str, Any]) -> None:
        """Have this stand on the ConfigMap."""
        self.cluster.kubectl(
            "annotate", "configmap", CONFIG_MAP, "-n", self.namespace, "--overwrite",
            f"{NOTE_ANNOTATION}={json.dumps(noted)}",
        )  # fmt: skip

    def gpu_set(self, **settings: Any) -> None:
        """Change how the engine answers."""
        assert self.gpu is not None
        self.gpu.set(**settings)

    def configurations(self) -> int:
        """How often the operator has written a configuration."""
        return sum(
            entry.ok and (entry.resource, entry.name) == ("configmaps", CONFIG_MAP)
            for entry in self.journal.writes(user=self.user)
        )


class Traffic:
    """So many clients that ask one after the other, at whichever proxy is Ready, until the block ends."""

    def __init__(self, world: ProxyWorld, clients: int, tokens: int, most: int = 20_000) -> None:
        self._world, self._clients, self._tokens, self._left = world, clients, tokens, most
        self.answers: Counter[tuple[int, str]] = Counter()
        """By status and lane."""
        self.paid_tokens: Counter[str] = Counter()
        """Input and output tokens that the hosted lane told of."""
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._ask()) for _ in range(self._clients)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left = 0
        await asyncio.gather(*self._tasks)

    async def _ask(self) -> None:
        while self._left > 0:
            self._left -= 1
            for answer in await self._world.clients.ask([chat("chat", self._tokens)], 1):
                self.answers[answer.status, answer.lane] += 1
                if answer.lane == "hosted":
                    self.paid_tokens.update(input=answer.input_tokens, output=answer.output_tokens)
                if answer.status != 200:
                    await asyncio.sleep(0.2)


@pytest.fixture
def proxy_world(
    gpu_nodes: Cluster, crds: object, gateway_api: object, namespace: str, tmp_path: Path
) -> Iterator[ProxyWorld]:
    """A world in a fresh namespace; nothing is deployed, and the operator is not yet started."""
    made = ProxyWorld(gpu_nodes, namespace, tmp_path)
    yield made
    made.close()
