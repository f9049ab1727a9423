"""The score of one policy on one seed: dollars, objectives held, and what it did to get there.

Requests that arrive in the scored window count wherever they end. Replicas are billed from their creation, from the
warm-up's end at the earliest, until their last request has ended and, when scaled in, their node is released.
Collection gaps are not scored: their arrivals and their GPU time are left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spillway.api import LatencyClass
from spillway.simulate.outcome import Outcome, Served
from spillway.simulate.selection import Selection, chosen
from spillway.simulate.world import Floats, Integers, Interval, Workload, World

DAY_SECONDS = 86_400.0
HOUR_SECONDS = 3_600.0
MISS_FACTORS = (0, 3, 10)
"""A miss is charged this many times the request's hosted price in `SeedScore.cost_with_misses_usd`."""
HOUR_MIN_REQUESTS = 1_000
"""Class-hours with fewer requests are not looked at one by one."""
HOUR_SLACK = 0.05
"""How far attainment may fall below the target in one class-hour."""
HOURS_HELD = 0.95
"""Share of the looked-at class-hours in which attainment stays within the slack."""
ROUNDING = 1e-9
"""0.99 - 0.05 is not 0.94 in binary: exactly at the target is held."""

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ClassScore:
    """One class. A class without scored requests has attainment 1."""

    requests: int
    attainment_requests: float
    """Share of requests that met the objective."""
    attainment_tokens: float
    """The same, each request weighted by its input and output tokens."""
    hours: int
    """Class-hours with enough requests to be looked at one by one."""
    hours_held: int
    """Of these, the ones within 5 points of the target, by requests and by tokens."""
    held: bool


@dataclass(frozen=True, slots=True)
class DayScore:
    """One day from the warm-up's end: a block of the bootstrap. The last one may be shorter."""

    seconds: float
    """Scored seconds."""
    requests: int
    misses: int
    gpu_cost_usd: float
    hosted_cost_usd: float
    miss_price_usd: float
    """Hosted price of the requests that missed."""

    @property
    def cost_usd(self) -> float:
        """GPU and hosted dollars."""
        return self.gpu_cost_usd + self.hosted_cost_usd


@dataclass(frozen=True, slots=True)
class SeedScore:
    """Everything that is said of one policy on one seed."""

    cost_usd: float
    cost_with_misses_usd: dict[str, float]
    """By `MISS_FACTORS` as text."""
    gpu_cost_usd: float
    hosted_cost_usd: float
    gpu_hours: float
    slo_held: bool
    slo_attainment: float
    """Over the requests of all classes."""
    slo_attainment_by_class: dict[str, ClassScore]
    spilled_token_share: float
    """Share of tokens that ended on hosted lanes."""
    scale_ups: int
    scale_downs: int
    direction_changes_per_hour: float
    """Changes of the desired replicas against the direction of the lane's change before."""
    deadline_misses: int
    decide_ms_p50: float
    decide_ms_p99: float
    days: tuple[DayScore, ...]


def score(world: World, workload: Workload, outcome: Outcome) -> SeedScore:
    """Score one run. Raises ValueError where the outcome doesn't belong to the workload."""
    if len(outcome.requests.served) != workload.size:
        raise ValueError(
            f"outcome holds {len(outcome.requests.served)} requests, the workload {workload.size}: "
            "score an outcome against the workload that it was simulated with"
        )
    scored = world.scored(workload.arrival_s)
    met = objectives_met(world, workload, outcome)
    by_class = {
        truth.key: _class_score(workload, met, scored & (workload.class_index == index), truth.attainment)
        for index, truth in enumerate(world.classes)
    }
    days = _days(world, workload, outcome, scored, met)
    gpu_usd, hosted_usd = sum(day.gpu_cost_usd for day in days), sum(day.hosted_cost_usd for day in days)
    miss_usd = sum(day.miss_price_usd for day in days)
    ups, downs, turns = _changes(world, outcome)
    deferrable = np.array([c.latency is LatencyClass.DEFERRABLE for c in world.classes], dtype=np.bool_)
    decide_ms = outcome.decide_s * 1000.0
    return SeedScore(
        cost_usd=gpu_usd + hosted_usd,
        cost_with_misses_usd={str(factor): gpu_usd + hosted_usd + factor * miss_usd for factor in MISS_FACTORS},
        gpu_cost_usd=gpu_usd,
        hosted_cost_usd=hosted_usd,
        gpu_hours=_gpu_hours(world, outcome),
        slo_held=all(c.held for c in by_class.values()),
        slo_attainment=_share(met, scored),
        slo_attainment_by_class=by_class,
        spilled_token_share=_spilled(workload, outcome, scored),
        scale_ups=ups,
        scale_downs=downs,
        direction_changes_per_hour=turns * HOUR_SECONDS / max(scored_seconds(world), 1.0),
        deadline_misses=int(np.count_nonzero(scored & ~met & deferrable[workload.class_index])),
        decide_ms_p50=float(np.percentile(decide_ms, 50)) if len(decide_ms) else 0.0,
        decide_ms_p99=float(np.percentile(decide_ms, 99)) if len(decide_ms) else 0.0,
        days=days,
    )


