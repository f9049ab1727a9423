"""Small observations for baselines: lanes and classes by manifest, samples by plain numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from spillway.api import CapacityLane, CapacityPlan, WorkloadClass
from spillway.simulate.baselines.facts import LaneFacts, lane_facts
from spillway.simulate.policy import (
    ITL_BUCKETS_S,
    TTFT_BUCKETS_S,
    ClassSample,
    Histogram,
    Known,
    LaneCounts,
    LaneInfo,
    LaneSample,
    Observation,
    ReplicaSamples,
    Sample,
)

PROFILE: dict[str, Any] = {
    "alphaMs": "20",
    "betaMsPerSequence": "0.5",
    "gammaMsPerKToken": "0",
    "prefillMsPerKToken": "100",
    "maxSequences": 100,
    "kvCacheTokens": 100_000,
}


def own_lane(
    name: str = "gpu", *, usd: str = "2", lowest: int = 1, highest: int = 50, profile: dict[str, Any] | None = PROFILE
) -> CapacityLane:
    own: dict[str, Any] = {
        "targetRef": {"name": name},
        "gpu": {"type": "h100"},
        "price": {"usdPerGpuHour": usd},
        "replicas": {"min": lowest, "max": highest},
    }
    if profile is not None:
        own["profile"] = profile
    return CapacityLane.parse(_object("CapacityLane", name, {"type": "SelfHosted", "models": ["m"], "selfHosted": own}))


def hosted_lane(name: str = "hosted") -> CapacityLane:
    return CapacityLane.parse(
        _object(
            "CapacityLane",
            name,
            {"type": "HostedRealtime", "models": ["m"], "hosted": {"provider": "p", "model": "m"}},
        )
    )


def workload_class(
    name: str = "chat", *, ttft_ms: int = 3000, itl_ms: int = 100, policy: str = "Any", latency: str = "Interactive"
) -> WorkloadClass:
    spec: dict[str, Any] = {
        "planRef": {"name": "main"},
        "match": {"model": name},
        "latency": latency,
        "dataPolicy": policy,
        "equivalentModels": ["m"],
    }
    if latency != "Deferrable":
        spec["slo"] = {"timeToFirstTokenMs": ttft_ms, "interTokenLatencyMs": itl_ms}
    return WorkloadClass.parse(_object("WorkloadClass", name, spec))


def known(own: Sequence[CapacityLane] = (), classes: Sequence[WorkloadClass] = (), *, hosted: bool = True) -> Known:
    lanes = own or (own_lane(),)
    plan = CapacityPlan.parse(_object("CapacityPlan", "main", {"lanes": [lane.metadata.name for lane in lanes]}))
    return Known(
        plan=plan,
        classes=tuple(classes) or (workload_class(),),
        own=tuple(LaneInfo(lane, 240.0) for lane in lanes),
        hosted=(hosted_lane(),) if hosted else (),
        metrics_lag_s=15.0,
    )


def facts(**lane: Any) -> LaneFacts:
    return lane_facts(known([own_lane(**lane)]))[0]


def histogram(bounds: Sequence[float], counts: Mapping[int, float] | None = None, mean_s: float = 0.0) -> Histogram:
    """Counts by bucket number."""
    values = np.zeros(len(bounds) + 1)
    for bucket, count in (counts or {}).items():
        values[bucket] = count
    total = float(values.sum())
    return Histogram(values, total * mean_s, total)


def replicas(
    running: Sequence[float] = (),
    waiting: Sequence[float] | None = None,
    kv: Sequence[float] | None = None,
    held: Sequence[float] | None = None,
) -> ReplicaSamples:
    count = len(running)
    nothing = np.zeros(count)
    return ReplicaSamples(
        number=np.arange(count, dtype=np.float64),
        ready_at=nothing,
        running=np.array(running, dtype=np.float64),
        waiting=nothing if waiting is None else np.array(waiting, dtype=np.float64),
        kv_usage=nothing if kv is None else np.array(kv, dtype=np.float64),
        tokens_held=nothing if held is None else np.array(held, dtype=np.float64),
        prompt_tokens=nothing,
        generation_tokens=nothing,
        iterations=nothing,
        itl_sum_s=nothing,
        itl_count=nothing,
        finished=nothing,
    )


def lane_sample(
    engines: ReplicaSamples,
    *,
    finished: float = 0.0,
    tokens: tuple[float, float] = (0.0, 0.0),
    ttft: Histogram | None = None,
    tpot: Histogram | None = None,
    itl: Histogram | None = None,
) -> LaneSample:
    """`tokens`: of all finished requests, prompt and generated."""
    return LaneSample(
        replicas=engines,
        prompt_tokens=tokens[0],
        generation_tokens=tokens[1],
        finished=finished,
        rejected=0.0,
        busy_seconds=0.0,
        ttft=ttft or histogram(TTFT_BUCKETS_S),
        itl=itl or histogram(ITL_BUCKETS_S),
        tpot=tpot or histogram(ITL_BUCKETS_S),
    )


def class_sample(
    arrived: float = 0.0,
    *,
    mix: tuple[float, float] = (0.0, 0.0),
    held: float = 0.0,
    to_lane: Sequence[float] = (0.0, 0.0),
) -> ClassSample:
    """All that arrived has ended, with the mean tokens of `mix`."""
    return ClassSample(
        arrived=arrived,
        ended=arrived,
        ended_input_tokens=arrived * mix[0],
        ended_output_tokens=arrived * mix[1],
        hosted_by_weight=0.0,
        hosted_by_queue=0.0,
        hosted_by_cap=0.0,
        hosted_by_patience=0.0,
        rejected=0.0,
        held=held,
        to_lane=np.array(to_lane, dtype=np.float64),
        own_ended=0.0,
        own_met=0.0,
        own_tokens_ended=0.0,
        own_tokens_met=0.0,
    )


def counts(desired: int, ready: int | None = None) -> LaneCounts:
    there = desired if ready is None else ready
    starting = desired - there
    return LaneCounts(desired, there, starting, (0.0,) * starting, 0)


def sample(at: float, *lanes: LaneSample, classes: Sequence[ClassSample] | None = None) -> Sample:
    return Sample(at, lanes, tuple(classes) if classes is not None else (class_sample(),))


def seen(now: float, samples: Sequence[Sample], *lanes: LaneCounts) -> Observation:
    return Observation(now, tuple(samples), lanes)


def _object(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "spillway.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "inference"},
        "spec": spec,
    }
