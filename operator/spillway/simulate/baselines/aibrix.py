"""AIBrix autoscaling (vllm-project/aibrix): APA and KPA on the mean KV-cache usage of a lane's Ready replicas.

Loop 10 s; v is the mean of that usage over the last 180 s (stable) or 60 s (panic); target 0.5, tolerance 10%, up at
most x2, down at most to the half, down cooldown 300 s. n: the present replicas.

- APA: r = v/target (180 s); r > 1.1: min(ceil(n r), ceil(2 n)); r < 0.9: max(ceil(n r), floor(n/2)); else n.
- KPA: d = ceil(v/target) outside the tolerance, else n, for both windows, within [floor(n/2), ceil(2 n)]; panic if
  d_panic/d_stable > 2: the larger, never below the panic's highest, until the stable window has passed below.

Apparent defects, corrected in `aibrix-apa` and `aibrix-kpa`, kept in `...-as-written`:
- APA multiplies the load *of the Ready replicas* by n, which counts starting ones: while they start it grows by r again
  at each loop. Corrected: the Ready ones are multiplied, and on the way up what is already ordered stays.
- KPA divides a per-replica mean by the target and takes that for a number of replicas. Corrected: times Ready replicas.
- KPA's down cooldown takes the minimum of its recommendations. Corrected: the maximum, as APA's.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping

from spillway.simulate.baselines.facts import LaneFacts
from spillway.simulate.baselines.knative import MovingMean
from spillway.simulate.baselines.lanewise import PerLane
from spillway.simulate.policy import Known, LaneCounts, Observation, Sample

LOOP_SECONDS = 10.0
STABLE_SECONDS = 180.0
PANIC_SECONDS = 60.0
COOLDOWN_SECONDS = 300.0
TOLERANCE = 0.1
PANIC_AT = 2.0
DEFAULTS: Mapping[str, float] = {"kv_usage": 0.5}


class UsageMeans:
    """Window means of the lane's per-replica KV usage, a value each loop."""

    def __init__(self, lane: LaneFacts) -> None:
        self._index = lane.index
        self._stable = MovingMean(round(STABLE_SECONDS / LOOP_SECONDS))
        self._panic = MovingMean(round(PANIC_SECONDS / LOOP_SECONDS))
        self._sample_at = -math.inf
        self._usage = 0.0

    def push(self, sample: Sample) -> tuple[float, float]:
        """(stable, panic) mean."""
        if sample.at > self._sample_at:
            self._sample_at = sample.at
            usage = sample.lanes[self._index].replicas.kv_usage
            self._usage = float(usage.mean()) if usage.size else 0.0
        return self._stable.push(self._usage), self._panic.push(self._usage)


class Cooldown:
    """Recommendations of the last 300 s: scaling down goes to their maximum (or, as written in KPA, minimum)."""

    def __init__(self, *, minimum: bool = False) -> None:
        self._recent: deque[tuple[float, int]] = deque()
        self._minimum = minimum

    def settle(self, now: float, current: int, wanted: int) -> int:
        """What holds from now on."""
        self._recent.append((now, wanted))
        while self._recent[0][0] <= now - COOLDOWN_SECONDS:
            self._recent.popleft()
        if wanted >= current:
            return wanted
        values = [value for _, value in self._recent]
        return min(current, min(values) if self._minimum else max(values))


def apa_wanted(usage: float, target: float, n: int) -> int:
    """APA's formula."""
    ratio = usage / target
    if ratio > 1.0 + TOLERANCE:
        return min(_ceil(n * ratio), 2 * n)
    if ratio < 1.0 - TOLERANCE:
        return max(_ceil(n * ratio), n // 2)
    return n


class ApaLane:
    """APA of one lane."""

    def __init__(self, lane: LaneFacts, target: float, *, corrected: bool) -> None:
        self._index = lane.index
        self._target = target
        self._corrected = corrected
        self._means = UsageMeans(lane)
        self._cooldown = Cooldown()

    def decide(self, seen: Observation, sample: Sample) -> int:
        """One loop."""
        return self.loop(seen.now, self._means.push(sample)[0], seen.counts[self._index])

    def loop(self, now: float, usage: float, counts: LaneCounts) -> int:
        """The algorithm itself, for the stable mean."""
        current = counts.desired
        if not self._corrected:
            wanted = apa_wanted(usage, self._target, current)
        elif not counts.ready:
            return current
        else:
            wanted = apa_wanted(usage, self._target, counts.ready)
            if usage >= self._target * (1.0 - TOLERANCE):
                wanted = max(wanted, current)
        return self._cooldown.settle(now, current, wanted)


class KpaLane:
    """KPA of one lane."""

    def __init__(self, lane: LaneFacts, target: float, *, corrected: bool) -> None:
        self._index = lane.index
        self._target = target
        self._corrected = corrected
        self._means = UsageMeans(lane)
        self._cooldown = Cooldown(minimum=not corrected)
        self._panic_at: float | None = None
        self._most = 0

    def decide(self, seen: Observation, sample: Sample) -> int:
        """One loop."""
        stable, panic = self._means.push(sample)
        return self.loop(seen.now, stable, panic, seen.counts[self._index])

    def loop(self, now: float, stable_usage: float, panic_usage: float, counts: LaneCounts) -> int:
        """The algorithm itself, for both means."""
        current = counts.desired
        if self._corrected and not counts.ready:
            return current
        stable = self._wanted(stable_usage, counts)
        panic = self._wanted(panic_usage, counts)
        if panic / max(stable, 1) > PANIC_AT:
            if self._panic_at is None:
                self._most = 0
            self._panic_at = now
        elif self._panic_at is not None and self._panic_at + STABLE_SECONDS < now:
            self._panic_at = None
        wanted = stable
        if self._panic_at is not None:
            self._most = max(self._most, stable, panic)
            wanted = self._most
        return self._cooldown.settle(now, current, wanted)

    def _wanted(self, usage: float, counts: LaneCounts) -> int:
        n = counts.desired
        ratio = usage / self._target
        if 1.0 - TOLERANCE <= ratio <= 1.0 + TOLERANCE:
            return n
        wanted = _ceil(ratio * counts.ready) if self._corrected else _ceil(ratio)
        if self._corrected and ratio > 1.0:
            wanted = max(wanted, n)
        return max(min(wanted, 2 * n), n // 2)


def aibrix_apa(name: str, parameters: Mapping[str, float], *, corrected: bool = True) -> PerLane:
    """The scaler `aibrix-apa`, or as written."""

    def make(known: Known, lane: LaneFacts) -> ApaLane:
        del known
        return ApaLane(lane, parameters["kv_usage"], corrected=corrected)

    return PerLane(name, LOOP_SECONDS, make)


def aibrix_kpa(name: str, parameters: Mapping[str, float], *, corrected: bool = True) -> PerLane:
    """The scaler `aibrix-kpa`, or as written."""

    def make(known: Known, lane: LaneFacts) -> KpaLane:
        del known
        return KpaLane(lane, parameters["kv_usage"], corrected=corrected)

    return PerLane(name, LOOP_SECONDS, make)


def _ceil(value: float) -> int:
    return math.ceil(value - 1e-9)
