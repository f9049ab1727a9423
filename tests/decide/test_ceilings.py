"""Ceilings per hour, day and month: what may still be spent, and what becomes of traffic when it is gone."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from decide.builders import NOW, World, hosted_lane, own_lane, plan, target, traffic, workload
from spillway.decide import decide
from spillway.decide.ceilings import LAST_SECONDS, ceiling_usd_per_hour, month_pacing, tier_usd_per_hour, windows
from spillway.decide.decision import Decision
from spillway.decide.memory import LaneMemory, Memory
from spillway.decide.snapshot import PlanSnapshot, Spent

REMEMBERED = Memory(lanes={"gpu": LaneMemory(first_seen_at=NOW - 10_000, last_replicas=4)})
HURRY = 3600 / LAST_SECONDS
"""What is left may be spent in ten minutes: so many times as much an hour."""


def snapshot(spent: Spent | None = None, ready: int = 0, **ceilings: str) -> PlanSnapshot:
    """41 requests a second, $14.76 an hour if all of it is hosted; own replicas are not Ready unless told."""
    world = World(
        plan=plan(overflow={"ceilingUsd": ceilings}), lanes=(own_lane(state=target(4, ready)), hosted_lane()),
        classes=(traffic(rate=41.0),),
    )  # fmt: skip
    return replace(world.snapshot(), spent=spent)


def gone(hour: float = 0.0, day: float = 0.0, month: float = 0.0) -> Spent:
    return Spent(hour, day, month)


@pytest.mark.parametrize(
    ("ceilings", "spent", "rate"),
    [
        ({}, None, math.inf),
        ({}, gone(1e9, 1e9, 1e9), math.inf),
        ({"perHour": "5"}, None, 5.0),
        ({"perHour": "5"}, gone(0.0), 5.0),
        ({"perHour": "5"}, gone(4.5), 0.5 * HURRY),
        ({"perHour": "5"}, gone(5.1), 0.0),
        ({"perDay": "40"}, gone(9.0, 20.0), 20.0 * HURRY),
        ({"perDay": "40"}, gone(9.0, 40.0), 0.0),
        ({"perHour": "5", "perMonth": "500"}, gone(0.0, 0.0, 499.9), 0.1 * HURRY),
        # What is bounded stays bounded where nobody counts.
        ({"perDay": "40"}, None, 0.0),
        ({"perHour": "5", "perMonth": "500"}, None, 0.0),
    ],
)
def test_the_rate_that_is_left(ceilings: dict[str, str], spent: Spent | None, rate: float) -> None:
    assert ceiling_usd_per_hour(snapshot(spent, **ceilings)) == pytest.approx(rate)


def test_tiers() -> None:
    known = snapshot(Spent(9.0, 9.0, 9.0, {"Gold": 9.0}))
    assert tier_usd_per_hour(known, "Gold", 10.0) == pytest.approx(1.0 * HURRY)
    assert tier_usd_per_hour(known, "Gold", 9.0) == 0.0
    assert tier_usd_per_hour(known, "Low", 10.0) == 10.0
    assert tier_usd_per_hour(known, None, math.inf) == math.inf
    assert tier_usd_per_hour(snapshot(), "Gold", 10.0) == 10.0


def test_shares_of_ceilings() -> None:
    found = windows(snapshot(gone(1.0, 32.0), perHour="5", perDay="40"))
    assert [(each.period, each.share) for each in found] == [("hour", 0.2), ("day", 0.8)]
    assert [each.share for each in windows(snapshot(perDay="40"))] == [None]
    assert [each.share for each in windows(snapshot(gone(), perDay="0"))] == [1.0]


def hosted(made: PlanSnapshot) -> tuple[int, Decision]:
    decision, _ = decide(made, REMEMBERED)
    return decision.routes[0].weights["hosted"], decision


def test_a_ceiling_that_is_reached_keeps_traffic_at_home() -> None:
    """Ceiling before SLO: what may not be paid for queues."""
    free, _ = hosted(snapshot(gone(), perDay="40"))
    assert free == 100
    low, decision = hosted(snapshot(gone(day=39.0), ready=2, perDay="40"))
    most, reached = hosted(snapshot(gone(day=40.0), ready=2, perDay="40"))
    assert 0 < low < 40
    assert most == 0
    assert reached.reason.code in {"CeilingReached", "ScaleUp"}
    assert decision.classes[0].hosted_share == pytest.approx(low / 100, abs=0.01)


def test_own_replicas_are_sized_for_what_may_not_be_hosted() -> None:
    """Hosted tokens are so cheap that own GPUs would go, but there is no money left for them."""
    cheap = replace(hosted_lane(usd_out="0.2"))
    free = replace(snapshot(gone(), ready=4, perDay="40"), lanes=(own_lane(), cheap))
    spent = replace(free, spent=gone(day=40.0))
    assert decide(free, REMEMBERED)[0].lanes[0].desired == 1
    assert (decide(spent, REMEMBERED)[0].lanes[0].desired or 0) >= 3


def test_a_tier_that_is_used_up() -> None:
    tiers = [{"name": "Low", "maxSpillUsdPerHour": "5"}]
    low = workload(valueTier="Low")
    world = World(
        plan=plan(valueTiers=tiers), lanes=(own_lane(state=target(4, 2)), hosted_lane()),
        classes=(traffic(rate=41.0, resource=low),),
    )  # fmt: skip
    free = replace(world.snapshot(), spent=Spent(0.0, 0.0, 0.0))
    used = replace(free, spent=Spent(5.0, 5.0, 5.0, {"Low": 5.0}))
    assert hosted(free)[0] > 0
    assert hosted(used)[0] == 0


@pytest.mark.parametrize(
    ("spent", "pacing"),
    [(None, 1.0), (100.0, 1.0), (480.0, 1.0), (800.0, 4.5), (999.0, 8.0), (1000.0, 8.0)],
)
def test_a_month_that_runs_out_early_makes_hosted_dollars_dear(spent: float | None, pacing: float) -> None:
    """NOW is half of a January."""
    known = None if spent is None else gone(month=spent)
    assert month_pacing(snapshot(known, perMonth="1000")) == pytest.approx(pacing, abs=0.25)


def test_no_ceiling_for_the_month_no_pacing() -> None:
    assert month_pacing(snapshot(gone(1e9, 1e9, 1e9), perDay="40")) == 1.0


def test_ahead_of_the_month_own_replicas_take_more() -> None:
    """Hosted tokens at a price at which none of one's own would pay, until a month's dollars are gone in half of it."""
    cheap = replace(hosted_lane(usd_out="0.2"))
    fine = replace(snapshot(gone(month=400.0), ready=4, perMonth="1000"), lanes=(own_lane(), cheap))
    ahead = replace(fine, spent=gone(month=800.0))
    assert decide(fine, REMEMBERED)[0].lanes[0].desired == 1
    assert (decide(ahead, REMEMBERED)[0].lanes[0].desired or 0) >= 2
