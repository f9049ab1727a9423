"""What own lanes are asked for where the gateway caps: the allocation problem of a snapshot, and when it is solved."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from decide.builders import NOW, curve, demand, hosted_lane, hosted_resource, plan, reading, traffic, workload
from decide.gateways import CHAT, GPU, REMEMBERED, capped, chat, gpu, made, own, ticks, world
from spillway.decide.memory import Memory
from spillway.decide.plan import Planned
from spillway.decide.planning import FEWEST_PERIODS, LEADS, MOST_PERIODS, periods, planning_due
from spillway.decide.snapshot import ClassSnapshot, LaneSnapshot

SECRET = workload(slo={"timeToFirstTokenMs": 4000}, dataPolicy="SelfHostedOnly")


def desired(*args: object, **fields: object) -> int:
    found = gpu(made(world(*args, **fields))[0]).desired  # type: ignore[arg-type]
    assert found is not None
    return found


def planned(memory: Memory) -> Planned:
    assert memory.planned is not None
    return memory.planned


@pytest.mark.parametrize("tick", [3.0, 15.0, 60.0])
@pytest.mark.parametrize("lead", [5.0, 60.0, 240.0, 600.0, 900.0, 1500.0])
def test_periods(lead: float, tick: float) -> None:
    lengths = periods(replace(capped(world()), tick_seconds=tick), [lead, lead / 3])
    assert FEWEST_PERIODS <= len(lengths) <= MOST_PERIODS
    assert np.ptp(lengths) == 0.0
    length = float(lengths[0])
    assert 4 * tick <= length <= max(600.0, 4 * tick)
    assert length > lead or lead / length == pytest.approx(round(lead / length)), "a start-up is a number of periods"
    assert lengths.sum() >= LEADS * lead


def test_hosted_alone_where_it_is_cheaper() -> None:
    decision, memory = made(world(usd_out="0.05"))
    assert gpu(decision).desired == 0
    # A full replica serves 12 to 16 requests a second: at $0.36 an hour each, own GPUs cost twice as much.
    assert desired(usd_out="0.4") == 0
    assert planned(memory).sizings[GPU].hosted_usd_per_hour == pytest.approx(41 * 100 * 0.05e-6 * 3600)
    alone, _ = made(world(usd_out="0.05", lane=own(0)))
    assert (gpu(alone).desired, gpu(alone).recommended, alone.classes[0].hosted_share) == (0, 0, 1.0)


def test_what_may_not_leave_gets_replicas_whatever_they_cost() -> None:
    prices = [desired(classes=(chat(resource=SECRET),), lane=own(price={"usdPerGpuHour": usd})) for usd in ("1", "90")]
    assert min(prices) >= 3
    assert desired(usd_out="0.05", classes=(chat(resource=SECRET),)) >= 3
    assert desired(lane=own(price={"usdPerGpuHour": "90"})) == 0


def test_replicas_follow_demand_and_prices() -> None:
    by_rate = [desired(rate) for rate in (0.0, 5.0, 41.0, 100.0, 300.0)]
    assert by_rate == sorted(by_rate)
    assert by_rate[0] == 0
    assert by_rate[-1] >= 300 / 16
    by_price = [desired(100.0, usd) for usd in ("0.2", "0.8", "1.0", "2", "20")]
    assert by_price == sorted(by_price)
    assert by_price[-1] >= by_price[1] + 1


def test_one_more_would_not_pay_and_the_last_one_does() -> None:
    for rate in (30.0, 75.0, 200.0):
        number = desired(rate)
        size = planned(made(world(rate, lane=own(number)))[1]).sizings[GPU]
        assert size.replicas == number  # once there, it stays
        assert size.next_saves_usd_per_hour < 3.85 < size.last_saves_usd_per_hour


def test_bounds() -> None:
    assert desired(300.0, lane=own(replicas={"min": 0, "max": 6})) == 6
    assert desired(0.0, lane=own(replicas={"min": 2, "max": 6})) == 2
    assert desired(300.0, lane=replace(own(gpu={"pool": "h"}), pool_gpus=9, pool_gpus_others=2)) == 7


def test_a_ceiling_on_hosted_dollars_buys_replicas() -> None:
    free, bound = desired(100.0, "0.45"), desired(100.0, "0.45", plan=plan(overflow={"ceilingUsd": {"perHour": "2"}}))
    assert free == 0
    # $2 an hour buy 12 requests a second; the others need replicas.
    assert bound >= math.ceil((100 - 12) / 16)


def test_a_hosted_lanes_token_limit_buys_replicas() -> None:
    narrow = hosted_lane(usd_out="0.3", resource=hosted_resource(limits={"tokensPerMinute": 180_000}))
    found = made(replace(world(100.0), lanes=(own(), narrow)))[0]
    assert (gpu(found).desired or 0) >= math.ceil((100 - 180_000 / 60 / 300) / 16)


def test_pods_under_way_count() -> None:
    number = desired(100.0, lane=own(2))
    assert number > 4
    # Two are ready and the others were just ordered, whether the apiserver shows their pods or not.
    assert desired(100.0, lane=own(number, 2)) == number
    lane = own(number, 2)
    assert lane.target is not None
    unseen = replace(lane, target=replace(lane.target, pods=lane.target.pods[:2]))
    assert desired(100.0, lane=unseen) == number


def test_demand_that_rises_is_met_before_it_comes() -> None:
    def rate(at: float) -> float:
        return 20 + 160 * (1 - math.cos(2 * math.pi * (at - NOW) / 3600)) / 2

    rising = traffic(rate=rate(NOW), history=(curve(rate, 480, 15.0), curve(rate, 400, 60.0)))
    base = replace(world(), plan=plan(forecast={"seasonalitySeconds": [3600]}), classes=(rising,))
    lane = own(1, startupSeconds=600)
    decision = made(replace(base, lanes=(lane, hosted_lane(usd_out="2"))))[0]
    assert rate(NOW) == 20.0
    assert rate(NOW + 900) == pytest.approx(100.0)  # the middle of the ten minutes in which they would serve
    assert gpu(decision).desired == pytest.approx(100 / 14, abs=1.5)
    assert decision.classes[0].forecast["0.5"] == pytest.approx(rate(NOW + 603), rel=0.15)


def test_demand_that_is_deferrable_justifies_no_gpu() -> None:
    later = workload(latency="Deferrable", slo=None)
    assert desired(200.0, "20", classes=(ClassSnapshot(later, demand(200.0)),)) == 0


def test_two_classes_share_a_lane() -> None:
    other = ClassSnapshot(workload("other", slo={"timeToFirstTokenMs": 4000}), demand(41.0))
    bindings = [
        {
            "class": name,
            "ownership": "Adopted",
            "httpRoute": name,
            "rule": name,
            "backends": {"gpu": "g", "hosted": "h"},
        }
        for name in ("chat", "other")
    ]
    both = plan(routing={"bindings": bindings})
    together = desired(41.0, plan=both, classes=(chat(41.0), other))
    assert together == pytest.approx(desired(82.0), abs=1)
    # A class of which nothing is known doesn't keep the other from being sized.
    assert desired(41.0, plan=both, classes=(chat(41.0), replace(other, demand=None))) >= desired(41.0)


def test_the_forecast_that_it_was_sized_for_is_told() -> None:
    decision, memory = made(world(60.0))
    assert decision.classes[0].forecast == planned(memory).quantiles[CHAT]
    assert decision.classes[0].forecast["0.5"] == pytest.approx(60.0)
    assert decision.costs.expected is not None


def test_when_it_is_due() -> None:
    snapshot = capped(world())  # starts in 60 s, ticks of 3 s: every 15 s
    before = Planned(NOW, {}, {}, None)
    assert planning_due(snapshot, None, {}, {})
    due = [planning_due(replace(snapshot, at=NOW + 3.0 * tick), before, {}, {}) for tick in range(8)]
    assert due == [False] * 5 + [True] * 3
    slow = replace(snapshot, lanes=(own(startupSeconds=1500), hosted_lane()))
    assert [planning_due(replace(slow, at=NOW + at), before, {}, {}) for at in (57.0, 60.0)] == [False, True]
    quick = replace(snapshot, lanes=(own(startupSeconds=1), hosted_lane()))
    assert [planning_due(replace(quick, at=NOW + at), before, {}, {}) for at in (3.0, 6.0)] == [False, True]


def test_a_clock_set_back_is_no_reason_to_wait() -> None:
    assert planning_due(replace(capped(world()), at=NOW - 3600.0), Planned(NOW, {}, {}, None), {}, {})


def test_between_solves_the_last_one_is_looked_up() -> None:
    found = ticks(7, lambda at: world(41.0 if at == NOW else 200.0, at=at))
    plans = [planned(memory) for _, memory in found]
    numbers = [gpu(decision).desired for decision, _ in found]
    assert [each is plans[0] for each in plans] == [True] * 5 + [False] * 2
    assert numbers[:5] == [numbers[0]] * 5
    assert (numbers[5] or 0) > (numbers[0] or 0)


def test_blind_it_keeps_what_was_planned() -> None:
    _, memory = made(world(60.0))
    later = NOW + 60.0
    gone = replace(world(60.0, at=later), metrics=replace(world().metrics, reason="PrometheusError"))  # type: ignore[arg-type]
    decision, after = made(gone, memory)
    assert gpu(decision).desired is None
    assert after.planned is memory.planned


def test_a_lane_whose_demand_is_not_known_is_held_and_planned_for_once_it_is() -> None:
    stale = replace(chat(), demand=demand(41.0, at=NOW - 120))
    decision, memory = made(world(classes=(stale,)))
    assert (gpu(decision).desired, gpu(decision).recommended) == (None, 4)
    assert planned(memory).sizings == {}
    known, _ = made(world(at=NOW + 3), memory)
    assert (gpu(known).desired, gpu(known).recommended) == (3, 3)


def test_attainment_moves_the_cap() -> None:
    """Hours of misses close the cap, hours without open it."""

    def prompts(at: float) -> LaneSnapshot:
        return own(at=at, profile={"prefillMsPerKToken": "400"})

    caps = {}
    for attained in (0.97, 1.0):
        memory = REMEMBERED
        for step in range(40):
            at = NOW + 600.0 * step
            item = chat(41.0, at, attainment=reading(attained, at))
            decision, memory = made(world(at=at, classes=(item,), lane=prompts(at)), memory)
        caps[attained] = gpu(decision).in_flight_cap or 0
    start = gpu(made(world(lane=prompts(NOW)))[0]).in_flight_cap or 0
    assert caps[0.97] < start < caps[1.0]


def test_what_a_wider_bound_would_save_is_told_once_an_hour() -> None:
    """Solved again with each bound moved: a replica more where max binds, nothing where it does not."""
    tight = own(2, **{"replicas": {"min": 0, "max": 2}})
    decision, memory = made(replace(world(100.0), lanes=(tight, hosted_lane(usd_out="3"))))
    assert decision.bound_savings["lane/gpu"] > 1.0
    assert decision.bound_savings["ceiling"] == 0.0  # there is none
    free, _ = made(world(20.0))
    assert free.bound_savings["lane/gpu"] == pytest.approx(0.0, abs=1e-6)
    later, after = made(world(100.0, at=NOW + 1800.0), memory)
    assert later.bound_savings == decision.bound_savings
    assert planned(after).bounds_moved_at == NOW
    _, much_later = made(world(100.0, at=NOW + 3700.0), after)
    assert planned(much_later).bounds_moved_at == NOW + 3700.0
