"""Baselines that never scale: `static-peak`, sized for the 99.9th percentile of demand, and `api-only`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from spillway.simulate.baselines.facts import BaselineError, LaneFacts, lane_facts, may_be_hosted, model_groups
from spillway.simulate.baselines.profile import Mix
from spillway.simulate.policy import Known, Observation
from spillway.simulate.world import Workload

PEAK_QUANTILE = 0.999
PEAK_BIN_SECONDS = 60.0
NEVER_SECONDS = 3600.0
"""Tick of a policy that has nothing to decide."""


class StaticPeak:
    """The same replicas all the time."""

    def __init__(self, name: str, parameters: Mapping[str, float], peak_replicas: Sequence[int]) -> None:
        self.name = name
        self.tick_seconds = NEVER_SECONDS
        self._share = parameters["peak_share"]
        self._peak = tuple(peak_replicas)
        self._replicas: tuple[int, ...] = ()

    def start(self, known: Known) -> tuple[int, ...]:
        """The share of the peak within each lane's bounds."""
        facts = lane_facts(known)
        if len(facts) != len(self._peak):
            raise BaselineError(f"{self.name}: peak_replicas has {len(self._peak)} figures for {len(facts)} own lanes")
        self._replicas = tuple(
            lane.bounded(math.ceil(self._share * peak - 1e-9)) for lane, peak in zip(facts, self._peak, strict=True)
        )
        return self._replicas

    def act(self, seen: Observation) -> tuple[int, ...]:
        """No change."""
        del seen
        return self._replicas

    def hosted_share(self) -> tuple[float, ...]:
        """None: overflow is the spill rule's."""
        return ()


class ApiOnly:
    """Everything that may go hosted does; own lanes keep their minimum, and what the other classes need at their peak.

    `peak_replicas` are those of `peak_replicas(known, workload, hosted_never=True)`.
    """

    def __init__(self, name: str, peak_replicas: Sequence[int]) -> None:
        self.name = name
        self.tick_seconds = NEVER_SECONDS
        self._peak = tuple(peak_replicas)
        self._replicas: tuple[int, ...] = ()
        self._share: tuple[float, ...] = ()

    def start(self, known: Known) -> tuple[int, ...]:
        """The lanes' own minimum, 0 included, or the peak of classes that may not be hosted."""
        bounds = [lane.resource.spec.self_hosted for lane in known.own]
        hosted = [may_be_hosted(known, item) for item in known.classes]
        peak = self._peak or (0,) * len(bounds)
        if len(peak) != len(bounds):
            raise BaselineError(f"{self.name}: peak_replicas has {len(peak)} figures for {len(bounds)} own lanes")
        if not all(hosted) and not self._peak:
            missing = known.classes[hosted.index(False)].metadata.key
            raise BaselineError(f"{self.name}: WorkloadClass {missing} may not be hosted: peak_replicas must be given")
        self._share = tuple(1.0 if may else 0.0 for may in hosted)
        self._replicas = tuple(
            0 if own is None else min(max(own.replicas.min, need), own.replicas.max)
            for own, need in zip(bounds, peak, strict=True)
        )
        return self._replicas

    def act(self, seen: Observation) -> tuple[int, ...]:
        """No change."""
        del seen
        return self._replicas

    def hosted_share(self) -> tuple[float, ...]:
        """1 for each class that a hosted lane may take."""
        return self._share


def peak_replicas(known: Known, workload: Workload, *, hosted_never: bool = False) -> tuple[int, ...]:
    """Replicas by own lane for the 99.9th percentile over minutes of the work that arrives.

    A request's work on a lane is its share of a replica's time at the largest batch that holds the objectives for the
    mean request, by the declared profile. Lanes of one model are filled cheapest work first, each to its maximum.

    Args:
        hosted_never: count only the classes that no hosted lane may take.

    Raises:
        BaselineError: a lane that is needed declares no profile.
    """
    facts = lane_facts(known)
    replicas = [0] * len(facts)
    for group in model_groups(facts):
        lanes = [facts[index] for index in group]
        classes = {index for lane in lanes for index in lane.classes}
        if hosted_never:
            classes = {index for index in classes if not may_be_hosted(known, known.classes[index])}
        chosen = np.isin(workload.class_index, np.array(sorted(classes), dtype=np.int64))
        if bool(chosen.any()):
            for lane, count in _fill(lanes, workload, chosen):
                replicas[lane.index] = count
    return tuple(replicas)


def _fill(lanes: Sequence[LaneFacts], workload: Workload, chosen: NDArray[np.bool_]) -> list[tuple[LaneFacts, int]]:
    peaks = [(lane, _peak_work(lane, workload, chosen)) for lane in lanes]
    left = 1.0
    found = []
    for lane, work in sorted(peaks, key=lambda item: item[0].usd_per_hour * item[1]):
        count = min(lane.maximum, math.ceil(left * work - 1e-9)) if work > 0.0 else 0
        left = max(0.0, left - count / work) if work > 0.0 else 0.0
        found.append((lane, count))
    return found


def _peak_work(lane: LaneFacts, workload: Workload, chosen: NDArray[np.bool_]) -> float:
    service = lane.declared("static-peak")
    prompt = workload.input_tokens[chosen].astype(np.float64)
    output = np.maximum(workload.output_tokens[chosen].astype(np.float64), 1.0)
    batch = service.largest_batch(Mix(float(prompt.mean()), float(output.mean())), lane.itl_s, lane.ttft_s)
    seconds = (
        (service.alpha_ms / batch + service.beta_ms) * output
        + service.gamma_ms_per_ktoken * output * (prompt + output / 2.0) / 1000.0
        + service.prefill_ms_per_ktoken * prompt / 1000.0
    ) / 1000.0
    arrival = workload.arrival_s[chosen]
    bins = (arrival / PEAK_BIN_SECONDS).astype(np.int64)
    span = int(workload.arrival_s[-1] / PEAK_BIN_SECONDS) + 1
    work = np.bincount(bins, weights=seconds, minlength=span) / PEAK_BIN_SECONDS
    return float(np.quantile(work, PEAK_QUANTILE))
