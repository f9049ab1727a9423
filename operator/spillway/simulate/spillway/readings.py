"""What the controller would read from Prometheus, from the simulator's lagged samples."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from spillway.api import WorkloadClass
from spillway.decide.snapshot import (
    ClassSnapshot,
    Demand,
    DemandSource,
    EngineState,
    HostedState,
    PodState,
    Reading,
    Series,
    ServiceSample,
)
from spillway.simulate.policy import SCRAPE_SECONDS, LaneCounts, Sample

EPOCH = 1_700_006_400.0
"""Unix time of the scenario's 0: a midnight, as a real clock's."""
RATE_SCRAPES = 4
"""Rates are taken over this many scrapes, as the controller's queries do."""
MIX_SCRAPES = 40
"""Tokens per request over 10 minutes, attainment likewise."""
FINE_POINTS = 40
"""Points of the history sent each tick; `decide` keeps what came before."""


def before(samples: Sequence[Sample], scrapes: int) -> Sample:
    """The sample so many scrapes before the newest, or the oldest one within them where there is a gap or a start."""
    newest = samples[-1]
    limit = newest.at - (scrapes + 0.5) * SCRAPE_SECONDS
    for back in range(min(scrapes, len(samples) - 1), -1, -1):
        if samples[-1 - back].at >= limit:
            return samples[-1 - back]
    return newest


def rate(samples: Sequence[Sample], index: int) -> float | None:
    """Arrivals a second of one class over the rate window."""
    newest, then = samples[-1], before(samples, RATE_SCRAPES)
    span = newest.at - then.at
    return None if span <= 0 else (newest.classes[index].arrived - then.classes[index].arrived) / span


def class_snapshot(
    resource: WorkloadClass, index: int, samples: Sequence[Sample], fine: deque[float | None], lanes: Sequence[str]
) -> ClassSnapshot:
    """One class at the newest sample; ``lanes`` are the names behind `ClassSample.to_lane`."""
    if not samples or not fine or fine[-1] is None:
        return ClassSnapshot(resource, None)
    newest = samples[-1]
    at = newest.at + EPOCH
    long, short = before(samples, MIX_SCRAPES), before(samples, RATE_SCRAPES)
    now, then = newest.classes[index], long.classes[index]
    ended, span = now.ended - then.ended, newest.at - short.at
    tokens_in = tokens_out = None
    if ended > 0:
        tokens_in = Reading((now.ended_input_tokens - then.ended_input_tokens) / ended, at)
        tokens_out = Reading((now.ended_output_tokens - then.ended_output_tokens) / ended, at)
    moved = now.to_lane - short.classes[index].to_lane
    by_lane = {n: Reading(float(v) / span, at) for n, v in zip(lanes, moved, strict=True)} if span > 0 else {}
    demand = Demand(
        source=DemandSource.GATEWAY,
        requests_per_second=Reading(fine[-1], at),
        input_tokens_per_request=tokens_in,
        output_tokens_per_request=tokens_out,
        cached_input_share=None,
        requests_per_second_by_lane=by_lane,
        history=(Series(at - SCRAPE_SECONDS * (len(fine) - 1), SCRAPE_SECONDS, tuple(fine)),),
    )
    own_ended, own_met = now.own_ended - then.own_ended, now.own_met - then.own_met
    attainment = Reading(own_met / own_ended, at) if own_ended > 0 else None
    return ClassSnapshot(resource, demand, attainment=attainment)


def engine(index: int, samples: Sequence[Sample], learned: Sequence[ServiceSample]) -> EngineState | None:
    """One own lane's engines at the newest sample."""
    if not samples:
        return None
    newest, then = samples[-1], before(samples, RATE_SCRAPES)
    at, span = newest.at + EPOCH, newest.at - then.at
    now, old, replicas = newest.lanes[index], then.lanes[index], newest.lanes[index].replicas

    def per_second(value: float) -> Reading | None:
        return Reading(value / span, at) if span > 0 else None

    def mean(total: float, count: float) -> Reading | None:
        return Reading(total / count, at) if count > 0 else None

    return EngineState(
        pods_reporting=len(replicas.number),
        running=Reading(float(replicas.running.sum()), at),
        waiting=Reading(float(replicas.waiting.sum()), at),
        kv_usage=Reading(float(replicas.kv_usage.max(initial=0.0)), at),
        input_tokens_per_second=per_second(now.prompt_tokens - old.prompt_tokens),
        output_tokens_per_second=per_second(now.generation_tokens - old.generation_tokens),
        requests_per_second=per_second(now.finished - old.finished),
        time_to_first_token_seconds=mean(now.ttft.sum_s - old.ttft.sum_s, now.ttft.count - old.ttft.count),
        inter_token_latency_seconds=mean(now.itl.sum_s - old.itl.sum_s, now.itl.count - old.itl.count),
        preemptions_per_second=None,
        rejections_per_second=per_second(now.rejected - old.rejected),
        samples=tuple(learned),
    )


def pods(index: int, samples: Sequence[Sample], counts: LaneCounts) -> tuple[PodState, ...]:
    """The lane's pods: Ready ones with their gauges where they have been scraped, then starting ones."""
    found = []
    if samples:
        replicas, at = samples[-1].lanes[index].replicas, samples[-1].at + EPOCH
        columns = (replicas.number, replicas.ready_at + EPOCH, replicas.running, replicas.waiting, replicas.kv_usage)
        rows = zip(*(column[: counts.ready].tolist() for column in columns), strict=True)
        found = [
            PodState(
                name=f"r{int(number)}",
                ready=True,
                deleting=False,
                created_at=ready_at,
                ready_at=ready_at,
                running=Reading(running, at),
                waiting=Reading(waiting, at),
                kv_usage=Reading(kv_usage, at),
            )
            for number, ready_at, running, waiting, kv_usage in rows
        ]
    newest = EPOCH if not samples else samples[-1].at + EPOCH
    found += [PodState(f"n{i}", True, False, newest, newest) for i in range(counts.ready - len(found))]
    found += [PodState(f"s{i}", False, False, since + EPOCH, None) for i, since in enumerate(counts.starting_since)]
    return tuple(found)


def hosted_state(own_lanes: int, index: int, samples: Sequence[Sample]) -> HostedState | None:
    """One hosted lane: what it served and how often it failed. A request that fails is tried once more."""
    routed = _hosted_rate(own_lanes + index, samples)
    if routed is None:
        return None
    newest, then = samples[-1], before(samples, RATE_SCRAPES)
    if min(newest.hosted_failed.size, then.hosted_failed.size) <= index:
        return HostedState(routed, None, None)
    failed = float(newest.hosted_failed[index] - then.hosted_failed[index]) / (newest.at - then.at)
    served = replace(routed, value=max(0.0, routed.value - failed / 2))
    return HostedState(served, None, None, replace(routed, value=failed))


def _hosted_rate(column: int, samples: Sequence[Sample]) -> Reading | None:
    """Requests a second that went to one hosted lane; ``column`` of `ClassSample.to_lane`."""
    if not samples:
        return None
    newest, then = samples[-1], before(samples, RATE_SCRAPES)
    if newest.at <= then.at:
        return None
    moved = np.sum([n.to_lane[column] - t.to_lane[column] for n, t in zip(newest.classes, then.classes, strict=True)])
    return Reading(float(moved) / (newest.at - then.at), newest.at + EPOCH)
