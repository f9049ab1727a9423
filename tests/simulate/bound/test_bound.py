"""The bound on cases whose cheapest policy is known."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from simulate.bound.worlds import CHAT, HOSTED, HOUR, NIGHTLY, PLAIN, PRIVATE, SMALL
from spillway.simulate.bound import cost_bound
from spillway.simulate.bound.work import charges, longest_step_s, work_s
from spillway.simulate.world import Workload, World

CERTAIN = replace(SMALL, startup_sigma=0.0, startup_mean_s=600.0, usd_per_replica_hour=3.6)
"""A dollar for 1,000 seconds."""
SURE = replace(HOSTED, error_rate=0.0, usd_per_input_token=2e-6, usd_per_output_token=2e-6)
"""Twice the own work."""
WORLD = replace(PLAIN, own=(CERTAIN,), hosted=(SURE,))


def steady(world: World, seconds_of_work: float, start: float = 0.0, end: float = 4 * HOUR, index: int = 0) -> Workload:
    """Alike requests at even spacing that together need so much of a replica."""
    one = Workload(np.zeros(1), np.zeros(1, dtype=np.int64), np.array([1000]), np.array([100]))
    count = round(seconds_of_work / work_s(charges(world.own[0], one), one)[0])
    ones = np.ones(count, dtype=np.int64)
    return Workload(np.linspace(start, end, count, endpoint=False), index * ones, 1000 * ones, 100 * ones)


def test_steady_work_costs_its_own_time_where_that_is_cheaper() -> None:
    load = steady(WORLD, 36_000.0)
    bound = cost_bound(WORLD, load)
    scored = np.count_nonzero(load.arrival_s >= HOUR) / load.size
    assert bound.cost_usd == pytest.approx(36.0 * scored, rel=2e-3)
    assert bound.own_token_share == 1.0
    assert bound.own_work_hours == pytest.approx(10.0 * scored, rel=2e-3)


def test_each_request_goes_where_it_is_cheaper() -> None:
    load = steady(WORLD, 10_000.0, start=HOUR)
    tokens_out = np.where(np.arange(load.size) % 2, 2000, 1)
    mixed = replace(load, output_tokens=tokens_out)
    own = work_s(charges(CERTAIN, mixed), mixed) / 1000.0
    price = 1.5 * (own[0] / 1001)  # a token: dearer than own work of short answers, cheaper than of long ones
    world = replace(WORLD, hosted=(replace(SURE, usd_per_input_token=price, usd_per_output_token=price),))
    hosted = price * (1000 + tokens_out)
    assert hosted[0] > own[0]
    assert hosted[1] < own[1]
    bound = cost_bound(world, mixed)
    assert bound.cost_usd == pytest.approx(np.minimum(own, hosted).sum(), rel=0.01)
    assert bound.cost_usd <= np.minimum(own, hosted).sum() * (1 + 1e-6) + 0.6
    assert bound.hosted_cost_usd == pytest.approx(hosted[1::2].sum(), rel=0.01)


def test_a_burst_pays_for_the_start_up() -> None:
    """Dear hosting, nothing to do but for ten minutes. Work waits for 100 s at most and is done at the slowest 158 s
    later (103 iterations of T_max), so that 1,200 s of it need 1.4 replicas.
    """
    dear = replace(SURE, usd_per_input_token=1.0, usd_per_output_token=1.0)
    world = replace(WORLD, hosted=(dear,))
    load = steady(world, 1_200.0, start=2 * HOUR, end=2 * HOUR + 600.0)
    without, slowest = 1.2, 103 * longest_step_s(CERTAIN)
    bound = cost_bound(world, load).cost_usd
    assert bound == pytest.approx(without + 0.6 * 1_200 / (600 + 100 + slowest), rel=0.02)
    free = replace(world, own=(replace(CERTAIN, startup_mean_s=0.0),))
    assert cost_bound(free, load).cost_usd == pytest.approx(without, rel=1e-3)


def test_node_release_is_paid_as_start_up_is() -> None:
    world = replace(WORLD, hosted=(replace(SURE, usd_per_input_token=1.0),))
    load = steady(world, 1_200.0, start=2 * HOUR, end=2 * HOUR + 600.0)
    started = cost_bound(world, load).cost_usd
    released = cost_bound(replace(world, node_release_s=600.0), load).cost_usd
    assert released - started == pytest.approx(started - 1.2, rel=0.05)


def test_minimum_replicas_are_paid_and_their_time_is_free_for_work() -> None:
    world = replace(WORLD, own=(replace(CERTAIN, min_replicas=2),))
    idle = Workload(np.zeros(0), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
    assert cost_bound(world, idle).cost_usd == pytest.approx(2 * 10.8)
    light = steady(world, 15_000.0, start=HOUR)
    assert cost_bound(world, light).cost_usd == pytest.approx(2 * 10.8, rel=1e-3)
    heavy = steady(world, 36_000.0, start=HOUR)
    assert cost_bound(world, heavy).cost_usd == pytest.approx(36.0, rel=5e-3)


def test_what_can_be_done_in_a_gap_is_free_and_what_is_not_scored_counts_nothing() -> None:
    world = replace(WORLD, gaps=((2 * HOUR, 3 * HOUR),))
    inside = steady(world, 10_000.0, start=2 * HOUR, end=3 * HOUR)
    assert cost_bound(world, inside).cost_usd == 0.0
    long_before = steady(world, 3_600.0, start=HOUR, end=1.5 * HOUR)
    assert cost_bound(world, long_before).cost_usd == pytest.approx(3.6, rel=5e-3)
    right_before = steady(world, 60.0, start=2 * HOUR - 60.0, end=2 * HOUR)
    # No replica can get Ready for it inside the gap: a start-up before it is paid, or the hosted price.
    assert 0.0 < cost_bound(world, right_before).cost_usd <= right_before.size * 1100 * 2e-6
    quick = replace(world, own=(replace(CERTAIN, startup_mean_s=0.0),))
    assert cost_bound(quick, right_before).cost_usd == 0.0


def test_deferrable_work_may_wait_for_free_time() -> None:
    """Minimum replicas idle after the burst: the deadline reaches there, an interactive wait doesn't."""
    world = replace(
        WORLD, own=(replace(CERTAIN, min_replicas=1),), hosted=(replace(SURE, usd_per_input_token=1.0),),
        classes=(CHAT, NIGHTLY),
    )  # fmt: skip
    base = 10.8
    burst = {"start": HOUR, "end": HOUR + 1200.0}
    assert cost_bound(world, steady(world, 6_000.0, **burst, index=1)).cost_usd == pytest.approx(base, rel=1e-3)
    assert cost_bound(world, steady(world, 6_000.0, **burst, index=0)).cost_usd > base + 3.0


