"""llm-d Workload Variant Autoscaler v0.9, saturation engine. The own lanes of one model are its variants.
WVA only exports the replicas that it wants; an HPA on that figure sets them (lanewise.PerModel).

V2 (`wva-saturation`, the default, each 15 s), by tokens:
- k1 = 0.80 * KV tokens; k2 = tokens in use when a replica had 5 or more waiting (mean of the last 10 seen), else
  min(B*O/(I+O), S)*(I+O/2), else k1. A replica's capacity is min(k1, k2).
- D = tokens in use + q*(I+O), the gateway's queue included.
- Up: deficit = max(0, D/0.85 - supply), starting replicas supply; cheapest cost/capacity first. Down: surplus =
  max(0, supply - D/0.70), dearest first, 1 kept.

V1 (`wva-saturation-v1`, each 15 s), by spare, on the highest KV usage and queue of each replica in the last minute:
- not saturated: kv < 0.80 and q < 5. spareKv = mean(0.80 - kv), spareQ = mean(5 - q) over those, 0 without any.
- Up 1 on the cheapest variant that has none starting, if spareKv < 0.10 or spareQ < 3. Down 1 on the dearest (at least
  1 stays), if 2 or more are not saturated and with load * N/(N-1) both spares still hold.
- Nothing while replicas differ from what was asked for anywhere in the model.

"Tokens in use" is the KV usage times the KV tokens of the declared profile; without one, the tokens held over the
usage tell how many there are. B is vLLM's 8192, S the profile's, else 256.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence

from spillway.simulate.baselines.facts import LaneFacts
from spillway.simulate.baselines.lanewise import PerModel
from spillway.simulate.baselines.profile import Mix
from spillway.simulate.baselines.signals import RATE_WINDOW_SECONDS, before, held, lane_mix
from spillway.simulate.policy import Known, Observation, ReplicaSamples, Sample

INTERVAL_SECONDS = 15.0
V2_DEFAULTS: Mapping[str, float] = {"kv_threshold": 0.80, "queue_threshold": 5.0, "up_at": 0.85, "down_at": 0.70}
V1_DEFAULTS: Mapping[str, float] = {
    "kv_threshold": 0.80,
    "queue_threshold": 5.0,
    "kv_spare": 0.10,
    "queue_spare": 3.0,
}
BATCHED_TOKENS = 8192.0
DEFAULT_SEQUENCES = 256.0
HISTORY = 10
PEAK_SECONDS = 60.0


class LaneCapacity:
    """V2's token capacity of one replica of a variant."""

    def __init__(self, lane: LaneFacts, kv_threshold: float, queue_threshold: float) -> None:
        self.lane = lane
        self._kv_threshold = kv_threshold
        self._queue_threshold = queue_threshold
        self._seen: deque[float] = deque(maxlen=HISTORY)
        self._kv_tokens = lane.service.kv_tokens if lane.service else math.inf
        self._measured_kv = 0.0
        self.mix: Mix | None = None

    @property
    def kv_tokens(self) -> float | None:
        """KV tokens of one replica; None until anything tells them."""
        if math.isfinite(self._kv_tokens):
            return self._kv_tokens
        return self._measured_kv or None

    def observe(self, replicas: ReplicaSamples) -> float:
        """Take a sample in; returns the tokens in use on all replicas."""
        if not math.isfinite(self._kv_tokens):
            usage, tokens = float(replicas.kv_usage.sum()), float(replicas.tokens_held.sum())
            if usage > 0.0:
                self._measured_kv = max(self._measured_kv, tokens / usage)
        size = self.kv_tokens or 0.0
        in_use = replicas.kv_usage * size
        for tokens in in_use[replicas.waiting >= self._queue_threshold]:
            self._seen.append(float(tokens))
        return float(in_use.sum())

    def tokens(self) -> float | None:
        """Capacity of one replica in tokens; None before anything is known."""
        size = self.kv_tokens
        if size is None:
            return None
        by_memory = self._kv_threshold * size
        if self._seen:
            return min(by_memory, sum(self._seen) / len(self._seen))
        if self.mix is None:
            return by_memory
        sequences = DEFAULT_SEQUENCES if self.lane.service is None else float(self.lane.service.max_sequences)
        whole = self.mix.input_tokens + self.mix.output_tokens
        return min(by_memory, min(BATCHED_TOKENS * self.mix.output_tokens / whole, sequences) * self.mix.held)


