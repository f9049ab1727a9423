"""llm-d Workload Variant Autoscaler, model-based engine (each 60 s). The own lanes of one model are its variants.
WVA only exports the replicas that it wants; an HPA on that figure sets them (lanewise.PerModel).

lambda* is the largest arrival rate at which a replica's queue (wva_queue.py) holds mean TTFT and ITL within the
strictest SLO of the lane's classes; replicas = max(min, ceil(lambda/lambda*)), cheapest cost per lambda* first up to
its maximum. lambda is the classes' rate at the gateway, wherever requests were served, so that what spills is demand
as well; I and O are the means of what ended in the last minute.

- `wva-model`: the newer form of the latencies, with the declared profile.
- `wva-model-v04`: the form of v0.1-0.4, with the declared profile.
- `wva-model-ekf`: the newer form, alpha, beta, gamma learned by an extended Kalman filter from 5 ms, 0.05, 0.00005
  and the measured mean TTFT and ITL; measurements with NIS >= 7.378 are rejected. WVA's noise is not published with
  it: here a state's standard deviation starts at its value and drifts 5% a cycle, measurements have 10%.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import Enum, auto

import numpy as np

from spillway.simulate.baselines.facts import LaneFacts
from spillway.simulate.baselines.lanewise import PerModel
from spillway.simulate.baselines.profile import Mix
from spillway.simulate.baselines.signals import RATE_WINDOW_SECONDS, arrivals_per_second, before, class_mix, mean
from spillway.simulate.baselines.wva_queue import Coefficients, ReplicaQueue, first_form, newer_form
from spillway.simulate.policy import Known, Observation, Sample
from spillway.simulate.world import Floats

INTERVAL_SECONDS = 60.0
DEFAULTS: Mapping[str, float] = {"slo_share": 1.0}
"""Share of the objectives that the queue's means are held to."""
SEQUENCES = 256
NIS_LIMIT = 7.378
START = (5.0, 0.05, 0.00005)
_GRID = 0.02
"""Mixes within 2% share a solution."""


class Form(Enum):
    """Which latencies the queue gets."""

    FIRST = auto()
    NEWER = auto()
    LEARNED = auto()


class Filter:
    """Extended Kalman filter of (alpha, beta, gamma); its measurement is (mean TTFT, mean ITL) in milliseconds."""

    def __init__(self) -> None:
        self.state: Floats = np.array(START)
        self._covariance = _diagonal(self.state**2)
        self.rejected = 0

    def update(self, ttft_ms: float, itl_ms: float, concurrency: float, mix: Mix) -> bool:
        """Take a measurement in; False if it was rejected."""
        drift = _diagonal((0.05 * self.state) ** 2)
        predicted = self._covariance + drift
        jacobian = self._jacobian(concurrency, mix)
        residual: Floats = np.array([ttft_ms, itl_ms]) - jacobian @ self.state
        noise = _diagonal((0.1 * np.array([ttft_ms, itl_ms])) ** 2)
        spread: Floats = jacobian @ predicted @ jacobian.T + noise
        if float(residual @ np.linalg.solve(spread, residual)) >= NIS_LIMIT:
            self._covariance = predicted
            self.rejected += 1
            return False
        gain: Floats = np.asarray(np.linalg.solve(spread, jacobian @ predicted).T, dtype=np.float64)
        state: Floats = self.state + gain @ residual
        self.state = state.clip(min=1e-9)
        self._covariance = (np.eye(len(START)) - gain @ jacobian) @ predicted
        return True

    @staticmethod
    def _jacobian(n: float, mix: Mix) -> Floats:
        # Both latencies are linear in alpha, beta, gamma.
        by_beta = n * (mix.input_tokens + mix.output_tokens) / (mix.output_tokens + 1.0)
        by_gamma = n * mix.held
        return np.array(
            [
                [1.0, by_beta + mix.input_tokens, by_gamma + mix.input_tokens],
                [1.0, by_beta + 1.0, by_gamma + mix.held],
            ]
        )


def _diagonal(values: Floats) -> Floats:
    matrix: Floats = np.zeros((len(values), len(values)))
    np.fill_diagonal(matrix, values)
    return matrix


