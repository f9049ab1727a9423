"""One run: scrapes and ticks in Python, everything between them in compiled code."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np

from spillway.simulate.fleet.actions import Fleet
from spillway.simulate.fleet.build import build_state
from spillway.simulate.fleet.layout import State
from spillway.simulate.fleet.loop import give_up_held, run
from spillway.simulate.fleet.scrape import count_scrape, take_sample, timeline_row
from spillway.simulate.outcome import Outcome, RequestLog, Timeline
from spillway.simulate.policy import SCRAPE_SECONDS, Known, Observation, Policy, Sample
from spillway.simulate.world import Workload, World

_HOUR = 3600.0
_EPSILON = 1e-6
_SLOTS = 64


def simulate(
    world: World,
    workload: Workload,
    known: Known,
    policy: Policy,
    seed: int,
    progress: Callable[[float], None] | None = None,
) -> Outcome:
    """Run a policy on a fleet, request by request; `progress` gets the share done about once a simulated hour.

    Raises ValueError on a workload, a lane or an action that can't be. See the package's docstring for the rules.
    """
    slots = min(sum(lane.max_replicas for lane in world.own) + 4, _SLOTS)
    fleet = Fleet(world, build_state(world, workload, slots), seed)
    fleet.start(policy.start(known))
    scrapes = int(world.duration_s / SCRAPE_SECONDS + _EPSILON)
    timeline = _empty_timeline(scrapes, len(world.own), len(world.classes))
    visible: list[Sample] = []
    pending: list[Sample] = []
    decide: list[float] = []
    scrape, tick, reported = 1, 1, 0.0
    while True:
        scrape_at = scrape * SCRAPE_SECONDS if scrape <= scrapes else math.inf
        tick_at = tick * policy.tick_seconds
        now = min(scrape_at, tick_at)
        if now > world.duration_s:
            break
        run(fleet.core, now)
        if scrape_at == now:
            _scrape(fleet, timeline, scrape, now)
            if not any(start <= now < end for start, end in world.gaps):
                pending.append(take_sample(fleet.core, now))
            scrape += 1
        if tick_at == now and now < world.duration_s:
            _show(pending, visible, now, world.metrics_lag_s)
            seen = Observation(now, tuple(visible), fleet.counts())
            before = time.perf_counter()
            action = policy.act(seen)
            decide.append(time.perf_counter() - before)
            fleet.apply(action, now)
        if tick_at == now:
            tick += 1
        if progress is not None and now - reported >= _HOUR and now < world.duration_s:
            reported = now
            progress(now / world.duration_s)
    run(fleet.core, math.inf)
    give_up_held(fleet.core, world.duration_s)
    run(fleet.core, math.inf)
    if progress is not None:
        progress(1.0)
    return Outcome(_requests(fleet.state), fleet.log(), timeline, tuple(fleet.changes), np.array(decide))


def _show(pending: list[Sample], visible: list[Sample], now: float, lag: float) -> None:
    """Move the samples that have become visible, and forget those older than an hour."""
    while pending and pending[0].at + lag <= now + _EPSILON:
        visible.append(pending.pop(0))
    old = 0
    while old < len(visible) and visible[old].at < now - _HOUR - _EPSILON:
        old += 1
    del visible[:old]


def _scrape(fleet: Fleet, timeline: Timeline, scrape: int, now: float) -> None:
    row = scrape - 1
    count_scrape(fleet.core, scrape, now)
    timeline.at_s[row] = now
    timeline.desired[row] = fleet.desired
    timeline_row(fleet.core, timeline.ready[row], timeline.in_flight[row], timeline.arrived[row], timeline.hosted[row])


def _empty_timeline(scrapes: int, lanes: int, classes: int) -> Timeline:
    return Timeline(
        at_s=np.zeros(scrapes),
        desired=np.zeros((scrapes, lanes), dtype=np.int64),
        ready=np.zeros((scrapes, lanes), dtype=np.int64),
        in_flight=np.zeros((scrapes, lanes)),
        arrived=np.zeros((scrapes, classes)),
        hosted=np.zeros((scrapes, classes)),
    )


def _requests(state: State) -> RequestLog:
    return RequestLog(
        served=state.served,
        lane=state.lane,
        ttft_s=state.ttft,
        itl_s=state.itl,
        end_s=state.end,
        hosted_usd=state.usd,
        held_s=state.held_s,
    )
