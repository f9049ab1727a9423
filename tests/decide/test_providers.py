"""Providers that refuse: less for them, the rest to the next lane, and back once they take it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from decide.builders import NOW, World, demand, hosted_lane, known, own_lane, plan, reading, route, target, workload
from spillway.decide import decide
from spillway.decide.memory import LaneMemory, Memory, ProviderLimit
from spillway.decide.providers import FORGOTTEN_SECONDS, provider_limits
from spillway.decide.snapshot import ClassSnapshot, HostedState, LaneSnapshot, PlanSnapshot, Reading

TICK = 15.0


def lane(served: float, errors: float | None, at: float = NOW, name: str = "hosted", usd: str = "1.0") -> LaneSnapshot:
    counted = None if errors is None else reading(errors, at)
    return hosted_lane(name, usd, hosted=HostedState(reading(served, at), reading(0.0, at), reading(0.0, at), counted))


def seen(served: float, errors: float | None, at: float = NOW, read_at: float | None = None) -> PlanSnapshot:
    return World(lanes=(lane(served, errors, at if read_at is None else read_at),), at=at, tick=TICK).snapshot()


def limit_of(found: dict[str, ProviderLimit]) -> float:
    return found["hosted"].requests_per_second if "hosted" in found else math.inf


def lived(takes: Callable[[float], float], offered: float, seconds: float) -> list[tuple[float, float, float]]:
    """(time, served, refused) of a provider that takes so many a second, read as rates of the last minute."""
    limits: dict[str, ProviderLimit] = {}
    past: list[tuple[float, float, float]] = []
    for index in range(round(seconds / TICK)):
        at = index * TICK
        given = min(offered, limit_of(limits))
        served = min(given, takes(at))
        past.append((at, served, given - served))
        window = past[-4:]
        snapshot = seen(sum(p[1] for p in window) / 4, sum(p[2] for p in window) / 4, NOW + at)
        limits = provider_limits(snapshot, limits)
    return past


def test_who_takes_all_has_no_limit() -> None:
    assert provider_limits(seen(100.0, 0.0), {}) == {}
    assert provider_limits(seen(100.0, 2.0), {}) == {}, "single errors happen to all"
    assert provider_limits(seen(0.0, 0.02), {}) == {}, "one refusal in a minute says nothing"
    assert provider_limits(seen(100.0, None), {}) == {}


def test_who_refuses_gets_less_than_it_served() -> None:
    (found,) = provider_limits(seen(60.0, 40.0), {}).values()
    assert found.requests_per_second == pytest.approx(48.0)
    assert found.refused_share == pytest.approx(0.4)


def test_a_provider_with_a_limit_of_its_own_is_used_near_to_it() -> None:
    past = lived(lambda _: 60.0, 100.0, 3600)
    later = [p for p in past if p[0] > 600]
    served, refused = sum(p[1] for p in later), sum(p[2] for p in later)
    assert served > 0.75 * 60.0 * len(later)
    assert refused < 0.2 * (served + refused)
    first = sum(p[2] for p in past[:40]) / sum(p[1] + p[2] for p in past[:40])
    assert refused / (served + refused) < first or first < 0.2


def test_an_outage_leaves_a_trickle_and_is_over_within_minutes() -> None:
    end = 1800.0
    past = lived(lambda at: 0.0 if at < end else 1e9, 100.0, end + 1800)
    during = [p for p in past if 300 < p[0] < end]
    assert 0.0 < sum(p[2] for p in during) / len(during) < 15.0
    again = next(p[0] for p in past if p[0] > end and p[1] >= 99.0)
    assert again - end < 10 * 60


def test_without_counters_a_limit_stands_for_a_while_and_is_forgotten() -> None:
    limits = provider_limits(seen(60.0, 40.0), {})
    assert provider_limits(seen(60.0, 40.0, NOW + 300, read_at=NOW), limits) == limits
    assert provider_limits(seen(0.0, None, NOW + FORGOTTEN_SECONDS), limits) == {}
    assert provider_limits(seen(10.0, 0.0, NOW + FORGOTTEN_SECONDS), limits) == {}


def test_a_lane_that_is_gone_has_no_limit() -> None:
    limits = provider_limits(seen(60.0, 40.0), {})
    assert provider_limits(World(lanes=()).snapshot(), limits) == {}


def decided(first: tuple[float, float], at: float = NOW) -> dict[str, int]:
    """The weights of a class of 100 a second whose own replica takes 15, by what the cheaper of two providers does."""
    lanes = (
        own_lane(state=target(1)),
        lane(*first, at, "cheap", "1.0"),
        lane(0.0, 0.0, at, "dear", "2.0"),
    )
    backends = {"gpu": "vllm", "cheap": "cheap", "dear": "dear"}
    binding = {"class": "chat", "ownership": "Adopted", "httpRoute": "chat", "rule": "chat", "backends": backends}
    world = World(
        plan=plan(lanes=["gpu", "cheap", "dear"], routing={"bindings": [binding]}),
        classes=(ClassSnapshot(workload(), demand(100.0, at=at, history=known(100.0, at))),),
        lanes=lanes,
        routes=(route(gpu=10, cheap=90, dear=0),),
        at=at,
        tick=TICK,
    )
    decision, _ = decide(world.snapshot(), Memory(lanes={"gpu": LaneMemory(first_seen_at=at - 10_000)}))
    assert decision.lane("cheap") is not None
    code = decision.lane("cheap").reason.code  # type: ignore[union-attr]
    assert code == ("ProviderRefuses" if first[1] else "HostedLane")
    return dict(decision.routes[0].weights)


def test_what_a_provider_refuses_goes_to_the_next() -> None:
    fine, refusing = decided((90.0, 0.0)), decided((40.0, 50.0))
    assert fine["dear"] == 0
    assert fine["cheap"] > 80
    assert 25 <= refusing["cheap"] <= 35
    assert refusing["dear"] >= 45
    assert refusing["gpu"] == fine["gpu"]


def test_where_nobody_takes_it_own_lanes_queue() -> None:
    """One hosted lane, refused: what it doesn't take stays at home at once, calm or not."""
    state = HostedState(reading(40.0), reading(0.0), reading(0.0), Reading(50.0, NOW))
    world = World(
        classes=(ClassSnapshot(workload(), demand(100.0)),),
        lanes=(own_lane(state=target(1)), replace(hosted_lane(), hosted=state)),
        routes=(route(gpu=10, hosted=90),),
        tick=TICK,
    )
    decision, memory = decide(world.snapshot(), Memory(lanes={"gpu": LaneMemory(first_seen_at=NOW - 10_000)}))
    assert 30 <= decision.routes[0].weights["hosted"] <= 33
    reason = decision.classes[0].reason
    assert reason is not None
    assert reason.code == "ProvidersFull"
    assert memory.providers["hosted"].requests_per_second == pytest.approx(32.0)
