"""Schedules of foresight and hindsight: they hold the objective, in their proper order, near the bound if they can."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from simulate.bound.worlds import CHAT, HOUR, NIGHTLY, NOTHING_KNOWN, PLAIN, SMALL, requests
from spillway.simulate.bound import cost_bound
from spillway.simulate.bound.gap import explain
from spillway.simulate.bound.hindsight import best_hindsight
from spillway.simulate.bound.replay import best_replay
from spillway.simulate.bound.span import busiest_day, cut
from spillway.simulate.world import Workload

ROOMY = replace(CHAT, ttft_slo_s=30.0, itl_slo_s=2.0)
"""Objectives that let replicas be full."""
LEAN = replace(SMALL, alpha_ms=30.0, startup_mean_s=120.0, usd_per_replica_hour=1.0)
EASY = replace(PLAIN, own=(LEAN,), classes=(ROOMY,))


def test_the_replay_is_near_the_bound_where_objectives_are_roomy() -> None:
    load = requests(EASY, 2, per_second=2.0)
    trial = best_replay(EASY, load, NOTHING_KNOWN, 1)
    bound = cost_bound(EASY, load).cost_usd
    assert trial.result.slo_held
    assert bound <= trial.result.cost_usd <= 1.25 * bound


def test_where_it_is_farther_the_gap_is_explained() -> None:
    """A tight objective keeps replicas emptier: the bound at those iterations explains most of the distance."""
    world = replace(PLAIN, classes=(replace(CHAT, itl_slo_s=0.35),))
    load = requests(world, 2)
    trial = best_replay(world, load, NOTHING_KNOWN, 1)
    gap = explain(world, load, trial)
    assert trial.result.slo_held
    assert gap.work_usd <= gap.bound_usd <= gap.concurrency_usd <= gap.planned_usd
    assert gap.played_usd == trial.result.cost_usd
    assert gap.played_usd / gap.planned_usd == pytest.approx(1.0, abs=0.25)
    assert "concurrency" in str(gap)


def test_foresight_beats_the_clock_and_the_clock_beats_a_constant() -> None:
    load = requests(EASY, 3, per_second=2.0)
    replay = best_replay(EASY, load, NOTHING_KNOWN, 1).result
    cron = best_hindsight(EASY, load, NOTHING_KNOWN, 1, hourly=True).result
    static = best_hindsight(EASY, load, NOTHING_KNOWN, 1, hourly=False).result
    assert replay.slo_held
    assert cron.slo_held
    assert static.slo_held
    assert replay.cost_usd < cron.cost_usd < static.cost_usd
    assert static.scale_ups + static.scale_downs == 0
    assert cron.scale_ups + cron.scale_downs <= 2 * 4


def test_deferrable_work_and_gaps_are_planned_too() -> None:
    world = replace(PLAIN, classes=(ROOMY, NIGHTLY), own=(LEAN,), gaps=((2 * HOUR, 2.5 * HOUR),))
    load = requests(world, 4)
    trial = best_replay(world, load, NOTHING_KNOWN, 1)
    assert trial.result.slo_held
    assert trial.result.deadline_misses <= 0.05 * load.size
    assert trial.result.cost_usd >= cost_bound(world, load).cost_usd


def test_without_own_lanes_the_replay_hosts() -> None:
    world = replace(PLAIN, own=(), classes=(replace(CHAT, own=()),))
    load = requests(world, 5, per_second=0.1)
    result = best_replay(world, load, NOTHING_KNOWN, 1).result
    assert result.gpu_cost_usd == 0.0
    assert result.spilled_token_share > 0.99


def test_a_part_is_the_same_world_moved() -> None:
    ones = np.ones(5, dtype=np.int64)
    load = Workload(np.array([10.0, 100.0, 150.0, 199.0, 250.0]), 0 * ones, ones, ones)
    world = replace(PLAIN, gaps=((90.0, 120.0), (300.0, 400.0)), own=(replace(SMALL, stockouts=((150.0, 260.0),)),))
    part = cut(world, load, 100.0, 200.0, 20.0)
    assert part.workload.arrival_s.tolist() == [0.0, 50.0, 99.0]
    assert part.world.gaps == ((-10.0, 20.0),)
    assert part.world.own[0].stockouts == ((50.0, 160.0),)
    assert (part.world.warmup_s, part.world.duration_s, part.offset_s) == (20.0, 100.0, 100.0)


def test_the_busiest_day_is_found() -> None:
    ones = np.ones(300, dtype=np.int64)
    times = np.sort(np.concatenate([np.linspace(0, 5 * 86_400, 200, endpoint=False), np.linspace(3e5, 3.2e5, 100)]))
    world = replace(PLAIN, warmup_s=86_400.0, duration_s=5 * 86_400.0)
    part = busiest_day(world, Workload(times, 0 * ones, ones, ones))
    assert part.offset_s == 3 * 86_400 - 1_800.0
    assert part.world.duration_s == 86_400 + 1_800.0
