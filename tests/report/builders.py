"""Plans, snapshots and decisions for these tests, small and overridable."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from spillway.api import CapacityLane, CapacityPlan, WorkloadClass
from spillway.decide.decision import (
    ClassDecision,
    Costs,
    Decision,
    LaneDecision,
    Reason,
    RouteDecision,
    Utilization,
)
from spillway.decide.snapshot import (
    Finding,
    LaneSnapshot,
    MetricsHealth,
    MetricsReason,
    PlanSnapshot,
    PodState,
    Severity,
    TargetState,
)

NOW = 1_800_000_000.0
FOUND = MetricsHealth(MetricsReason.FOUND, "12 series, the newest 3 s old", NOW)


def plan(generation: int = 3, **spec: Any) -> CapacityPlan:
    metadata = {"name": "main", "namespace": "inference", "generation": generation}
    return CapacityPlan.parse({"metadata": metadata, "spec": {"lanes": ["gpu"], **spec}})


def lane(name: str = "gpu", gpus: int = 2, startup: int | None = 60) -> CapacityLane:
    own = {
        "targetRef": {"name": "vllm"},
        "gpu": {"type": "h100", "perReplica": gpus},
        "price": {"usdPerGpuHour": "3.85"},
        "replicas": {"max": 4},
        "startupSeconds": startup,
    }
    spec = {"type": "SelfHosted", "models": ["llama"], "selfHosted": own}
    return CapacityLane.parse({"metadata": {"name": name, "namespace": "inference", "generation": 1}, "spec": spec})


def workload() -> WorkloadClass:
    spec = {
        "planRef": {"name": "main", "namespace": "inference"},
        "match": {"model": "llama"},
        "slo": {"timeToFirstTokenMs": 2000, "interTokenLatencyMs": 60},
        "dataPolicy": "Any",
        "equivalentModels": ["llama"],
    }
    return WorkloadClass.parse({"metadata": {"name": "chat", "namespace": "team-a", "generation": 2}, "spec": spec})


def target(pods: int = 2, ready: int = 2, age: float = 1000.0, **more: Any) -> TargetState:
    states = tuple(
        PodState(f"vllm-{number}", number < ready, False, NOW - age, NOW if number < ready else None)
        for number in range(pods)
    )
    base = TargetState("Deployment", "vllm", "inference", "u", "1", pods, ready, states)
    return replace(base, **more)


def snapshot(**more: Any) -> PlanSnapshot:
    base = PlanSnapshot(NOW, plan(), (), (LaneSnapshot(lane(), target()),), (), FOUND)
    return replace(base, **more)


def lane_decision(name: str = "gpu", current: int = 2, recommended: int | None = 2, **more: Any) -> LaneDecision:
    base = LaneDecision(
        name,
        current,
        current,
        recommended,
        recommended,
        Reason("Steady", "2 replicas are enough"),
        utilization=Utilization(allocated=0.5, load=0.62),
        usd_per_hour=15.4,
    )
    return replace(base, **more)


def decision(*lanes: LaneDecision, **more: Any) -> Decision:
    base = Decision(
        "inference/main",
        NOW,
        NOW + 45,
        lanes or (lane_decision(),),
        (ClassDecision("team-a/chat", 12.5, 8123.4, {"0.5": 12.0, "0.9": 15.0}, 0.25, 0.994, 21.2),),
        (),
        Costs(billed=15.4, allocated=9.0, static=30.8, saving=15.4, expected=15.4, hosted=0.0),
        Reason("Steady", "nothing to change"),
    )
    return replace(base, **more)


def route(current: dict[str, int], weights: dict[str, int]) -> RouteDecision:
    return RouteDecision("chat", "chat", "all", current, weights, Reason("Spilling", "pods are starting"), True)


def conflict(message: str = "lane gpu: Deployment inference/vllm is scaled by HorizontalPodAutoscaler/vllm") -> Finding:
    return Finding(Severity.ERROR, "AutoscalerConflict", message, "CapacityLane/inference/gpu")
