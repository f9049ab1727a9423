"""A plan, its lanes and classes for LiteLLM configurations, and a real proxy that runs one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from spillway.act.litellm.render import render
from spillway.act.litellm.values import Decided, Deployment, ProxyRole, ProxySettings, Rendered
from spillway.api import CapacityLane, CapacityPlan, WorkloadClass
from spillway_dev.litellm.install import ensure_litellm
from spillway_dev.litellm.server import LiteLLMServer
from spillway_dev.upstreams import Upstream
from support.chat import Client

PROVIDER_KEY = "sk-of-the-provider"
CLIENT_KEY = "sk-of-the-clients"
OPERATOR_KEY = "sk-of-the-operator"
COUNTERS = ("requests", "input_tokens", "output_tokens", "input_cached_tokens")
OWN = "http://vllm.ai.svc:8000/v1"
ADDRESSES = {"gpu": OWN, "gpu-b": "http://vllm-b.ai.svc:8000/v1"}


def own(name: str = "gpu", models: Sequence[str] = ("llama",)) -> CapacityLane:
    """A self-hosted lane."""
    spec = {
        "type": "SelfHosted",
        "models": list(models),
        "selfHosted": {
            "targetRef": {"name": f"vllm-{name}"},
            "gpu": {"type": "h100"},
            "price": {"usdPerGpuHour": "3"},
            "replicas": {"min": 0, "max": 8},
        },
    }
    return CapacityLane.parse({"metadata": {"name": name, "namespace": "ai"}, "spec": spec})


def hosted(
    name: str = "hosted",
    models: Sequence[str] = ("gpt-4o-mini",),
    *,
    kind: str = "HostedRealtime",
    provider: str = "openai",
    model: str = "",
    limits: Mapping[str, int] | None = None,
) -> CapacityLane:
    """A hosted lane; its provider's model is the first of ``models`` unless told otherwise."""
    spec: dict[str, Any] = {"provider": provider, "model": model or models[0]}
    if limits:
        spec["limits"] = dict(limits)
    body = {"type": kind, "models": list(models), "hosted": spec}
    return CapacityLane.parse({"metadata": {"name": name, "namespace": "ai"}, "spec": body})


def workload(
    name: str = "chat", equivalent: Sequence[str] = ("llama", "gpt-4o-mini"), *, created: str = "", **spec: Any
) -> WorkloadClass:
    """A class that is matched by the model of its own name; keyword arguments are fields of its spec."""
    body = {
        "planRef": {"name": "main", "namespace": "ai"},
        "match": {"model": name},
        "slo": {"timeToFirstTokenMs": 2000, "interTokenLatencyMs": 60},
        "dataPolicy": "Any",
        "equivalentModels": list(equivalent),
        **spec,
    }
    meta = {"name": name, "namespace": "team-a", "uid": name, "creationTimestamp": created or "2026-01-01T00:00:00Z"}
    return WorkloadClass.parse({"metadata": meta, "spec": body})


def rendered(
    decided: Decided,
    classes: Sequence[WorkloadClass] = (),
    lanes: Sequence[CapacityLane] = (),
    *,
    role: ProxyRole = ProxyRole.FRONT,
    addresses: Mapping[str, str] | None = None,
    processes: tuple[int, int] = (1, 1),
) -> Rendered:
    """The configuration of a plan over these lanes (default: one own, one hosted) and classes (default: chat)."""
    chosen = tuple(lanes) or (own(), hosted())
    spec = {"lanes": [lane.metadata.name for lane in chosen]}
    plan = CapacityPlan.parse({"metadata": {"name": "main", "namespace": "ai"}, "spec": spec})
    found = ADDRESSES if addresses is None else addresses
    settings = ProxySettings("litellm", "ai", role, found, *processes)
    return render(plan, tuple(classes) or (workload(),), chosen, settings, decided)


def of(result: Rendered, model_name: str) -> dict[str, Deployment]:
    """A name's deployments by lane."""
    return {made.lane: made for made in result.deployments if made.model_name == model_name}


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy with what stands behind it."""

    rendered: Rendered
    server: LiteLLMServer
    gpu: Upstream
    paid: Upstream

    @property
    def clients(self) -> Client:
        """With the key that clients have."""
        return Client(self.server.url, CLIENT_KEY)

    def counted(self, **wanted: str) -> dict[str, float]:
        """The proxy's token and request counters, summed over the series with these labels."""
        found = dict.fromkeys(COUNTERS, 0.0)
        for line in self.server.metrics().splitlines():
            sample = re.fullmatch(r"litellm_(\w+)_metric_total\{(.*)\} (\S+)", line)
            if sample and sample[1] in found:
                labels = dict(re.findall(r'(\w+)="([^"]*)"', sample[2]))
                if wanted.items() <= labels.items():
                    found[sample[1]] += float(sample[3])
        return found

    def reset(self) -> None:
        """Both upstreams as they are at first."""
        for upstream in (self.gpu, self.paid):
            upstream.set(token_seconds=0.0, limit=None, fail_status=None, refuse_status=503)


@contextmanager
def proxy(
    decided: Decided,
    classes: Sequence[WorkloadClass],
    paid_lanes: Sequence[CapacityLane],
    elsewhere: Mapping[str, str] | None = None,
) -> Iterator[Proxy]:
    """A running proxy before one own lane, `gpu`, and these hosted ones, all one upstream unless `elsewhere`."""
    with Upstream("gpu") as gpu, Upstream("paid") as paid:
        names = [lane.metadata.name for lane in paid_lanes]
        addresses = {"gpu": f"{gpu.url}/v1", **dict.fromkeys(names, f"{paid.url}/v1"), **(elsewhere or {})}
        result = rendered(decided, classes, [own(), *paid_lanes], addresses=addresses)
        keys = {f"SPILLWAY_KEY_{name.upper()}": PROVIDER_KEY for name in names}
        keys |= {"SPILLWAY_CLIENT_KEY": CLIENT_KEY, "SPILLWAY_OPERATOR_KEY": OPERATOR_KEY}
        with LiteLLMServer(ensure_litellm(print), result.files, keys) as server:
            yield Proxy(result, server, gpu, paid)
