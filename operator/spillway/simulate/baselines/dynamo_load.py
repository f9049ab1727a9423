"""NVIDIA Dynamo's load-based planner, a loop of 5 s above the SLA planner's result, which is its floor.

- `dynamo-load` (latency target): +1 if every engine's estimated latency is over the SLA; -1 if after consolidation
  onto N-1 engines (load times N/(N-1)) each has ITL < 0.8 SLA, its KV cache fits, and the TTFT of its queue is below
  0.8 (SLA - its own prefill). ITL is the declared profile's at the batch and context at hand, TTFT the profile's time
  for the queued prompts and the own one. Requests that a hold keeps at the proxy count as queued.
- `dynamo-load-throughput` (the target that it ships with): util = (scheduled + queued KV tokens)/KV tokens of an
  engine; any over 1.0: +1; all below 0.6: -1.

Both do nothing while replicas start or leave.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from spillway.simulate.baselines.dynamo import DEFAULTS as SLA_DEFAULTS
from spillway.simulate.baselines.dynamo import INTERVAL_SECONDS as SLA_SECONDS
from spillway.simulate.baselines.dynamo import SlaLane
from spillway.simulate.baselines.facts import BaselineError, LaneFacts
from spillway.simulate.baselines.lanewise import PerLane, waiting
from spillway.simulate.baselines.profile import Mix, Service
from spillway.simulate.baselines.signals import RATE_WINDOW_SECONDS, before, class_mix
from spillway.simulate.policy import Known, Observation, Sample
from spillway.simulate.world import Floats

LOOP_SECONDS = 5.0
DEFAULTS: Mapping[str, float] = {**SLA_DEFAULTS, "down_share": 0.8}
THROUGHPUT_DEFAULTS: Mapping[str, float] = {**SLA_DEFAULTS, "up_utilization": 1.0, "down_utilization": 0.6}


@dataclass(frozen=True, slots=True, eq=False)
class Engines:
    """The newest figures of a lane's engines, one entry each."""

    running: Floats
    waiting: Floats
    tokens_held: Floats
    kv_usage: Floats


def latency_step(
    engines: Engines, service: Service, mix: Mix, *, ttft_s: float, itl_s: float, down_share: float
) -> int:
    """+1, 0 or -1 by estimated latencies."""
    count = len(engines.running)
    if count == 0:
        return 0
    own_ms = service.prompt_ms(mix)
    itl = _itl_ms(engines, service, mix, 1.0)
    queue = engines.waiting * own_ms
    over = (itl > itl_s * 1000.0) | (queue + own_ms + service.alpha_ms > ttft_s * 1000.0)
    if bool(over.all()):
        return 1
    if count < 2:
        return 0
    factor = count / (count - 1)
    fits = (
        (_itl_ms(engines, service, mix, factor) < down_share * itl_s * 1000.0)
        & (engines.kv_usage * factor <= 1.0)
        & (queue * factor < down_share * (ttft_s * 1000.0 - own_ms))
    )
    return -1 if bool(fits.all()) else 0


def throughput_step(engines: Engines, kv_tokens: float, mix: Mix, *, up_at: float, down_at: float) -> int:
    """+1, 0 or -1 by scheduled and queued KV tokens."""
    if len(engines.running) == 0:
        return 0
    queued = engines.waiting * (mix.input_tokens + mix.output_tokens) / kv_tokens
    utilization = engines.kv_usage + queued
    if bool((utilization > up_at).any()):
        return 1
    return -1 if bool((utilization < down_at).all()) else 0


def _itl_ms(engines: Engines, service: Service, mix: Mix, factor: float) -> Floats:
    per_sequence = service.beta_ms + service.prefill_ms_per_ktoken * mix.input_tokens / mix.output_tokens / 1000.0
    by_context = service.gamma_ms_per_ktoken * engines.tokens_held / 1000.0
    result: Floats = service.alpha_ms + factor * (per_sequence * engines.running + by_context)
    return result


class LoadLane:
    """Both loops of one lane."""

    def __init__(self, known: Known, lane: LaneFacts, parameters: Mapping[str, float], name: str) -> None:
        self._lane = lane
        self._service = lane.declared(name)
        self._parameters = parameters
        self._floor_loop = SlaLane(known, lane, parameters, name)
        self._floor = lane.minimum
        self._next_floor = SLA_SECONDS
        self._sample_at = -math.inf
        self._step = 0
        self._mix: Mix | None = None

    def decide(self, seen: Observation, sample: Sample) -> int:
        """One loop."""
        if seen.now >= self._next_floor:
            self._next_floor = seen.now + SLA_SECONDS
            self._floor = self._lane.bounded(self._floor_loop.decide(seen, sample))
        counts = seen.counts[self._lane.index]
        if counts.ready != counts.desired or counts.draining:
            return max(counts.desired, self._floor)
        if sample.at > self._sample_at:
            self._sample_at = sample.at
            self._step = self._look(seen, sample)
        elif self._step:
            # The sample that moved it was taken before it moved: one figure moves it once.
            return max(counts.desired, self._floor)
        return max(counts.desired + self._step, self._floor)

    def _look(self, seen: Observation, sample: Sample) -> int:
        old = before(seen.samples, RATE_WINDOW_SECONDS)
        if old is not None:
            self._mix = class_mix(old, sample, self._lane.classes, self._mix)
        replicas = sample.lanes[self._lane.index].replicas
        if self._mix is None or replicas.running.size == 0:
            return 0
        at_proxy = waiting(seen, sample, self._lane) - float(replicas.waiting.sum())
        engines = Engines(
            replicas.running,
            replicas.waiting + at_proxy / replicas.running.size,
            replicas.tokens_held,
            replicas.kv_usage,
        )
        return self.step(engines, self._mix)

    def step(self, engines: Engines, mix: Mix) -> int:
        """+1, 0 or -1."""
        return latency_step(
            engines,
            self._service,
            mix,
            ttft_s=self._lane.ttft_s * self._parameters["slo_share"],
            itl_s=self._lane.itl_s * self._parameters["slo_share"],
            down_share=self._parameters["down_share"],
        )


class ThroughputLane(LoadLane):
    """With the throughput target."""

    def __init__(self, known: Known, lane: LaneFacts, parameters: Mapping[str, float], name: str) -> None:
        super().__init__(known, lane, parameters, name)
        if not math.isfinite(self._service.kv_tokens):
            raise BaselineError(
                f"CapacityLane {lane.name}: spec.selfHosted.profile.kvCacheTokens is missing, and baseline {name} is "
                "configured from it: declare it, or leave this baseline out"
            )

    def step(self, engines: Engines, mix: Mix) -> int:
        """+1, 0 or -1."""
        return throughput_step(
            engines,
            self._service.kv_tokens,
            mix,
            up_at=self._parameters["up_utilization"],
            down_at=self._parameters["down_utilization"],
        )


def dynamo_load(name: str, parameters: Mapping[str, float]) -> PerLane:
    """The scaler `dynamo-load`."""

    def make(known: Known, lane: LaneFacts) -> LoadLane:
        return LoadLane(known, lane, parameters, name)

    return PerLane(name, LOOP_SECONDS, make)


def dynamo_load_throughput(name: str, parameters: Mapping[str, float]) -> PerLane:
    """The scaler `dynamo-load-throughput`."""

    def make(known: Known, lane: LaneFacts) -> ThroughputLane:
        return ThroughputLane(known, lane, parameters, name)

    return PerLane(name, LOOP_SECONDS, make)