class SaturationV2:
    """V2 over the variants of one model."""

    def __init__(self, lanes: Sequence[LaneFacts], parameters: Mapping[str, float]) -> None:
        self._variants = [
            LaneCapacity(lane, parameters["kv_threshold"], parameters["queue_threshold"]) for lane in lanes
        ]
        self._classes = tuple(sorted({index for lane in lanes for index in lane.classes}))
        self._up_at = parameters["up_at"]
        self._down_at = parameters["down_at"]

    def decide(self, seen: Observation, sample: Sample) -> Mapping[int, int]:
        """One cycle."""
        old = before(seen.samples, RATE_WINDOW_SECONDS)
        demand = 0.0
        heaviest = 0.0
        for variant in self._variants:
            index = variant.lane.index
            if old is not None:
                variant.mix = lane_mix(old, sample, index, variant.mix)
            whole = 0.0 if variant.mix is None else variant.mix.input_tokens + variant.mix.output_tokens
            heaviest = max(heaviest, whole)
            replicas = sample.lanes[index].replicas
            demand += variant.observe(replicas) + float(replicas.waiting.sum()) * whole
        demand += held(sample, self._classes) * heaviest
        replicas_now = {variant.lane.index: seen.counts[variant.lane.index].desired for variant in self._variants}
        return self.allocate(demand, replicas_now)

    def allocate(self, demand: float, replicas: Mapping[int, int]) -> Mapping[int, int]:
        """Replicas by lane for a demand in tokens, from those there are, starting ones included."""
        capacity = {variant.lane.index: variant.tokens() for variant in self._variants}
        known = [(variant.lane, tokens) for variant in self._variants if (tokens := capacity[variant.lane.index])]
        wanted = dict(replicas)
        supply = sum(tokens * replicas[lane.index] for lane, tokens in known)
        deficit = demand / self._up_at - supply
        surplus = supply - demand / self._down_at
        by_cost = sorted(known, key=lambda item: item[0].usd_per_hour / item[1])
        if deficit > 0.0:
            for lane, tokens in by_cost:
                room = max(0, lane.maximum - wanted[lane.index])
                more = min(room, math.ceil(deficit / tokens - 1e-9))
                wanted[lane.index] += more
                deficit -= more * tokens
                if deficit <= 0.0:
                    break
        elif surplus > 0.0:
            for lane, tokens in reversed(by_cost):
                spare = max(0, wanted[lane.index] - lane.minimum)
                fewer = min(spare, math.floor(surplus / tokens + 1e-9))
                wanted[lane.index] -= fewer
                surplus -= fewer * tokens
        return wanted


class SaturationV1:
    """V1 over the variants of one model."""

    def __init__(self, lanes: Sequence[LaneFacts], parameters: Mapping[str, float]) -> None:
        self._lanes = sorted(lanes, key=lambda lane: lane.usd_per_hour)
        self._parameters = parameters

    def decide(self, seen: Observation, sample: Sample) -> Mapping[int, int]:
        """One cycle."""
        wanted = {lane.index: seen.counts[lane.index].desired for lane in self._lanes}
        if any(seen.counts[lane.index].desired != seen.counts[lane.index].ready for lane in self._lanes):
            return wanted
        kv, queue = self._peaks(seen.samples, sample)
        step = self.step(kv, queue)
        if step > 0:
            for lane in self._lanes:
                if not seen.counts[lane.index].starting and wanted[lane.index] < lane.maximum:
                    wanted[lane.index] += 1
                    break
        elif step < 0:
            for lane in reversed(self._lanes):
                if wanted[lane.index] > lane.minimum:
                    wanted[lane.index] -= 1
                    break
        return wanted

    def step(self, kv: Sequence[float], queue: Sequence[float]) -> int:
        """+1, 0 or -1 for the highest KV usage and queue of each replica of the model."""
        kv_threshold, queue_threshold = self._parameters["kv_threshold"], self._parameters["queue_threshold"]
        free = [(a, b) for a, b in zip(kv, queue, strict=True) if a < kv_threshold and b < queue_threshold]
        count = len(free)
        if not self._holds(free, 1.0):
            return 1
        return -1 if count >= 2 and self._holds(free, count / (count - 1)) else 0

    def _holds(self, free: Sequence[tuple[float, float]], factor: float) -> bool:
        if not free:
            return False
        spare_kv = sum(self._parameters["kv_threshold"] - a * factor for a, _ in free) / len(free)
        spare_queue = sum(self._parameters["queue_threshold"] - b * factor for _, b in free) / len(free)
        return spare_kv >= self._parameters["kv_spare"] and spare_queue >= self._parameters["queue_spare"]

    def _peaks(self, samples: Sequence[Sample], newest: Sample) -> tuple[list[float], list[float]]:
        peaks: dict[tuple[int, float], tuple[float, float]] = {}
        present = {
            (lane.index, float(number)) for lane in self._lanes for number in newest.lanes[lane.index].replicas.number
        }
        for sample in reversed(samples):
            if sample.at <= newest.at - PEAK_SECONDS:
                break
            for lane in self._lanes:
                replicas = sample.lanes[lane.index].replicas
                for row in range(replicas.number.size):
                    key = (lane.index, float(replicas.number[row]))
                    kv, queue = float(replicas.kv_usage[row]), float(replicas.waiting[row])
                    old = peaks.get(key, (kv, queue))
                    peaks[key] = (max(old[0], kv), max(old[1], queue))
        kept = [peaks[key] for key in sorted(present)]
        return [kv for kv, _ in kept], [queue for _, queue in kept]


def wva_saturation(name: str, parameters: Mapping[str, float]) -> PerModel:
    """The scaler `wva-saturation` (V2)."""

    def make(known: Known, lanes: tuple[LaneFacts, ...]) -> SaturationV2:
        del known
        return SaturationV2(lanes, parameters)

    return PerModel(name, INTERVAL_SECONDS, make)


def wva_saturation_v1(name: str, parameters: Mapping[str, float]) -> PerModel:
    """The scaler `wva-saturation-v1`."""

    def make(known: Known, lanes: tuple[LaneFacts, ...]) -> SaturationV1:
        del known
        return SaturationV1(lanes, parameters)

    return PerModel(name, INTERVAL_SECONDS, make)