class Variant:
    """lambda* of one lane, kept for mixes that were met before."""

    def __init__(self, lane: LaneFacts, form: Form, slo_share: float, name: str) -> None:
        self.lane = lane
        self._form = form
        self._slo_share = slo_share
        self._service = None if form is Form.LEARNED else lane.declared(name)
        self._rates: dict[tuple[int, int], float] = {}
        self.filter = Filter() if form is Form.LEARNED else None

    def highest_rate(self, mix: Mix) -> float:
        """Requests a second that one replica takes within the SLO."""
        key = (round(math.log(mix.input_tokens) / _GRID), round(math.log(mix.output_tokens) / _GRID))
        if self.filter is not None:
            return self._solve(mix)
        rate = self._rates.get(key)
        if rate is None:
            rate = self._rates[key] = self._solve(Mix(math.exp(key[0] * _GRID), math.exp(key[1] * _GRID)))
        return rate

    def observe(self, old: Sample, new: Sample, mix: Mix) -> None:
        """Teach the filter."""
        if self.filter is None:
            return
        a, b = old.lanes[self.lane.index], new.lanes[self.lane.index]
        ttft, itl = mean(a.ttft, b.ttft), mean(a.itl, b.itl)
        if ttft is None or itl is None or b.replicas.running.size == 0:
            return
        self.filter.update(ttft * 1000.0, itl * 1000.0, float(b.replicas.running.mean()), mix)

    def _solve(self, mix: Mix) -> float:
        service = self._service
        if self.filter is not None:
            alpha, beta, gamma = (float(value) for value in self.filter.state)
            latencies = newer_form(Coefficients(alpha, beta, gamma), mix)
        elif service is not None and self._form is Form.FIRST:
            latencies = first_form(service, mix)
        elif service is not None:
            latencies = newer_form(Coefficients.declared(service, mix), mix)
        declared = self.lane.service
        sequences = SEQUENCES if declared is None else declared.most_sequences(mix)
        queue = ReplicaQueue(latencies, mix.output_tokens, sequences)
        return queue.highest_rate(self.lane.ttft_s * self._slo_share, self.lane.itl_s * self._slo_share)


class ModelBased:
    """The model-based engine over the variants of one model."""

    def __init__(self, lanes: Sequence[LaneFacts], form: Form, parameters: Mapping[str, float], name: str) -> None:
        self._variants = [Variant(lane, form, parameters["slo_share"], name) for lane in lanes]
        self._classes = tuple(sorted({index for lane in lanes for index in lane.classes}))
        self._mix: Mix | None = None

    def decide(self, seen: Observation, sample: Sample) -> Mapping[int, int]:
        """One cycle."""
        replicas = {variant.lane.index: seen.counts[variant.lane.index].desired for variant in self._variants}
        old = before(seen.samples, RATE_WINDOW_SECONDS)
        if old is None:
            return replicas
        self._mix = class_mix(old, sample, self._classes, self._mix)
        if self._mix is None:
            return replicas
        for variant in self._variants:
            variant.observe(old, sample, self._mix)
        return self.allocate(arrivals_per_second(old, sample, self._classes), self._mix)

    def allocate(self, arrivals: float, mix: Mix) -> Mapping[int, int]:
        """Replicas by lane for an arrival rate: the cheapest variant first."""
        rates = [(variant.lane, variant.highest_rate(mix)) for variant in self._variants]
        wanted = {lane.index: lane.minimum for lane, _ in rates}
        left = arrivals - sum(lane.minimum * rate for lane, rate in rates)
        for lane, rate in sorted(rates, key=lambda item: item[0].usd_per_hour / item[1]):
            if left <= 0.0:
                break
            more = min(lane.maximum - wanted[lane.index], math.ceil(left / rate - 1e-9))
            wanted[lane.index] += more
            left -= more * rate
        return wanted


def wva_model(name: str, parameters: Mapping[str, float], *, form: Form = Form.NEWER) -> PerModel:
    """The scaler `wva-model`, or with another form of the latencies."""

    def make(known: Known, lanes: tuple[LaneFacts, ...]) -> ModelBased:
        del known
        return ModelBased(lanes, form, parameters, name)

    return PerModel(name, INTERVAL_SECONDS, make)
