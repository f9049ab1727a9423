"""HorizontalPodAutoscaler, Kubernetes 1.36 (autoscaling/v2), on vLLM's metrics.

Recipes: vLLM production-stack's is the sum of vllm:num_requests_waiting against a Value of 1; llm-d's is
vllm:num_requests_running against an AverageValue of 16 for each replica. Sync each 15 s, tolerance 10%, up at once by
the larger of +100% and +4 pods in 15 s, down to the highest recommendation of the last 300 s; at least 1 replica.

spec.behavior is spelled out with its documented defaults. An object without it runs other code in the controller,
which allows max(2 n, 4) replicas a step; `behavior: 0` is that.
"""

from __future__ import annotations

from collections.abc import Mapping

from spillway.simulate.baselines.facts import LaneFacts
from spillway.simulate.baselines.hpa_engine import Behavior, Hpa, average_proposal, value_proposal
from spillway.simulate.baselines.lanewise import PerLane, running, waiting
from spillway.simulate.policy import Known, Observation, Sample

SYNC_SECONDS = 15.0
DEFAULTS: Mapping[str, float] = {"waiting_total": 1.0, "running_per_replica": 0.0, "behavior": 1.0}
"""Targets of the two recipes; 0: that metric is not used. With both, the higher proposal counts."""


class HpaLane:
    """The HPA of one lane."""

    def __init__(self, lane: LaneFacts, parameters: Mapping[str, float]) -> None:
        self._lane = lane
        self._waiting = parameters["waiting_total"]
        self._running = parameters["running_per_replica"]
        self._hpa = Hpa(lane.minimum, lane.maximum, Behavior() if parameters["behavior"] else None)

    def decide(self, seen: Observation, sample: Sample) -> int:
        """One sync."""
        counts = seen.counts[self._lane.index]
        proposals = []
        if self._waiting:
            total = waiting(seen, sample, self._lane)
            proposals.append(value_proposal(total, self._waiting, current=counts.desired, ready=counts.ready))
        if self._running:
            total = running(sample, self._lane)
            proposals.append(average_proposal(total, self._running, replicas=counts.desired))
        return self._hpa.step(seen.now, counts.desired, proposals)


def hpa(name: str, parameters: Mapping[str, float]) -> PerLane:
    """The scaler `hpa`."""

    def make(known: Known, lane: LaneFacts) -> HpaLane:
        del known
        return HpaLane(lane, parameters)

    return PerLane(name, SYNC_SECONDS, make)