def objectives_met(world: World, workload: Workload, outcome: Outcome) -> Flags:
    """(N,) whether each request met its class's objective: latencies, or the deadline of deferrable ones."""
    log = outcome.requests
    met: Flags = np.empty(workload.size, dtype=np.bool_)
    for index, truth in enumerate(world.classes):
        mine = chosen(workload.class_index == index)
        if truth.latency is LatencyClass.DEFERRABLE:
            met[mine] = log.end_s[mine] <= workload.arrival_s[mine] + truth.deadline_s
        else:  # a single token has no latency between tokens: NaN
            met[mine] = (log.ttft_s[mine] <= truth.ttft_slo_s) & ~(log.itl_s[mine] > truth.itl_slo_s)
    met &= ~np.isin(log.served, (Served.HOSTED_BY_PATIENCE, Served.REJECTED, Served.FAILED))
    return met


def hosted_price_usd(world: World, workload: Workload, lane: int) -> Floats:
    """(N,) dollars of each request at a hosted lane, with the world's share of cached input."""
    truth = world.hosted[lane]
    cached = world.cached_share
    per_input = (1.0 - cached) * truth.usd_per_input_token + cached * truth.usd_per_cached_input_token
    price: Floats = per_input * workload.input_tokens + truth.usd_per_output_token * workload.output_tokens
    return price


def miss_price_usd(world: World, workload: Workload) -> Floats:
    """(N,) hosted price of each request: at its class's cheapest lane; where no hosted lane may take the class, at
    the cheapest one there is; 0 without any."""
    price = np.zeros(workload.size)
    if not world.hosted:
        return price
    prices = [hosted_price_usd(world, workload, lane) for lane in range(len(world.hosted))]
    for index, truth in enumerate(world.classes):
        mine = chosen(workload.class_index == index)
        lanes = list(truth.hosted) or list(range(len(world.hosted)))
        price[mine] = np.minimum.reduce([prices[lane][mine] for lane in lanes])
    return price


def scored_intervals(world: World) -> tuple[Interval, ...]:
    """What is scored of [warm-up's end, end of the scenario), gaps cut out, in order.

    Replicas that live at the end are billed until their last request ends, so the last interval, if it reaches the
    scenario's end, stays open (infinite).
    """
    intervals: list[Interval] = []
    start = world.warmup_s
    for gap_start, gap_end in sorted(world.gaps):
        if gap_start > start:
            intervals.append((start, min(gap_start, world.duration_s)))
        start = max(start, gap_end)
    if start < world.duration_s:
        intervals.append((start, math.inf))
    return tuple((a, b) for a, b in intervals if a < world.duration_s)


def scored_seconds(world: World) -> float:
    """Scored seconds of arrivals."""
    return sum(min(end, world.duration_s) - start for start, end in scored_intervals(world))


def billed_seconds(intervals: tuple[Interval, ...], start_s: Floats, end_s: Floats) -> Floats:
    """(R,) seconds of each [start, end) that fall into the intervals."""
    total = np.zeros(len(start_s))
    for low, high in intervals:
        total += np.clip(np.minimum(end_s, high) - np.maximum(start_s, low), 0.0, None)
    return total


def replica_seconds(world: World, outcome: Outcome, intervals: tuple[Interval, ...]) -> Floats:
    """(R,) billed seconds of each replica. A node is released when a replica is scaled in: not for one that lives at
    the scenario's end, nor for one that was given up before there was a GPU for it.
    """
    log = outcome.replicas
    released = (log.ended_s > log.created_s) & (log.ended_s < world.duration_s)
    return billed_seconds(intervals, log.created_s, log.ended_s + np.where(released, world.node_release_s, 0.0))


def _gpu_hours(world: World, outcome: Outcome) -> float:
    log = outcome.replicas
    if not len(log.lane):
        return 0.0
    seconds = replica_seconds(world, outcome, scored_intervals(world))
    gpus = np.array([lane.gpus_per_replica for lane in world.own])[log.lane]
    return float(np.sum(seconds * gpus)) / HOUR_SECONDS


