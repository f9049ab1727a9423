"""Small plans for decisions: one own lane, one hosted lane, one class, unless told otherwise."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from spillway.api import CapacityLane, CapacityPlan, WorkloadClass
from spillway.decide.snapshot import (
    ClassSnapshot,
    Demand,
    DemandSource,
    EngineState,
    Finding,
    GpuState,
    HostedState,
    LaneSnapshot,
    MetricsHealth,
    MetricsReason,
    PlanSnapshot,
    PodState,
    Reading,
    RouteState,
    Series,
    ServiceSample,
    TargetState,
    TokenPrice,
)

NOW = 1_800_000_000.0
PROFILE = {
    "alphaMs": "10",
    "betaMsPerSequence": "0.5",
    "gammaMsPerKToken": "0",
    "prefillMsPerKToken": "0",
    "maxSequences": 64,
}
"""With 100 output tokens and an ITL of 42 ms: batch 64, 64/(42 ms * 100) = 15.24 requests/s per replica."""

Tree = dict[str, Any]


def merged(base: Tree, changes: Mapping[str, Any]) -> Tree:
    """``base`` with ``changes`` merged in, level by level; None removes a field."""
    out = dict(base)
    for key, value in changes.items():
        if value is None:
            out.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(out.get(key), dict):
            out[key] = merged(out[key], value)
        else:
            out[key] = value
    return out


def plan(**spec: Any) -> CapacityPlan:
    base = {
        "mode": "Apply",
        "lanes": ["gpu", "hosted"],
        "routing": {
            "plane": "GatewayAPI",
            "bindings": [
                {
                    "class": "chat",
                    "ownership": "Adopted",
                    "httpRoute": "chat",
                    "rule": "chat",
                    "backends": {"gpu": "vllm", "hosted": "egress"},
                }
            ],
        },
        "guards": {"scaleDownStabilizationSeconds": 0, "maxScaleUpPerMinute": 100, "maxScaleDownPerMinute": 100},
        "forecast": {"seasonalitySeconds": [86400]},
    }
    return CapacityPlan.parse({"metadata": {"name": "main", "namespace": "ai"}, "spec": merged(base, spec)})


def workload(name: str = "chat", **spec: Any) -> WorkloadClass:
    base = {
        "planRef": {"name": "main"},
        "match": {"model": "llama"},
        "latency": "Interactive",
        "slo": {"timeToFirstTokenMs": 2000, "interTokenLatencyMs": 42, "attainmentPercent": "99"},
        "dataPolicy": "Any",
        "equivalentModels": ["llama", "mini"],
    }
    return WorkloadClass.parse({"metadata": {"name": name, "namespace": "ai"}, "spec": merged(base, spec)})


def own_resource(name: str = "gpu", **self_hosted: Any) -> CapacityLane:
    base = {
        "targetRef": {"name": "vllm"},
        "gpu": {"type": "h100", "perReplica": 1},
        "price": {"usdPerGpuHour": "3.85"},
        "replicas": {"min": 1, "max": 16},
        "startupSeconds": 60,
        "profile": PROFILE,
    }
    spec = {"type": "SelfHosted", "models": ["llama"], "selfHosted": merged(base, self_hosted)}
    return CapacityLane.parse({"metadata": {"name": name, "namespace": "ai"}, "spec": spec})


def hosted_resource(name: str = "hosted", kind: str = "HostedRealtime", **hosted: Any) -> CapacityLane:
    spec = {
        "type": kind,
        "models": ["mini"],
        "hosted": merged({"provider": "openai", "model": "mini"}, hosted),
    }
    return CapacityLane.parse({"metadata": {"name": name, "namespace": "ai"}, "spec": spec})


def reading(value: float, at: float = NOW) -> Reading:
    return Reading(value, at)


def pods(ready: int, starting: int = 0, running: float | None = 1.0, at: float = NOW) -> tuple[PodState, ...]:
    gauge = None if running is None else Reading(running, at)
    warm = [PodState(f"vllm-{i}", True, False, at - 4000, at - 3900, gauge, Reading(0.0, at)) for i in range(ready)]
    cold = [PodState(f"vllm-{ready + i}", False, False, at - 20, None) for i in range(starting)]
    return (*warm, *cold)


def target(replicas: int = 4, ready: int | None = None, **fields: Any) -> TargetState:
    number = replicas if ready is None else ready
    at = fields.pop("at", NOW)
    base: dict[str, Any] = {
        "kind": "Deployment",
        "name": "vllm",
        "namespace": "ai",
        "uid": "u",
        "resource_version": "1",
        "replicas": replicas,
        "ready_replicas": number,
        "pods": pods(number, max(0, replicas - number), at=at),
    }
    return TargetState(**(base | fields))


def engine(running: float = 4.0, waiting: float = 0.0, at: float = NOW, **fields: Any) -> EngineState:
    base: dict[str, Any] = {
        "pods_reporting": 4,
        "running": Reading(running, at),
        "waiting": Reading(waiting, at),
        "kv_usage": Reading(0.1, at),
        "input_tokens_per_second": None,
        "output_tokens_per_second": None,
        "requests_per_second": None,
        "time_to_first_token_seconds": None,
        "inter_token_latency_seconds": None,
        "preemptions_per_second": None,
        "rejections_per_second": None,
    }
    return EngineState(**(base | fields))


def own_lane(
    name: str = "gpu",
    replicas: int = 4,
    ready: int | None = None,
    *,
    resource: CapacityLane | None = None,
    state: TargetState | None = None,
    **fields: Any,
) -> LaneSnapshot:
    base: dict[str, Any] = {
        "resource": resource or own_resource(name),
        "target": state or target(replicas, ready),
        "engine": engine(),
        "gpu": GpuState(float(replicas), 16.0, None, None),
    }
    return LaneSnapshot(**(base | fields))


def price(usd_in: str = "0", usd_out: str = "1.0", cached: str = "0") -> TokenPrice:
    return TokenPrice(Decimal(usd_in), Decimal(cached), Decimal(usd_out), "contract")


def hosted_lane(name: str = "hosted", usd_out: str = "1.0", **fields: Any) -> LaneSnapshot:
    base: dict[str, Any] = {
        "resource": hosted_resource(name),
        "hosted": HostedState(reading(0.0), reading(0.0), reading(0.0)),
        "token_price": price(usd_out=usd_out),
    }
    return LaneSnapshot(**(base | fields))


def steady(rate: float, points: int = 480, step: float = 2.0, end: float = NOW) -> Series:
    """A history without any change."""
    return Series(end - step * (points - 1), step, (rate,) * points)


def known(rate: float, end: float = NOW) -> tuple[Series, ...]:
    """Hours of the same rate: long enough to be forecast without doubt."""
    return steady(rate, end=end), steady(rate, 36, 600.0, end)


def curve(rate_at: Callable[[float], float | None], points: int, step: float, end: float = NOW) -> Series:
    start = end - step * (points - 1)
    return Series(start, step, tuple(rate_at(start + step * i) for i in range(points)))


def demand(
    rate: float,
    *,
    history: Sequence[Series] | None = None,
    by_lane: Mapping[str, float] | None = None,
    tokens: tuple[float, float] | None = (200.0, 100.0),
    at: float = NOW,
) -> Demand:
    return Demand(
        source=DemandSource.GATEWAY,
        requests_per_second=Reading(rate, at),
        input_tokens_per_request=None if tokens is None else Reading(tokens[0], at),
        output_tokens_per_request=None if tokens is None else Reading(tokens[1], at),
        cached_input_share=None,
        requests_per_second_by_lane={k: Reading(v, at) for k, v in (by_lane or {}).items()},
        history=known(rate, at) if history is None else tuple(history),
    )


def traffic(
    name: str = "chat", rate: float = 41.0, *, resource: WorkloadClass | None = None, **fields: Any
) -> ClassSnapshot:
    return ClassSnapshot(resource or workload(name), demand(rate, **fields))


def route(name: str = "chat", **weights: int) -> RouteState:
    return RouteState(name, name, name, True, "1", weights or {"gpu": 100, "hosted": 0}, 0, True)


FOUND = MetricsHealth(MetricsReason.FOUND, "ok", NOW)
GONE = MetricsHealth(MetricsReason.ERROR, "Prometheus does not answer.", None)


@dataclass(frozen=True)
class World:
    """A plan snapshot in the making."""

    plan: CapacityPlan = field(default_factory=plan)
    classes: tuple[ClassSnapshot, ...] = field(default_factory=lambda: (traffic(),))
    lanes: tuple[LaneSnapshot, ...] = field(default_factory=lambda: (own_lane(), hosted_lane()))
    routes: tuple[RouteState, ...] = field(default_factory=lambda: (route(),))
    metrics: MetricsHealth = FOUND
    findings: tuple[Finding, ...] = ()
    stopped: str | None = None
    at: float = NOW
    tick: float = 3.0
    scrape: float = 2.0

    def snapshot(self) -> PlanSnapshot:
        return PlanSnapshot(
            at=self.at,
            plan=self.plan,
            classes=self.classes,
            lanes=self.lanes,
            routes=self.routes,
            metrics=self.metrics,
            findings=self.findings,
            stopped=self.stopped,
            tick_seconds=self.tick,
            scrape_seconds=self.scrape,
        )


def samples(
    itl_ms: Callable[[float], float], batches: Sequence[float], output_tokens_per_second: float | None = None
) -> tuple[ServiceSample, ...]:
    """Steady-state samples of a replica whose ITL is ``itl_ms`` of its batch."""
    found = []
    for index, batch in enumerate(batches):
        itl = itl_ms(batch) / 1000
        rate = batch / itl if output_tokens_per_second is None else output_tokens_per_second
        found.append(ServiceSample(NOW - 15.0 * index, itl, batch, 0.0, rate, None))
    return tuple(found)
