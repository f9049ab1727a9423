"""KEDA 2.x: a scaler's figure becomes an external metric with an AverageValue target, and an HPA does the rest (1..N).

- `keda-queue`: vLLM production-stack, tutorial 20: vllm:num_requests_waiting, threshold 5, the HPA's default behaviour
  (its cooldown of 360 s is for 1 -> 0 only, which no baseline here does).
- `keda-queue-llmd`: llm-d's queue overlay: queue against 1 and running against 16 a replica; up window 300 s, 100% in
  15 s; down window 300 s.
- `keda-queue-guard`: demand = max(queue/1, running/16); up to the replicas there it is taken as it is, above them
  those that are still starting are subtracted; up window 0.
- `keda-queue-tokens`: max(ceil(queued tokens / V_P / 1.5 s), ceil(sum of KV usage / 0.8)), V_P the prefill speed: one
  chunk over the time that it takes by the lane's declared profile (the median TTFT of an idle engine).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

from spillway.simulate.baselines.facts import LaneFacts
from spillway.simulate.baselines.hpa_engine import (
    Behavior,
    Hpa,
    PolicyKind,
    ScalingPolicy,
    ScalingRules,
    average_proposal,
)
from spillway.simulate.baselines.lanewise import PerLane, running, waiting
from spillway.simulate.baselines.profile import Mix
from spillway.simulate.baselines.signals import RATE_WINDOW_SECONDS, before, lane_mix
from spillway.simulate.policy import Known, LaneCounts, Observation, Sample

SYNC_SECONDS = 15.0
QUEUE: Mapping[str, float] = {"waiting_per_replica": 5.0, "running_per_replica": 0.0}
LLMD_QUEUE: Mapping[str, float] = {"waiting_per_replica": 1.0, "running_per_replica": 16.0}
GUARD: Mapping[str, float] = {"waiting_per_replica": 1.0, "running_per_replica": 16.0}
TOKENS: Mapping[str, float] = {"queue_seconds": 1.5, "kv_usage": 0.8}
CHUNK_TOKENS = 8192.0
"""vLLM's default --max-num-batched-tokens on these GPUs."""

_DOUBLE_UP_300 = ScalingRules((ScalingPolicy(PolicyKind.PERCENT, 100, 15.0),), 300.0)


class Trigger(Protocol):
    """A KEDA scaler: figures with their AverageValue targets."""

    def metrics(self, seen: Observation, sample: Sample, counts: LaneCounts) -> list[tuple[float, float]]:
        """(total, target for each replica) of each trigger."""


class KedaLane:
    """The HPA that KEDA keeps for one lane."""

    def __init__(self, lane: LaneFacts, trigger: Trigger, behavior: Behavior) -> None:
        self._index = lane.index
        self._trigger = trigger
        self._hpa = Hpa(lane.minimum, lane.maximum, behavior)

    def decide(self, seen: Observation, sample: Sample) -> int:
        """One sync of the HPA."""
        counts = seen.counts[self._index]
        proposals = [
            average_proposal(total, target, replicas=counts.desired)
            for total, target in self._trigger.metrics(seen, sample, counts)
        ]
        return self._hpa.step(seen.now, counts.desired, proposals)


class QueueTrigger:
    """Queue length, and running requests, against a figure for each replica; 0: that one is not used."""

    def __init__(self, lane: LaneFacts, waiting_per_replica: float, running_per_replica: float) -> None:
        self._lane = lane
        self._waiting = waiting_per_replica
        self._running = running_per_replica

    def metrics(self, seen: Observation, sample: Sample, counts: LaneCounts) -> list[tuple[float, float]]:
        """Both triggers."""
        del counts
        found = []
        if self._waiting:
            found.append((waiting(seen, sample, self._lane), self._waiting))
        if self._running:
            found.append((running(sample, self._lane), self._running))
        return found


class GuardTrigger:
    """llm-d's queue guard: a queue that starting replicas will take is not counted twice."""

    def __init__(self, lane: LaneFacts, waiting_per_replica: float, running_per_replica: float) -> None:
        self._lane = lane
        self._waiting = waiting_per_replica
        self._running = running_per_replica

    def metrics(self, seen: Observation, sample: Sample, counts: LaneCounts) -> list[tuple[float, float]]:
        """The demand in replicas, against 1."""
        queue = waiting(seen, sample, self._lane) / self._waiting
        demand = max(queue, running(sample, self._lane) / self._running)
        replicas = float(counts.desired)
        if demand > replicas:
            demand = max(demand - counts.starting, replicas)
        return [(demand, 1.0)]


class TokenTrigger:
    """Token-aware: queued prompt tokens over the prefill speed, and the KV cache in use."""

    def __init__(self, lane: LaneFacts, name: str, queue_s: float, kv_usage: float) -> None:
        service = lane.declared(name)
        self._lane = lane
        self._tokens_per_s = CHUNK_TOKENS / (
            (service.alpha_ms + service.prefill_ms_per_ktoken * CHUNK_TOKENS / 1000.0) / 1000.0
        )
        self._queue_s = queue_s
        self._kv_usage = kv_usage
        self._mix: Mix | None = None

    def metrics(self, seen: Observation, sample: Sample, counts: LaneCounts) -> list[tuple[float, float]]:
        """Replicas by either, against 1."""
        del counts
        old = before(seen.samples, RATE_WINDOW_SECONDS)
        if old is not None:
            self._mix = lane_mix(old, sample, self._lane.index, self._mix)
        prompt = 0.0 if self._mix is None else self._mix.input_tokens
        tokens = waiting(seen, sample, self._lane) * prompt
        usage = float(sample.lanes[self._lane.index].replicas.kv_usage.sum())
        by_queue = math.ceil(tokens / self._tokens_per_s / self._queue_s - 1e-9)
        return [(float(by_queue), 1.0), (float(math.ceil(usage / self._kv_usage - 1e-9)), 1.0)]


def keda_queue(name: str, parameters: Mapping[str, float]) -> PerLane:
    """The scaler `keda-queue`."""
    return _queue(name, parameters, Behavior())


def keda_queue_llmd(name: str, parameters: Mapping[str, float]) -> PerLane:
    """The scaler `keda-queue-llmd`."""
    return _queue(name, parameters, Behavior(up=_DOUBLE_UP_300))


def _queue(name: str, parameters: Mapping[str, float], behavior: Behavior) -> PerLane:
    def make(known: Known, lane: LaneFacts) -> KedaLane:
        del known
        trigger = QueueTrigger(lane, parameters["waiting_per_replica"], parameters["running_per_replica"])
        return KedaLane(lane, trigger, behavior)

    return PerLane(name, SYNC_SECONDS, make)


def keda_queue_guard(name: str, parameters: Mapping[str, float]) -> PerLane:
    """The scaler `keda-queue-guard`."""

    def make(known: Known, lane: LaneFacts) -> KedaLane:
        del known
        trigger = GuardTrigger(lane, parameters["waiting_per_replica"], parameters["running_per_replica"])
        return KedaLane(lane, trigger, Behavior())

    return PerLane(name, SYNC_SECONDS, make)


def keda_queue_tokens(name: str, parameters: Mapping[str, float]) -> PerLane:
    """The scaler `keda-queue-tokens`."""

    def make(known: Known, lane: LaneFacts) -> KedaLane:
        del known
        trigger = TokenTrigger(lane, name, parameters["queue_seconds"], parameters["kv_usage"])
        return KedaLane(lane, trigger, Behavior())

    return PerLane(name, SYNC_SECONDS, make)