def _days(world: World, workload: Workload, outcome: Outcome, scored: Flags, met: Flags) -> tuple[DayScore, ...]:
    count = max(1, math.ceil((world.duration_s - world.warmup_s) / DAY_SECONDS))
    day = np.clip((workload.arrival_s - world.warmup_s) // DAY_SECONDS, 0, count - 1).astype(np.int64)
    counted, missed = chosen(scored), chosen(scored & ~met)
    hosted = _by_day(day, counted, outcome.requests.hosted_usd, count)
    miss_usd = _by_day(day, missed, miss_price_usd(world, workload), count)
    requests = np.bincount(day[counted], minlength=count)
    misses = np.bincount(day[missed], minlength=count)
    days: list[DayScore] = []
    for index in range(count):
        low = world.warmup_s + index * DAY_SECONDS
        high = math.inf if index == count - 1 else low + DAY_SECONDS
        pieces = tuple((max(a, low), min(b, high)) for a, b in scored_intervals(world) if a < high and b > low)
        days.append(
            DayScore(
                seconds=sum(min(b, world.duration_s) - a for a, b in pieces),
                requests=int(requests[index]),
                misses=int(misses[index]),
                gpu_cost_usd=_gpu_usd(world, outcome, pieces),
                hosted_cost_usd=float(hosted[index]),
                miss_price_usd=float(miss_usd[index]),
            )
        )
    return tuple(days)


def _by_day(day: Integers, which: Selection, values: Floats, count: int) -> Floats:
    return np.asarray(np.bincount(day[which], weights=values[which], minlength=count), dtype=np.float64)


def _gpu_usd(world: World, outcome: Outcome, intervals: tuple[Interval, ...]) -> float:
    log = outcome.replicas
    if not len(log.lane):
        return 0.0
    seconds = replica_seconds(world, outcome, intervals)
    usd_per_second = np.array([lane.usd_per_replica_hour for lane in world.own])[log.lane] / HOUR_SECONDS
    return float(np.sum(seconds * usd_per_second))


def _class_score(workload: Workload, met: Flags, which: Flags, target: float) -> ClassScore:
    """Attainment of one class's scored requests, over all and hour by hour."""
    its = chosen(which)
    ok = met[its].astype(np.float64)
    tokens = (workload.input_tokens[its] + workload.output_tokens[its]).astype(np.float64)
    if not len(ok):
        return ClassScore(0, 1.0, 1.0, 0, 0, held=True)
    hour = (workload.arrival_s[its] // HOUR_SECONDS).astype(np.int64)
    requests: Floats = np.bincount(hour).astype(np.float64)
    looked_at = requests >= HOUR_MIN_REQUESTS
    by_requests = np.bincount(hour, weights=ok)[looked_at] / requests[looked_at]
    by_tokens = np.bincount(hour, weights=ok * tokens)[looked_at] / np.bincount(hour, weights=tokens)[looked_at]
    floor = target - HOUR_SLACK - ROUNDING
    hours, hours_held = int(looked_at.sum()), int(np.count_nonzero((by_requests >= floor) & (by_tokens >= floor)))
    of_requests, of_tokens = float(ok.mean()), float(ok @ tokens) / float(tokens.sum())
    held = min(of_requests, of_tokens) >= target - ROUNDING and hours_held >= HOURS_HELD * hours - ROUNDING
    return ClassScore(len(ok), of_requests, of_tokens, hours, hours_held, held)


def _share(met: Flags, scored: Flags) -> float:
    return float(met[scored].mean()) if scored.any() else 1.0


def _spilled(workload: Workload, outcome: Outcome, scored: Flags) -> float:
    served = outcome.requests.served
    hosted = (served >= Served.HOSTED_BY_WEIGHT) & (served <= Served.HOSTED_NO_REPLICA)
    tokens = (workload.input_tokens + workload.output_tokens).astype(np.float64)
    total = float(tokens[chosen(scored)].sum())
    return float(tokens[scored & hosted].sum()) / total if total else 0.0


def _changes(world: World, outcome: Outcome) -> tuple[int, int, int]:
    """Scored changes of the desired replicas: up, down, and against the direction of the lane's one before."""
    ups = downs = turns = 0
    last: dict[int, bool] = {}
    for at, lane, before, after in outcome.changes:
        if before == after or not world.scored(np.array([at]))[0]:
            continue
        up = after > before
        ups, downs = ups + up, downs + (not up)
        turns += last.get(lane, up) != up
        last[lane] = up
    return ups, downs, turns
