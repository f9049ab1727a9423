"""The whole loop over days in virtual time: up before saturation, hosted while starting, back, down, zero and back."""

from __future__ import annotations

import itertools
import math

import pytest

from decide.fleet import Fleet, Moment, day

DEMO = {"season": 360.0, "scrape": 2.0, "tick": 3.0, "startup": 5.0}
CLUSTER = {"season": 86400.0, "scrape": 15.0, "tick": 60.0, "startup": 240.0, "stabilization": 300}


def fleet_of(pace: dict[str, float], low: float, high: float, **fields: object) -> Fleet:
    fleet = Fleet(day(pace["season"], low, high), replicas=2, hosted=0, **pace, **fields)  # type: ignore[arg-type]
    fleet.now = 20 * pace["season"]
    return fleet


def second_day(fleet: Fleet) -> list[Moment]:
    """The first half day settles the start; what is judged is the day after it."""
    fleet.run(fleet.season / 2)
    return fleet.run(fleet.season)


@pytest.mark.parametrize("pace", [DEMO, CLUSTER], ids=["demo", "cluster"])
def test_a_day(pace: dict[str, float]) -> None:
    fleet = fleet_of(pace, 5.0, 180.0, usd_out="2.0", max_replicas=24)
    moments = second_day(fleet)
    peak = max(moments, key=lambda m: m.demand)
    trough = min(moments, key=lambda m: m.demand)
    assert max(m.own_load for m in moments) < 1.0  # up before saturation
    assert 11 <= peak.ready <= 15
    assert trough.replicas <= 2
    demand = sum(m.demand for m in moments)
    assert sum(m.demand * m.hosted_weight for m in moments) < 0.05 * demand
    static = math.ceil(180.0 / fleet.replica_rate) + 1
    hours = len(moments) * fleet.tick / 3600
    assert fleet.usd(moments) < 0.75 * static * 3.85 * hours


def test_hosted_lanes_carry_a_jump_while_pods_start_and_give_it_back() -> None:
    fleet = Fleet(
        lambda at: 20.0 if at < 7260 else 120.0, season=360.0, replicas=3, hosted=0, startup=30.0, usd_out="2"
    )
    fleet.now = 7200.0
    before = fleet.run(60)
    assert max(m.hosted_weight for m in before[5:]) < 0.2
    jump = fleet.run(240)
    during = [m for m in jump if m.ready <= 3 and m.at >= 7275]
    assert all(m.hosted_weight > 0.5 for m in during)
    assert all(m.own_load < 1.0 for m in jump if m.at >= 7275)
    end = jump[-10:]
    assert all(m.ready >= 8 for m in end)
    assert all(m.hosted_weight < 0.15 for m in end)


def test_weights_follow_warm_replicas_not_promised_ones() -> None:
    fleet = Fleet(lambda at: 60.0, season=360.0, replicas=0, hosted=100, startup=60.0, usd_out="2")
    fleet.now = 7200.0
    fleet.resize(0)
    moments = fleet.run(180)
    starting = [m for m in moments if m.ready == 0]
    assert any(m.replicas > 0 for m in starting)
    assert all(m.hosted_weight == 1.0 for m in starting)
    assert moments[-1].hosted_weight < 0.2


def test_to_zero_in_the_trough_and_back_with_hosted_bridging() -> None:
    fleet = fleet_of(DEMO, 0.0, 120.0, usd_out="2.0")
    moments = second_day(fleet)
    assert min(m.replicas for m in moments) == 0
    for one, other in itertools.pairwise(moments):
        if other.replicas == 0 and one.replicas > 0:
            assert one.hosted_weight == 1.0  # traffic has left before the last replica goes
            assert one.own_load == 0.0
    assert max(m.own_load for m in moments) < 1.0
    assert max(m.ready for m in moments) >= 8


def test_hosted_alone_where_it_is_cheaper() -> None:
    moments = second_day(fleet_of(DEMO, 5.0, 180.0, usd_out="0.3"))
    assert all(m.replicas == 0 and m.hosted_weight == 1.0 for m in moments)
    assert moments[-1].decision.lanes[0].reason.code == "ApiOnly"


def test_no_flapping_at_constant_demand() -> None:
    fleet = Fleet(lambda at: 100.0, season=360.0, replicas=7, hosted=0, usd_out="2.0", stabilization=60)
    fleet.now = 7200.0
    fleet.run(120)
    moments = fleet.run(600)
    changes = sum(a.replicas != b.replicas for a, b in itertools.pairwise(moments))
    assert changes <= 8
    assert max(m.own_load for m in moments) < 1.0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_half_of_the_pods_lost_moves_traffic_at_once(seed: int) -> None:
    fleet = Fleet(lambda at: 100.0, season=360.0, replicas=8, hosted=0, startup=60.0, usd_out="2.0", seed=seed)
    fleet.now = 7200.0
    fleet.run(120)
    for pod in fleet.pods[: len(fleet.pods) // 2]:
        pod.ready_at = fleet.now + 60
    first, second = fleet.step(), fleet.step()
    assert first.own_load > 1.0
    assert second.own_load < 1.0
    assert second.hosted_weight > 0.3
