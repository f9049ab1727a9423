"""What one run comes to, by day, class and lane: small enough to keep, enough for every figure of a side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spillway.simulate.outcome import Outcome, Served
from spillway.simulate.score import SeedScore, replica_seconds, score, scored_intervals, scored_seconds
from spillway.simulate.world import Workload, World

Document = dict[str, Any]
BUSY_QUANTILE = 0.99


@dataclass(frozen=True, slots=True)
class LaneRun:
    """One lane in the scored time of one run."""

    usd: float
    requests: int
    tokens: float
    replica_seconds: float = 0.0
    replicas_peak: int = 0
    gpu_seconds: float = 0.0
    busy_batch: float = 0.0
    """Own lanes: requests in flight per Ready replica that 99% of the scrapes stay below."""


@dataclass(frozen=True, slots=True)
class ClassRun:
    """One class in the scored time of one run."""

    requests: int
    tokens: float
    misses: int
    hosted_requests: int
    usd: float
    """Hosted dollars, and its part by tokens of the own lanes' GPU dollars."""
    attainment: float
    """By requests, 0 to 1."""
    held: bool


@dataclass(frozen=True, slots=True)
class RunFigures:
    """One run."""

    days_usd: tuple[float, ...]
    """GPU and hosted dollars by day of the scored time."""
    gpu_usd: float
    hosted_usd: float
    scored_seconds: float
    lanes: dict[str, LaneRun]
    classes: dict[str, ClassRun]

    @classmethod
    def parse(cls, document: Document) -> RunFigures:
        """From JSON, as `dataclasses.asdict` of it was written."""
        return cls(
            **document
            | {
                "days_usd": tuple(document["days_usd"]),
                "lanes": {name: LaneRun(**each) for name, each in document["lanes"].items()},
                "classes": {key: ClassRun(**each) for key, each in document["classes"].items()},
            }
        )


def figures_of(world: World, workload: Workload, outcome: Outcome) -> RunFigures:
    """All figures of one run."""
    scored = score(world, workload, outcome)
    counted = world.scored(workload.arrival_s)
    lanes = _own_lanes(world, workload, outcome, counted) | _hosted_lanes(world, workload, outcome, counted)
    return RunFigures(
        days_usd=tuple(day.cost_usd for day in scored.days),
        gpu_usd=scored.gpu_cost_usd,
        hosted_usd=scored.hosted_cost_usd,
        scored_seconds=scored_seconds(world),
        lanes=lanes,
        classes=_classes(world, workload, outcome, scored, lanes),
    )


def _tokens(workload: Workload) -> NDArray[np.float64]:
    return (workload.input_tokens + workload.output_tokens).astype(np.float64)


def _is_hosted(outcome: Outcome) -> NDArray[np.bool_]:
    served = outcome.requests.served
    return (served >= Served.HOSTED_BY_WEIGHT) & (served <= Served.HOSTED_NO_REPLICA)


def _own_lanes(world: World, workload: Workload, outcome: Outcome, counted: NDArray[np.bool_]) -> dict[str, LaneRun]:
    log, requests = outcome.replicas, outcome.requests
    seconds = replica_seconds(world, outcome, scored_intervals(world)) if len(log.lane) else np.zeros(0)
    tokens = _tokens(workload)
    found = {}
    for index, lane in enumerate(world.own):
        mine = counted & (requests.served == Served.OWN) & (requests.lane == index)
        paid = float(seconds[log.lane == index].sum())
        found[lane.name] = LaneRun(
            usd=paid * lane.usd_per_replica_hour / 3600.0,
            requests=int(np.count_nonzero(mine)),
            tokens=float(tokens[mine].sum()),
            replica_seconds=paid,
            replicas_peak=_peak(world, outcome, index),
            gpu_seconds=paid * lane.gpus_per_replica,
            busy_batch=_busy_batch(world, outcome, index),
        )
    return found


def _peak(world: World, outcome: Outcome, lane: int) -> int:
    """Most replicas of a lane that are paid for at a time, in the scored time."""
    log = outcome.replicas
    mine = (log.lane == lane) & (log.ended_s > log.created_s) & (log.ended_s > world.warmup_s)
    starts = np.maximum(log.created_s[mine], world.warmup_s)
    moments = np.concatenate((starts, log.ended_s[mine]))
    steps = np.concatenate((np.ones(len(starts)), -np.ones(len(starts))))
    order = np.lexsort((steps, moments))  # who ends goes before who begins
    return int(np.cumsum(steps[order]).max(initial=0.0))


def _busy_batch(world: World, outcome: Outcome, lane: int) -> float:
    timeline = outcome.timeline
    ready = timeline.ready[:, lane]
    some = (ready > 0) & world.scored(timeline.at_s)
    if not some.any():
        return 0.0
    return float(np.quantile(timeline.in_flight[some, lane] / ready[some], BUSY_QUANTILE))


def _hosted_lanes(world: World, workload: Workload, outcome: Outcome, counted: NDArray[np.bool_]) -> dict[str, LaneRun]:
    requests, tokens, hosted = outcome.requests, _tokens(workload), _is_hosted(outcome)
    found = {}
    for index, lane in enumerate(world.hosted):
        mine = counted & hosted & (requests.lane == index)
        usd = float(requests.hosted_usd[mine].sum())
        found[lane.name] = LaneRun(usd, int(np.count_nonzero(mine)), float(tokens[mine].sum()))
    return found


def _classes(
    world: World, workload: Workload, outcome: Outcome, scored: SeedScore, lanes: dict[str, LaneRun]
) -> dict[str, ClassRun]:
    requests, tokens, hosted = outcome.requests, _tokens(workload), _is_hosted(outcome)
    counted = world.scored(workload.arrival_s)
    found = {}
    for index, truth in enumerate(world.classes):
        mine = counted & (workload.class_index == index)
        usd = float(requests.hosted_usd[mine].sum())
        for number, lane in enumerate(world.own):
            served = lanes[lane.name].tokens
            if served > 0:
                its = mine & (requests.served == Served.OWN) & (requests.lane == number)
                usd += lanes[lane.name].usd * float(tokens[its].sum()) / served
        result = scored.slo_attainment_by_class[truth.key]
        found[truth.key] = ClassRun(
            requests=result.requests,
            tokens=float(tokens[mine].sum()),
            misses=round(result.requests * (1.0 - result.attainment_requests)),
            hosted_requests=int(np.count_nonzero(mine & hosted)),
            usd=usd,
            attainment=result.attainment_requests,
            held=result.held,
        )
    return found
