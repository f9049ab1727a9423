"""Scores of hand-made runs against figures worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from spillway.api import LatencyClass
from spillway.simulate.outcome import Outcome, ReplicaLog, RequestLog, Served, Timeline
from spillway.simulate.score import score
from spillway.simulate.world import ClassTruth, HostedTruth, OwnTruth, Workload, World

OWN = OwnTruth(
    name="own", startup_mean_s=240, startup_sigma=0.0, max_num_seqs=256, max_batched_tokens=8192,
    kv_cache_tokens=450_000, max_queued=None, alpha_ms=25, beta_ms_per_seq=0.25, gamma_ms_per_ktoken=0.02,
    prefill_ms_per_ktoken=80, table=None, min_replicas=0, max_replicas=20, usd_per_replica_hour=3.6, gpus_per_replica=2,
)  # fmt: skip
CHEAP = HostedTruth("cheap", 0.5, 1.5, 0.015, 0.03, 0.0, (), 1e-6, 1e-7, 4e-6)
DEAR = replace(CHEAP, name="dear", usd_per_input_token=2e-6, usd_per_output_token=8e-6)
CHAT = ClassTruth("ns/chat", LatencyClass.INTERACTIVE, 4.0, 0.1, 0.9, (0,), (0, 1))
PRIVATE = ClassTruth("ns/private", LatencyClass.INTERACTIVE, 4.0, 0.1, 0.9, (0,), ())
BATCH = ClassTruth("ns/batch", LatencyClass.DEFERRABLE, math.inf, math.inf, 0.9, (0,), (0,), deadline_s=600.0)
WORLD = World((CHAT, PRIVATE, BATCH), (OWN,), (CHEAP, DEAR), 0.0, 1000.0, 2000.0, 15.0)


def workload(
    arrivals: list[float], classes: list[int] | None = None, tokens: tuple[int, int] = (1000, 100)
) -> Workload:
    size = len(arrivals)
    index = np.array(classes if classes is not None else [0] * size, dtype=np.int64)
    ones = np.ones(size, dtype=np.int64)
    return Workload(np.array(arrivals, dtype=np.float64), index, ones * tokens[0], ones * tokens[1])


def outcome(
    load: Workload,
    served: list[Served] | None = None,
    ttft_s: float | list[float] = 1.0,
    itl_s: float | list[float] = 0.05,
    took_s: float = 10.0,
    usd: float | list[float] = 0.0,
    replicas: list[tuple[float, float]] | None = None,
    changes: tuple[tuple[float, int, int, int], ...] = (),
) -> Outcome:
    """A run in which every request is served alike, and replicas lived as given."""
    size = load.size
    how = np.array(served if served is not None else [Served.OWN] * size, dtype=np.int8)
    lives = np.array(replicas or [], dtype=np.float64).reshape(-1, 2)
    log = RequestLog(
        how, np.where(how == Served.OWN, 0, -1), np.zeros(size) + ttft_s, np.zeros(size) + itl_s,
        load.arrival_s + took_s, np.zeros(size) + usd, np.zeros(size),
    )  # fmt: skip
    fleet = ReplicaLog(np.zeros(len(lives), dtype=np.int64), lives[:, 0], lives[:, 0], lives[:, 1])
    none = np.zeros((0, 1))
    timeline = Timeline(np.zeros(0), none.astype(np.int64), none.astype(np.int64), none, none, none)
    return Outcome(log, fleet, timeline, changes, np.array([0.001, 0.002, 0.003]))


def test_replicas_are_billed_from_the_warmups_end_until_they_have_ended() -> None:
    load = workload([1500.0])
    # 0-1100: 100 s count; 1200-1300: 100 s; 1900-2050: 150 s, past the end of arrivals; 100-900: none.
    run = outcome(load, replicas=[(0, 1100), (1200, 1300), (1900, 2050), (100, 900)])
    result = score(WORLD, load, run)
    assert result.gpu_cost_usd == pytest.approx(350 * 3.6 / 3600)
    assert result.gpu_hours == pytest.approx(350 * 2 / 3600)
    assert result.cost_usd == result.gpu_cost_usd


def test_node_release_is_billed_after_the_end_and_may_reach_over_the_warmups_end() -> None:
    load = workload([1500.0])
    run = outcome(load, replicas=[(0, 950), (1200, 1300), (1900, 2050), (1500, 1500)])
    result = score(replace(WORLD, node_release_s=60.0), load, run)
    # The third lives at the end, the fourth never got a GPU: neither is released.
    assert result.gpu_cost_usd == pytest.approx((10 + 160 + 150) * 3.6 / 3600)


def test_gaps_are_left_out_of_arrivals_and_of_gpu_time() -> None:
    world = replace(WORLD, gaps=((1400.0, 1600.0),))
    load = workload([900.0, 1100.0, 1500.0, 1700.0])
    served = [Served.HOSTED_BY_WEIGHT] * 4
    result = score(world, load, outcome(load, served, usd=0.5, replicas=[(1000, 2000)]))
    assert result.hosted_cost_usd == pytest.approx(1.0)
    assert result.gpu_cost_usd == pytest.approx(800 * 3.6 / 3600)
    assert result.slo_attainment_by_class["ns/chat"].requests == 2


def test_an_arrival_in_the_window_counts_wherever_it_ends_and_one_before_does_not() -> None:
    load = workload([999.0, 1999.0])
    result = score(WORLD, load, outcome(load, [Served.HOSTED_BY_CAP] * 2, usd=[7.0, 3.0], took_s=500.0))
    assert result.hosted_cost_usd == pytest.approx(3.0)


def test_a_miss_is_charged_at_the_class_s_cheapest_hosted_price() -> None:
    load = workload([1100.0, 1200.0, 1300.0], [0, 1, 2])
    run = outcome(load, ttft_s=[5.0, 5.0, 5.0], took_s=700.0, replicas=[(1000, 2000)])
    result = score(WORLD, load, run)
    price = 1000 * 1e-6 + 100 * 4e-6
    assert result.cost_with_misses_usd["0"] == pytest.approx(1.0)
    assert result.cost_with_misses_usd["3"] == pytest.approx(1.0 + 3 * 3 * price)
    assert result.cost_with_misses_usd["10"] == pytest.approx(1.0 + 10 * 3 * price)
    alone = replace(WORLD, hosted=(), classes=(replace(CHAT, hosted=()),))
    load = workload([1100.0])
    unpriced = score(alone, load, outcome(load, ttft_s=5.0))
    assert unpriced.cost_with_misses_usd["10"] == 0.0
    assert not unpriced.slo_held


def test_cached_input_is_priced_as_such() -> None:
    load = workload([1100.0])
    result = score(replace(WORLD, cached_share=0.5), load, outcome(load, ttft_s=5.0))
    assert result.cost_with_misses_usd["10"] == pytest.approx(10 * (500 * 1e-6 + 500 * 1e-7 + 100 * 4e-6))


@pytest.mark.parametrize(
    ("how", "ttft_s", "itl_s", "met"),
    [
        (Served.OWN, 4.0, 0.1, True),
        (Served.OWN, 4.01, 0.05, False),
        (Served.OWN, 1.0, 0.11, False),
        (Served.OWN, 1.0, math.nan, True),
        (Served.HOSTED_BY_WEIGHT, 1.0, 0.05, True),
        (Served.HOSTED_BY_QUEUE, 4.5, 0.05, False),
        (Served.HOSTED_NO_REPLICA, 1.0, 0.05, True),
        (Served.HOSTED_BY_PATIENCE, 1.0, 0.05, False),
        (Served.REJECTED, math.nan, math.nan, False),
        (Served.FAILED, math.nan, math.nan, False),
    ],
)
def test_what_meets_the_objective(how: Served, ttft_s: float, itl_s: float, met: bool) -> None:
    load = workload([1100.0])
    assert score(WORLD, load, outcome(load, [how], ttft_s, itl_s)).slo_attainment == float(met)


def test_deferrable_work_is_judged_by_its_deadline_alone() -> None:
    load = workload([1100.0, 1200.0], [2, 2])
    assert score(WORLD, load, outcome(load, ttft_s=99.0, itl_s=9.0, took_s=600.0)).deadline_misses == 0
    late = score(WORLD, load, outcome(load, took_s=600.1))
    assert late.deadline_misses == 2
    assert not late.slo_held
    chat = workload([1100.0])
    assert score(WORLD, chat, outcome(chat, ttft_s=5.0)).deadline_misses == 0


def test_held_needs_the_target_by_requests_and_by_tokens() -> None:
    load = workload([1100.0 + i for i in range(10)])
    nine = outcome(load, ttft_s=[5.0] + [1.0] * 9)
    assert score(WORLD, load, nine).slo_held
    heavy = replace(load, input_tokens=np.array([5000] + [1000] * 9))
    result = score(WORLD, heavy, nine)
    assert result.slo_attainment_by_class["ns/chat"].attainment_requests == pytest.approx(0.9)
    assert result.slo_attainment_by_class["ns/chat"].attainment_tokens == pytest.approx(9900 / 15000)
    assert not result.slo_held


@pytest.mark.parametrize(("misses", "held"), [(150, True), (151, False)])
def test_one_bad_hour_among_few_is_not_held(misses: int, held: bool) -> None:
    """10 hours of 1,000 requests and 5 points of slack: 95% of 10 hours are all of them."""
    world = replace(WORLD, warmup_s=0.0, duration_s=36_000.0)
    load = workload([i * 3.6 for i in range(10_000)])
    ttft = np.where(np.arange(10_000) < misses, 5.0, 1.0)
    result = score(world, load, outcome(load, ttft_s=ttft.tolist()))
    of_chat = result.slo_attainment_by_class["ns/chat"]
    assert of_chat.attainment_requests > 0.98
    assert of_chat.hours == 10
    assert result.slo_held is held


def test_hours_with_few_requests_are_not_looked_at() -> None:
    world = replace(WORLD, warmup_s=0.0, duration_s=36_000.0)
    load = workload([float(i) for i in range(999)] + [3600.0 + i for i in range(2000)])
    ttft = np.where(np.arange(2999) < 200, 5.0, 1.0)
    result = score(world, load, outcome(load, ttft_s=ttft.tolist()))
    assert result.slo_attainment_by_class["ns/chat"].hours == 1
    assert result.slo_held


def test_changes_count_by_direction_and_only_where_scored() -> None:
    load = workload([1100.0])
    changes = ((500.0, 0, 1, 2), (1100.0, 0, 2, 3), (1200.0, 0, 3, 5), (1300.0, 0, 5, 4), (1400.0, 0, 4, 6))
    result = score(WORLD, load, outcome(load, changes=changes))
    assert (result.scale_ups, result.scale_downs) == (3, 1)
    assert result.direction_changes_per_hour == pytest.approx(2 * 3.6)


def test_spilled_share_is_by_tokens_and_decide_times_are_in_milliseconds() -> None:
    load = replace(workload([1100.0, 1200.0]), input_tokens=np.array([900, 2900]))
    result = score(WORLD, load, outcome(load, [Served.OWN, Served.HOSTED_BY_PATIENCE]))
    assert result.spilled_token_share == pytest.approx(0.75)
    assert result.decide_ms_p50 == pytest.approx(2.0)
    assert result.decide_ms_p99 == pytest.approx(2.98)


def test_days_start_at_the_warmups_end_and_add_up() -> None:
    world = replace(WORLD, warmup_s=3600.0, duration_s=3600.0 + 2.5 * 86_400, gaps=((50_000.0, 60_000.0),))
    load = workload([100.0, 4000.0, 90_100.0, 219_000.0])
    served = [Served.HOSTED_BY_WEIGHT] * 4
    run = outcome(load, served, ttft_s=[1, 1, 5, 1], usd=[8.0, 1.0, 2.0, 4.0], replicas=[(0, 300_000.0)])
    result = score(world, load, run)
    assert [day.seconds for day in result.days] == [76_400, 86_400, 43_200]
    assert [day.hosted_cost_usd for day in result.days] == [1.0, 2.0, 4.0]
    assert [day.misses for day in result.days] == [0, 1, 0]
    gpu = [day.gpu_cost_usd * 1000 for day in result.days]
    assert gpu == pytest.approx([76_400, 86_400, 300_000 - 3600 - 2 * 86_400])
    assert sum(day.cost_usd for day in result.days) == pytest.approx(result.cost_usd)


def test_an_outcome_of_another_workload_is_refused() -> None:
    load = workload([1100.0])
    with pytest.raises(ValueError, match="1 requests, the workload 2"):
        score(WORLD, workload([1.0, 2.0]), outcome(load))
