"""Metrics as exporters write them, put into a real Prometheus as history; and the cluster that they belong to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spillway.api import CapacityLane, CapacityPlan, WorkloadClass
from spillway.config import OperatorConfig
from spillway.decide.snapshot import PodState, RouteState, TargetState
from spillway.observe.scope import ClusterView, LaneScope, PlanScope

SCRAPE_SECONDS = 15
HASH = "5d8f7c9b4d"
LETTERS = "bcdfghjklmnpqrstvwxz2456789"
TTFT_BOUNDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
ITL_BOUNDS = (0.01, 0.025, 0.05, 0.075, 0.1, 0.2)

Value = float | Callable[[float], float]
"""A constant, or a function of the seconds since the first sample."""


def pod_name(workload: str, index: int) -> str:
    """The name that a Deployment's pod number ``index`` would have."""
    digits = "".join(LETTERS[(index // 27**place) % 27] for place in range(5))
    return f"{workload}-{HASH}-{digits}"


def per_second(rate: float, start: float = 0.0) -> Callable[[float], float]:
    """A counter that grows by ``rate`` a second."""
    return lambda elapsed: start + rate * elapsed


@dataclass
class Exposition:
    """Series over time. ``end`` is the Unix time of the last sample."""

    end: float
    seconds: float = 600.0
    step: float = SCRAPE_SECONDS
    lines: list[str] = field(default_factory=list)

    def add(self, name: str, value: Value, *, last: float = 0.0, first: float | None = None, **labels: str) -> None:
        """One series; it ends ``last`` seconds before the end and begins ``first`` seconds before it."""
        text = ",".join(f'{key}="{content}"' for key, content in labels.items())
        begin = self.end - self.seconds
        moment = begin if first is None else self.end - first
        while moment <= self.end - last:
            number = value(moment - begin) if callable(value) else value
            self.lines.append(f"{name}{{{text}}} {number} {moment:.3f}")
            moment += self.step

    def vllm(
        self,
        namespace: str,
        pod: str,
        model: str = "llama",
        *,
        requests: float = 2.0,
        running: Value = 8.0,
        waiting: Value = 1.0,
        ttft: Sequence[float] = (0.0, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0),
        itl: Sequence[float] = (0.0, 1.0, 1.0, 1.0, 1.0, 1.0),
        old: bool = False,
        histograms: bool = True,
        processes: int = 1,
        **span: Any,
    ) -> None:
        """One engine at a steady rate: 1,000 tokens in and 200 out per request, a quarter of the input cached.

        Joined metrics of several ``processes`` (API servers) come without any of a process's own.
        """
        who = {"namespace": namespace, "pod": pod, "model_name": model, "engine": "0"} | {
            key: span.pop(key) for key in list(span) if key not in ("last", "first")
        }

        def counter(name: str, rate: float, **extra: str) -> None:
            self.add(f"vllm:{name}", per_second(rate, 100.0), **span, **who, **extra)

        if processes == 1:
            self.add("process_start_time_seconds", 1.7e9, **span, **{k: who[k] for k in who if k != "model_name"})
        self.add("vllm:num_requests_running", running, **span, **who)
        self.add("vllm:num_requests_waiting", waiting, **span, **who)
        self.add("vllm:gpu_cache_usage_perc" if old else "vllm:kv_cache_usage_perc", 0.4, **span, **who)
        counter("request_success_total", requests * 0.75, finished_reason="stop")
        counter("request_success_total", requests * 0.25, finished_reason="length")
        counter("prompt_tokens_total", requests * 1000)
        counter("generation_tokens_total", requests * 200)
        counter("gpu_prefix_cache_hits_total" if old else "prompt_tokens_cached_total", requests * 250)
        counter("num_preemptions_total", 0.1)
        if histograms:
            latency = "time_per_output_token_seconds" if old else "request_time_per_output_token_seconds"
            self.histogram("vllm:time_to_first_token_seconds", requests, TTFT_BOUNDS, ttft, **span, **who)
            self.histogram(f"vllm:{latency}", requests, ITL_BOUNDS, itl, **span, **who)
            if not old:
                self.histogram("vllm:iteration_tokens_total", 40.0, (128.0,), (0.5,), **span, **who)
                each = "vllm:inter_token_latency_seconds"
                self.histogram(each, requests * 199, (0.01, 0.03, 0.3), (0.1, 0.2, 0.3), **span, **who)

    def histogram(
        self, name: str, rate: float, bounds: Sequence[float], shares: Sequence[float], **labels: Any
    ) -> None:
        """A histogram whose cumulative shares at ``bounds`` are ``shares``; its mean is 0.02."""
        for bound, share in zip((*bounds, "+Inf"), (*shares, 1.0), strict=True):
            self.add(f"{name}_bucket", per_second(rate * share, 10 * share), **labels, le=str(bound))
        self.add(f"{name}_sum", per_second(rate * 0.02), **labels)
        self.add(f"{name}_count", per_second(rate), **labels)

    def litellm(self, model: str, rate: float, *, requested: str = "", team: str = "None", **more: str) -> None:
        """An egress' or front's counters: 900 tokens in and 150 out per request."""
        who = {"model": model, "requested_model": requested or model, "team": team, "team_alias": team, **more}
        for name, each in (("requests", 1.0), ("input_tokens", 900.0), ("output_tokens", 150.0)):
            self.add(f"litellm_{name}_metric_total", per_second(rate * each), job="litellm", user="u", **who)

    def envoy(self, cluster: str, rate: float, **more: Any) -> None:
        """A route rule's requests."""
        labels = {"job": "envoy", **more}
        self.add("envoy_cluster_upstream_rq_total", per_second(rate), envoy_cluster_name=cluster, **labels)

    def write(self, path: Path) -> Path:
        """As an OpenMetrics file for promtool."""
        path.write_text("\n".join([*self.lines, "# EOF", ""]))
        return path


def config(url: str, **changes: Any) -> OperatorConfig:
    """An operator configuration with an Envoy front and a LiteLLM egress."""
    prometheus = {"url": url, "scrapeIntervalSeconds": SCRAPE_SECONDS, "timeoutSeconds": 5}
    content: dict[str, Any] = {
        "prometheus": prometheus | changes.pop("prometheus", {}),
        "gateways": [
            {"name": "egress", "type": "LiteLLM", "role": "Egress", "labels": {"job": "litellm"}},
            {"name": "front", "type": "Envoy", "role": "Front", "labels": {"job": "envoy"}},
        ],
    }
    return OperatorConfig.model_validate(content | changes)


def own_lane(namespace: str, name: str = "gpu", models: Sequence[str] = ("llama",), **spec: Any) -> CapacityLane:
    """A self-hosted lane."""
    own = {
        "targetRef": {"name": "vllm"},
        "gpu": {"type": "nvidia-h100-80gb"},
        "price": {"usdPerGpuHour": "3"},
        "replicas": {"min": 0, "max": 16},
    }
    return CapacityLane.parse(
        {
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"type": "SelfHosted", "models": list(models), "selfHosted": own | spec},
        }
    )


def hosted_lane(
    namespace: str, name: str = "hosted", model: str = "gpt-5-nano", provider: str = "openai", **hosted: Any
) -> CapacityLane:
    """A hosted real-time lane."""
    return CapacityLane.parse(
        {
            "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "type": "HostedRealtime",
                "models": [model],
                "hosted": {"provider": provider, "model": model} | hosted,
            },
        }
    )


def workload(namespace: str, name: str = "chat", created: str = "2026-01-01T00:00:00Z", **spec: Any) -> WorkloadClass:
    """A class; its match is the model unless told otherwise."""
    content = {
        "planRef": {"name": "main"},
        "match": {"model": "llama"},
        "slo": {"timeToFirstTokenMs": 500, "interTokenLatencyMs": 50},
        "dataPolicy": "Any",
        "equivalentModels": ["llama", "gpt-5-nano"],
    }
    return WorkloadClass.parse(
        {
            "metadata": {"name": name, "namespace": namespace, "creationTimestamp": created},
            "spec": content | spec,
        }
    )


def target(
    namespace: str, now: float, pods: Iterable[str], name: str = "vllm", ready_seconds: float = 3600, **more: Any
) -> TargetState:
    """A Deployment whose pods have all been Ready for a while."""
    states = tuple(PodState(pod, True, False, now - ready_seconds - 60, now - ready_seconds) for pod in pods)
    content = {
        "kind": "Deployment",
        "name": name,
        "namespace": namespace,
        "uid": name,
        "resource_version": "1",
        "replicas": len(states),
        "ready_replicas": len(states),
        "pods": states,
    }
    return TargetState(**(content | more))


def plan_scope(
    namespace: str,
    lanes: Sequence[LaneScope],
    classes: Sequence[WorkloadClass],
    routes: Sequence[RouteState] = (),
    name: str = "main",
) -> PlanScope:
    """A plan that owns these lanes and classes."""
    plan = CapacityPlan.parse(
        {
            "metadata": {"name": name, "namespace": namespace, "uid": f"{namespace}-{name}"},
            "spec": {"lanes": [lane.resource.metadata.name for lane in lanes] or ["none"]},
        }
    )
    return PlanScope(plan, tuple(classes), tuple(lanes), tuple(routes))


def route_state(class_name: str = "chat", route: str = "chat", index: int = 0, rule: str = "all") -> RouteState:
    """An adopted rule that exists."""
    return RouteState(class_name, route, rule, exists=True, rule_index=index, weights={"gpu": 100, "hosted": 0})


def cluster(now: float, *plans: PlanScope, **more: Any) -> ClusterView:
    """A cluster with these plans."""
    return ClusterView(at=now, plans=plans, **more)


Labels = Mapping[str, str]
