"""KEDA with llm-d's SLO-aware trigger, the strongest open baseline (95.8% combined SLO at 5.93 replicas against 8).

s_raw = max(P90 TTFT / its objective, P90 TPOT / its objective) over 1 min rates; s is the mean over 45 s of
min(s_raw, 2.0), a value each 15 s. With n provisioned and r ready, c = r/n if 0 < r < n, else 1:
s > 0.55: n + ceil(n*(s*c/0.55 - 1)); s < 0.40: n - floor(n*(1 - s/0.40)); else n. An HPA follows that figure: up the
larger of 100% and 4 pods in 60 s with a window of 30 s, down 1 pod in 120 s with a window of 180 s.

Apparent defect: while replicas start, s*c may fall below 0.55 and the first branch then asks for *fewer* than n, which
takes away what was just ordered. `keda-slo` asks for at least n there; `keda-slo-as-written` does not.
The objectives are the strictest of the lane's classes, since the engine's histograms know no classes.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping

from spillway.simulate.baselines.facts import LaneFacts
from spillway.simulate.baselines.hpa_engine import Behavior, PolicyKind, ScalingPolicy, ScalingRules
from spillway.simulate.baselines.keda import SYNC_SECONDS, KedaLane
from spillway.simulate.baselines.lanewise import PerLane
from spillway.simulate.baselines.signals import RATE_WINDOW_SECONDS, before, quantile
from spillway.simulate.policy import (
    ITL_BUCKETS_S,
    SCRAPE_SECONDS,
    TTFT_BUCKETS_S,
    Known,
    LaneCounts,
    Observation,
    Sample,
)

DEFAULTS: Mapping[str, float] = {"up_at": 0.55, "down_at": 0.40}
QUANTILE = 0.9
MEAN_SECONDS = 45.0
MOST_STRESS = 2.0
BEHAVIOR = Behavior(
    up=ScalingRules((ScalingPolicy(PolicyKind.PERCENT, 100, 60.0), ScalingPolicy(PolicyKind.PODS, 4, 60.0)), 30.0),
    down=ScalingRules((ScalingPolicy(PolicyKind.PODS, 1, 120.0),), 180.0),
)


def wanted(stress: float, provisioned: int, ready: int, parameters: Mapping[str, float], *, corrected: bool) -> int:
    """The trigger's figure: replicas for this stress."""
    up_at, down_at = parameters["up_at"], parameters["down_at"]
    share = ready / provisioned if 0 < ready < provisioned else 1.0
    if stress > up_at:
        more = math.ceil(provisioned * (stress * share / up_at - 1.0) - 1e-9)
        return provisioned + (max(more, 0) if corrected else more)
    if stress < down_at:
        return provisioned - math.floor(provisioned * (1.0 - stress / down_at) + 1e-9)
    return provisioned


class SloTrigger:
    """Stress of one lane."""

    def __init__(self, lane: LaneFacts, parameters: Mapping[str, float], *, corrected: bool) -> None:
        self._lane = lane
        self._parameters = parameters
        self._corrected = corrected
        self._recent: deque[tuple[float, float]] = deque()

    def metrics(self, seen: Observation, sample: Sample, counts: LaneCounts) -> list[tuple[float, float]]:
        """The wanted replicas, against 1."""
        if not self._recent or self._recent[-1][0] < sample.at:
            self._recent.append((sample.at, self._stress(seen, sample)))
            while self._recent[0][0] <= sample.at - MEAN_SECONDS:
                self._recent.popleft()
        stress = sum(value for _, value in self._recent) / len(self._recent)
        figure = wanted(stress, counts.desired, counts.ready, self._parameters, corrected=self._corrected)
        return [(float(figure), 1.0)]

    def _stress(self, seen: Observation, sample: Sample) -> float:
        old = before(seen.samples, RATE_WINDOW_SECONDS)
        if old is None or sample.at - old.at < SCRAPE_SECONDS / 2:
            return 0.0
        a, b = old.lanes[self._lane.index], sample.lanes[self._lane.index]
        ttft = quantile(TTFT_BUCKETS_S, a.ttft, b.ttft, QUANTILE)
        tpot = quantile(ITL_BUCKETS_S, a.tpot, b.tpot, QUANTILE)
        # Without a request there is no stress.
        by_ttft = 0.0 if ttft is None else ttft / self._lane.ttft_s
        by_tpot = 0.0 if tpot is None else tpot / self._lane.itl_s
        return min(max(by_ttft, by_tpot), MOST_STRESS)


def keda_slo(name: str, parameters: Mapping[str, float], *, corrected: bool = True) -> PerLane:
    """The scaler `keda-slo`, or as written."""

    def make(known: Known, lane: LaneFacts) -> KedaLane:
        del known
        return KedaLane(lane, SloTrigger(lane, parameters, corrected=corrected), BEHAVIOR)

    return PerLane(name, SYNC_SECONDS, make)