def test_several_lanes_take_what_each_does_cheapest() -> None:
    decoder = replace(CERTAIN, name="decoder", beta_ms_per_seq=1.0, prefill_ms_per_ktoken=2000.0)
    world = replace(WORLD, own=(CERTAIN, decoder), classes=(replace(CHAT, own=(0, 1)),))
    load = steady(world, 20_000.0, start=HOUR)
    shapes = replace(load, input_tokens=np.where(np.arange(load.size) % 2, 3000, 10),
                     output_tokens=np.where(np.arange(load.size) % 2, 10, 400))  # fmt: skip
    own = np.array([work_s(charges(lane, shapes), shapes) for lane in world.own]) / 1000.0
    assert own[0, 1] < own[1, 1]
    assert own[1, 0] < own[0, 0]
    assert cost_bound(world, shapes).cost_usd == pytest.approx(own.min(axis=0).sum(), rel=5e-3)


def test_a_class_that_may_not_be_hosted_owes_its_target_and_no_more() -> None:
    world = replace(WORLD, classes=(PRIVATE,))
    load = steady(world, 36_000.0, start=HOUR)
    assert cost_bound(world, load).cost_usd == pytest.approx(0.95 * 36.0, rel=5e-3)
    # A few requests hold most of the work: by tokens fewer of them may be left out.
    heavy = replace(load, input_tokens=np.where(np.arange(load.size) % 50, 100, 8000))
    own = work_s(charges(CERTAIN, heavy), heavy) / 1000.0
    bound = cost_bound(world, heavy).cost_usd
    by_requests = own.sum() - np.sort(own)[-int(0.05 * load.size) :].sum()
    assert by_requests < bound < own.sum()


def test_refusals_and_outages_of_hosted_lanes_leave_requests_unbilled() -> None:
    cheap = replace(SURE, usd_per_input_token=1e-9, usd_per_output_token=1e-9)
    load = steady(WORLD, 10_000.0, start=HOUR)
    price = 1100e-9 * load.size
    open_lane = replace(WORLD, hosted=(cheap,))
    assert cost_bound(open_lane, load).cost_usd == pytest.approx(price)
    limited = replace(WORLD, hosted=(replace(cheap, requests_per_minute=1.0),))
    assert cost_bound(limited, load).cost_usd == pytest.approx(0.95 * price, rel=1e-3)
    out = replace(WORLD, hosted=(replace(cheap, outages=((2 * HOUR, 2 * HOUR + 60.0),)),))
    affected = np.count_nonzero((load.arrival_s >= 2 * HOUR - 100.0) & (load.arrival_s < 2 * HOUR + 60.0))
    assert cost_bound(out, load).cost_usd == pytest.approx(price * (1 - affected / load.size), rel=1e-3)


def test_without_own_lanes_everything_is_hosted() -> None:
    world = replace(PLAIN, own=(), classes=(replace(CHAT, own=()),), hosted=(SURE,))
    load = steady(WORLD, 1_000.0, start=HOUR)
    assert cost_bound(world, load).cost_usd == pytest.approx(load.size * 1100 * 2e-6)


def test_what_fits_on_no_replica_is_hosted_or_lost() -> None:
    load = replace(steady(WORLD, 1_000.0, start=HOUR), input_tokens=np.full(1, 90_000))
    load = Workload(load.arrival_s[:1], load.class_index[:1], load.input_tokens, load.output_tokens[:1])
    assert cost_bound(WORLD, load).hosted_cost_usd == pytest.approx(90_100 * 2e-6)
    assert cost_bound(replace(WORLD, classes=(PRIVATE,)), load).cost_usd == 0.0


def test_nothing_costs_nothing() -> None:
    none = np.zeros(0, dtype=np.int64)
    bound = cost_bound(WORLD, Workload(np.zeros(0), none, none, none))
    assert bound.cost_usd == 0.0
    assert math.isfinite(bound.own_token_share)
