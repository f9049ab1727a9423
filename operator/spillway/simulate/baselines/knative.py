"""Knative Serving's autoscaler (KPA), https://github.com/knative/serving pkg/autoscaler/scaling/autoscaler.go.

Each 2 s: c is the mean concurrency (running and queued requests, also those at the activator) of the last 60 s, and of
the last 6 s for panic; the target is 70% of the concurrency limit; d = ceil(c/target) within
[floor(n/2), ceil(1000 n)], n the Ready replicas, at least 1. Panic begins at d_panic/n >= 2: then the larger of both,
never less than before, until 60 s have passed below. The limit is the lane's declared maximum of sequences, 100
(Knative's default) without a profile. The newest sample is seen again until the next one.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping

from spillway.simulate.baselines.facts import LaneFacts
from spillway.simulate.baselines.lanewise import PerLane, running, waiting
from spillway.simulate.policy import Known, Observation, Sample

TICK_SECONDS = 2.0
STABLE_SECONDS = 60.0
PANIC_SECONDS = 6.0
PANIC_AT = 2.0
MOST_UP = 1000.0
MOST_DOWN = 2.0
DEFAULT_LIMIT = 100.0
DEFAULTS: Mapping[str, float] = {"target_share": 0.7, "concurrency_limit": 0.0}
"""A limit of 0 is the lane's."""


class MovingMean:
    """Mean of the values of the last `ticks` pushes."""

    def __init__(self, ticks: int) -> None:
        self._values: deque[float] = deque(maxlen=ticks)
        self._sum = 0.0

    def push(self, value: float) -> float:
        """Take a value in; returns the mean."""
        if len(self._values) == self._values.maxlen:
            self._sum -= self._values[0]
        self._values.append(value)
        self._sum += value
        return self._sum / len(self._values)


class KnativeLane:
    """The autoscaler of one lane."""

    def __init__(self, lane: LaneFacts, parameters: Mapping[str, float]) -> None:
        own = DEFAULT_LIMIT if lane.service is None else float(lane.service.max_sequences)
        self._lane = lane
        self._target = parameters["target_share"] * (parameters["concurrency_limit"] or own)
        self._stable = MovingMean(round(STABLE_SECONDS / TICK_SECONDS))
        self._panic = MovingMean(round(PANIC_SECONDS / TICK_SECONDS))
        self._sample_at = -math.inf
        self._concurrency = 0.0
        self._panic_at: float | None = None
        self._most = 0

    def decide(self, seen: Observation, sample: Sample) -> int:
        """One tick."""
        if sample.at > self._sample_at:
            self._sample_at = sample.at
            self._concurrency = running(sample, self._lane) + waiting(seen, sample, self._lane)
        return self.tick(seen.now, self._concurrency, seen.counts[self._lane.index].ready)

    def tick(self, now: float, concurrency: float, ready: int) -> int:
        """The algorithm itself: replicas for the concurrency seen at this tick."""
        n = max(ready, 1)
        stable = self._clamped(self._stable.push(concurrency), n)
        panic_mean = self._panic.push(concurrency)
        panic = self._clamped(panic_mean, n)
        over = math.ceil(panic_mean / self._target - 1e-9) / n >= PANIC_AT
        if over:
            if self._panic_at is None:
                self._most = 0
            self._panic_at = now
        elif self._panic_at is not None and self._panic_at + STABLE_SECONDS < now:
            self._panic_at = None
        if self._panic_at is None:
            return stable
        self._most = max(self._most, stable, panic)
        return self._most

    def _clamped(self, mean: float, n: int) -> int:
        wanted = math.ceil(mean / self._target - 1e-9)
        return max(min(wanted, math.ceil(MOST_UP * n)), math.floor(n / MOST_DOWN))


def knative_kpa(name: str, parameters: Mapping[str, float]) -> PerLane:
    """The scaler `knative-kpa`."""

    def make(known: Known, lane: LaneFacts) -> KnativeLane:
        del known
        return KnativeLane(lane, parameters)

    return PerLane(name, TICK_SECONDS, make)
