"""Scalers that decide lane by lane, or model by model where a product knows variants; the rest is the same for all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from spillway.simulate.baselines.facts import LaneFacts, lane_facts, model_groups
from spillway.simulate.baselines.hpa_engine import Hpa, average_proposal
from spillway.simulate.baselines.signals import held, newest
from spillway.simulate.policy import Known, Observation, Sample

HPA_SYNC_SECONDS = 15.0


class LaneScaler(Protocol):
    """Decides one lane by the engines' metrics of that lane alone, which is its share of the demand."""

    def decide(self, seen: Observation, sample: Sample) -> int:
        """Replicas of the lane, from the newest sample; called at each tick."""


class GroupScaler(Protocol):
    """Decides all lanes of one model together."""

    def decide(self, seen: Observation, sample: Sample) -> Mapping[int, int]:
        """Replicas by lane index."""


class PerLane:
    """One scaler for each own lane. While metrics are missing, replicas stay."""

    def __init__(self, name: str, tick_seconds: float, make: Callable[[Known, LaneFacts], LaneScaler]) -> None:
        self.name = name
        self.tick_seconds = tick_seconds
        self._make = make
        self._lag_s = 0.0
        self._lanes: tuple[tuple[LaneFacts, LaneScaler], ...] = ()

    def start(self, known: Known) -> tuple[int, ...]:
        """Every lane at its minimum."""
        facts = lane_facts(known)
        self._lag_s = known.metrics_lag_s
        self._lanes = tuple((lane, self._make(known, lane)) for lane in facts)
        return tuple(lane.minimum for lane in facts)

    def act(self, seen: Observation) -> tuple[int, ...]:
        """Each lane's own decision within its bounds."""
        sample = newest(seen, self._lag_s)
        if sample is None:
            return tuple(counts.desired for counts in seen.counts)
        return tuple(lane.bounded(scaler.decide(seen, sample)) for lane, scaler in self._lanes)

    def hosted_share(self) -> tuple[float, ...]:
        """None: overflow is the spill rule's."""
        return ()


class PerModel:
    """One scaler for all lanes that serve the same classes, which exports a figure for each lane that an HPA follows.

    The HPA has its own sync, its default behaviour and an AverageValue of 1, as WVA's own guide sets it up. While
    metrics are missing, replicas stay.
    """

    def __init__(
        self, name: str, interval_s: float, make: Callable[[Known, tuple[LaneFacts, ...]], GroupScaler]
    ) -> None:
        self.name = name
        self.tick_seconds = HPA_SYNC_SECONDS
        self._interval_s = interval_s
        self._make = make
        self._lag_s = 0.0
        self._next_at = 0.0
        self._figures: dict[int, int] = {}
        self._hpas: tuple[Hpa, ...] = ()
        self._facts: tuple[LaneFacts, ...] = ()
        self._groups: tuple[GroupScaler, ...] = ()

    def start(self, known: Known) -> tuple[int, ...]:
        """Every lane at its minimum."""
        self._facts = lane_facts(known)
        self._lag_s = known.metrics_lag_s
        self._hpas = tuple(Hpa(lane.minimum, lane.maximum) for lane in self._facts)
        self._groups = tuple(
            self._make(known, tuple(self._facts[index] for index in group)) for group in model_groups(self._facts)
        )
        return tuple(lane.minimum for lane in self._facts)

    def act(self, seen: Observation) -> tuple[int, ...]:
        """A cycle of the engine when it is due, and a sync of every HPA."""
        replicas = tuple(counts.desired for counts in seen.counts)
        sample = newest(seen, self._lag_s)
        if sample is None:
            return replicas
        if seen.now >= self._next_at:
            self._next_at = seen.now + self._interval_s
            for group in self._groups:
                self._figures.update(group.decide(seen, sample))
        return tuple(
            lane.bounded(hpa.step(seen.now, now, [average_proposal(self._figures[lane.index], 1.0, replicas=now)]))
            for lane, hpa, now in zip(self._facts, self._hpas, replicas, strict=True)
        )

    def hosted_share(self) -> tuple[float, ...]:
        """None: overflow is the spill rule's."""
        return ()


def waiting(seen: Observation, sample: Sample, lane: LaneFacts) -> float:
    """Queued requests of a lane: at its engines, and its part of those that a hold keeps at the proxy.

    With a cap below the engines' own limit nothing queues at the engines, and a gateway with a queue exports it
    (llm-d's flow control does). The part is by Ready replicas; a lane alone has all.
    """
    queued = float(sample.lanes[lane.index].replicas.waiting.sum())
    at_proxy = held(sample, lane.classes)
    if at_proxy <= 0.0:
        return queued
    ready = sum(counts.ready for counts in seen.counts)
    share = seen.counts[lane.index].ready / ready if ready else 1.0 / len(seen.counts)
    return queued + at_proxy * share


def running(sample: Sample, lane: LaneFacts) -> float:
    """Requests that run on the lane's replicas."""
    return float(sample.lanes[lane.index].replicas.running.sum())
