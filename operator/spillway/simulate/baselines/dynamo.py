"""NVIDIA Dynamo's SLA planner (aggregated form), each 180 s.

Predicts the next interval's requests, input and output tokens (predictors.py), and from the declared profile takes the
largest batch bs that meets TTFT and ITL, bs <= min(KV/(I+O/2), max_num_seqs); rps = bs/(O*t_iter);
replicas = max(ceil(demand/rps), min). p = TTFT observed/expected and d = ITL observed/expected correct the profile:
the batch must meet ITL/d and TTFT/min(1, p); as in the planner, p never asks for more (a queue is not a slow engine).
Expected latencies are the profile's at the interval's mean batch.

The demand of a lane is the classes' rate at the gateway (Dynamo's frontend counts every request, also those that are
then spilled) times the lane's share of what the gateway routes to own lanes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from spillway.simulate.baselines.facts import LaneFacts
from spillway.simulate.baselines.lanewise import PerLane
from spillway.simulate.baselines.predictors import ArimaPredictor, ConstantPredictor
from spillway.simulate.baselines.profile import Mix, Service
from spillway.simulate.baselines.signals import arrivals_per_second, before, class_mix, lane_shares, mean
from spillway.simulate.policy import Known, Observation, Sample

INTERVAL_SECONDS = 180.0
DEFAULTS: Mapping[str, float] = {"slo_share": 1.0, "arima": 1.0, "corrections": 1.0}
"""`slo_share`: share of the objectives that the planner is given; `arima` 0: the constant predictor."""
_CORRECTION = (0.2, 5.0)


def replicas_for(service: Service, mix: Mix, requests_per_second: float, *, ttft_s: float, itl_s: float) -> int:
    """The planner's aggregated formula, without corrections."""
    batch = service.largest_batch(mix, itl_s, ttft_s)
    return math.ceil(requests_per_second / service.requests_per_second(batch, mix) - 1e-9)


class SlaLane:
    """The planner of one lane."""

    def __init__(self, known: Known, lane: LaneFacts, parameters: Mapping[str, float], name: str) -> None:
        self._lane = lane
        self._lanes = tuple(range(len(known.own)))
        self._service = lane.declared(name)
        self._share = parameters["slo_share"]
        self._corrections = bool(parameters["corrections"])
        make = ArimaPredictor if parameters["arima"] else ConstantPredictor
        self._rate, self._input, self._output = make(), make(), make()
        self._mix: Mix | None = None
        self.itl_correction = 1.0
        self.ttft_correction = 1.0

    def decide(self, seen: Observation, sample: Sample) -> int:
        """One adjustment."""
        old = before(seen.samples, INTERVAL_SECONDS)
        current = seen.counts[self._lane.index].desired
        if old is None:
            return current
        self._mix = class_mix(old, sample, self._lane.classes, self._mix)
        if self._mix is None:
            return current
        share = lane_shares(old, sample, self._lane.classes, self._lanes)[self._lane.index]
        self._rate.add(arrivals_per_second(old, sample, self._lane.classes) * share)
        self._input.add(self._mix.input_tokens)
        self._output.add(self._mix.output_tokens)
        if self._corrections:
            self._correct(seen.samples, old, self._mix)
        mix = Mix(max(self._input.predict(), 1.0), max(self._output.predict(), 1.0))
        return replicas_for(
            self._service,
            mix,
            self._rate.predict(),
            ttft_s=self._lane.ttft_s * self._share / self.ttft_correction,
            itl_s=self._lane.itl_s * self._share / self.itl_correction,
        )

    def _correct(self, samples: Sequence[Sample], old: Sample, mix: Mix) -> None:
        a, b = old.lanes[self._lane.index], samples[-1].lanes[self._lane.index]
        itl, ttft = mean(a.itl, b.itl), mean(a.ttft, b.ttft)
        batch = self._mean_batch(samples, old.at)
        if itl is None or ttft is None or batch is None:
            return
        iteration_ms = self._service.iteration_ms(max(batch, 1.0), mix)
        low, high = _CORRECTION
        self.itl_correction = min(max(1000.0 * itl / iteration_ms, low), high)
        expected_ms = iteration_ms + self._service.prompt_ms(mix)
        self.ttft_correction = min(max(1000.0 * ttft / expected_ms, low), 1.0)

    def _mean_batch(self, samples: Sequence[Sample], since: float) -> float | None:
        running = engines = 0.0
        for sample in reversed(samples):
            if sample.at <= since:
                break
            batch = sample.lanes[self._lane.index].replicas.running
            running += float(batch.sum())
            engines += batch.size
        return running / engines if engines else None


def dynamo_sla(name: str, parameters: Mapping[str, float]) -> PerLane:
    """The scaler `dynamo-sla`."""

    def make(known: Known, lane: LaneFacts) -> SlaLane:
        return SlaLane(known, lane, parameters, name)

    return PerLane(name, INTERVAL_SECONDS, make)
