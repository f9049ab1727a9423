"""Small lanes, classes, plans and records for structural findings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spillway.advise.structural.record import HOUR_SECONDS, Record, Sight, seen
from spillway.api import CapacityLane, CapacityPlan, WorkloadClass

NOW = 1_800_000_000.0
DAY = 86_400
BASIS = "6f1c0d2e9a3b4c5d"


def meta(name: str, generation: int = 1) -> dict[str, Any]:
    return {"name": name, "namespace": "ai", "uid": f"uid-{name}", "generation": generation}


def own_lane(
    name: str = "gpu", models: tuple[str, ...] = ("llama",), generation: int = 1, **bounds: int
) -> CapacityLane:
    own = {
        "targetRef": {"name": "vllm"},
        "gpu": {"type": "h100"},
        "price": {"usdPerGpuHour": "3"},
        "replicas": {"min": 0, "max": 8} | bounds,
    }
    spec = {"type": "SelfHosted", "models": list(models), "selfHosted": own}
    return CapacityLane.parse({"metadata": meta(name, generation), "spec": spec})


def hosted_lane(name: str = "hosted", models: tuple[str, ...] = ("mini",), **hosted: Any) -> CapacityLane:
    spec = {
        "type": "HostedRealtime",
        "models": list(models),
        "hosted": {"provider": "openai", "model": "mini"} | hosted,
    }
    return CapacityLane.parse({"metadata": meta(name), "spec": spec})


def workload(name: str = "chat", **spec: Any) -> WorkloadClass:
    content = {
        "planRef": {"name": "main"},
        "match": {"model": "llama"},
        "slo": {"timeToFirstTokenMs": 2000, "interTokenLatencyMs": 50},
        "dataPolicy": "Any",
        "equivalentModels": ["llama", "mini"],
    }
    return WorkloadClass.parse({"metadata": meta(name), "spec": content | spec})


def plan(generation: int = 1, **spec: Any) -> CapacityPlan:
    return CapacityPlan.parse({"metadata": meta("main", generation), "spec": {"lanes": ["gpu", "hosted"]} | spec})


def hours(
    needed: list[int], saves: Mapping[int, float] | None = None, used: bool = True, now: float = NOW, basis: str = BASIS
) -> Record:
    """A record of one sight an hour, the last one now."""
    record = Record(basis)
    for index, number in enumerate(needed):
        at = now - (len(needed) - 1 - index) * HOUR_SECONDS
        record = seen(record, basis, Sight(number, used, saves or {}), at, HOUR_SECONDS)
    return record
