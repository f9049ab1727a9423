"""What a lane would be asked for without its bounds, against what is decided once they are moved."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decide.builders import World, demand, hosted_lane, own_lane, own_resource, plan, target, workload
from decide.gateways import chat, gpu, made, own, world
from spillway.decide.allocation.problem import Response
from spillway.decide.freed import MOST_BOUNDS, Freed, OwnLane, Work, beyond, freed
from spillway.decide.snapshot import ClassSnapshot

REPLICA_USD = 3.85


def lane_at(rate: float, usd_out: str = "1.0", **bounds: int) -> Freed:
    found = gpu(made(world(rate, usd_out, lane=own(replicas=bounds)))[0]).freed
    assert found is not None
    return found


def desired(rate: float, usd_out: str = "1.0", **bounds: int) -> int:
    found = gpu(made(world(rate, usd_out, lane=own(replicas=bounds)))[0]).desired
    assert found is not None
    return found


def test_between_the_bounds_it_is_what_is_asked_for() -> None:
    found = lane_at(41.0, min=0, max=40)
    assert found == Freed(desired(41.0, min=0, max=40))


def test_a_minimum_that_keeps_replicas_is_told_with_its_dollars() -> None:
    free = desired(20.0, "5.0", min=0, max=40)
    found = lane_at(20.0, "5.0", min=6, max=40)
    assert 0 < free <= found.needed + 1 <= free + 1
    assert sorted(found.saves_usd_per_hour) == [0, 1, 2, 3, 4, 5]
    one_less = found.saves_usd_per_hour[5]
    assert one_less == pytest.approx(REPLICA_USD, rel=0.05), "the sixth replica saves next to nothing"
    assert found.saves_usd_per_hour[found.needed] == max(found.saves_usd_per_hour.values())
    assert found.saves_usd_per_hour[0] == found.saves_usd_per_hour[found.needed], "it would stand at its need"


def test_a_maximum_that_spills_is_told_with_its_dollars() -> None:
    free = desired(120.0, min=0, max=40)
    found = lane_at(120.0, min=0, max=2)
    assert found.needed > 2
    assert found.saves_usd_per_hour[3] > 0, "one more replica costs less than the tokens that it saves"
    assert min(free, 2 + 4) - 1 <= found.needed <= free + 1
    assert found.saves_usd_per_hour[4] > found.saves_usd_per_hour[3]


def test_a_maximum_of_0_too() -> None:
    found = lane_at(60.0, min=0, max=0)
    assert found.needed >= 2


def test_a_lane_that_may_not_stand_at_0_needs_one() -> None:
    item = ClassSnapshot(workload(dataPolicy="SelfHostedOnly"), demand(0.01))
    found = gpu(made(world(0.01, lane=own(replicas={"min": 3, "max": 8}), classes=(item,)))[0]).freed
    assert found is not None
    assert found.needed == 1
    assert 0 not in found.saves_usd_per_hour


def test_misses_are_no_bill() -> None:
    """Nothing goes hosted: more replicas are worth it, and cost."""
    item = ClassSnapshot(workload(dataPolicy="SelfHostedOnly"), demand(60.0))
    found = gpu(made(world(60.0, lane=own(replicas={"min": 1, "max": 2}), classes=(item,)))[0]).freed
    assert found is not None
    assert found.needed > 2
    assert found.saves_usd_per_hour[3] == pytest.approx(-REPLICA_USD)


def test_not_known_where_nothing_is_decided() -> None:
    item = ClassSnapshot(workload(), None)
    decision = made(world(1.0, lane=own(replicas={"min": 3, "max": 8}), classes=(item,)))[0]
    assert gpu(decision).freed is None
    hosted = decision.lane("hosted")
    assert hosted is not None
    assert hosted.freed is None


def own_of(asked: int, bounds: tuple[int, int], replica_usd: float) -> OwnLane:
    """A lane of which each replica takes all work up to itself: a request a second."""
    load = np.linspace(0.0, 50.0, 501)
    left = np.maximum(load[None, :] - np.arange(20)[:, None], 0.0)
    response = Response(np.arange(20, dtype=np.float64), load, left)
    return OwnLane(response, {"chat": 1.0}, replica_usd, *bounds, asked)


def asking(rates: list[float], usd_per_hour: float) -> Work:
    """Work that costs so much an hour for each request a second that nobody takes."""
    usd = {"chat": usd_per_hour / 3600}
    return Work({"chat": np.array(rates)}, usd, usd)


WORKS = st.lists(st.floats(0.0, 15.0), min_size=1, max_size=8)
USD = st.floats(0.0, 20.0)


@given(WORKS, USD, USD, st.integers(0, 8), st.integers(0, 8), st.none() | st.integers(0, 12), st.integers(0, 1))
def test_what_is_needed_is_cheapest_and_what_it_saves_adds_up(
    work: list[float], usd: float, replica: float, low: int, more: int, room: int | None, fewest: int
) -> None:
    bounds = (low, low + more)
    for replicas in (low, low + more, low + more // 2):
        found = beyond(own_of(replicas, bounds, replica), (), asking(work, usd), room)
        lane = freed(replicas, found, bounds, fewest)
        if found is None:
            assert lane == Freed(replicas)
            continue
        assert lane.needed >= min(fewest, replicas)
        assert room is None or lane.needed <= max(room, replicas)
        cheapest = min(found.worth[n - found.first] for n in (lane.needed, replicas))
        assert found.worth[lane.needed - found.first] <= cheapest + 1e-9
        for bound, saved in lane.saves_usd_per_hour.items():
            assert not low <= bound <= low + more, "inside the bounds nothing changes"
            # With hosted prices alone the bill is what is weighed: no bound towards the need makes it dearer.
            assert saved >= -1e-9
            assert saved <= lane.saves_usd_per_hour.get(lane.needed, saved) + 1e-9
        assert len(lane.saves_usd_per_hour) <= MOST_BOUNDS


def test_a_pool_without_room_frees_nothing() -> None:
    lane, work = own_of(3, (0, 3), 1.0), asking([9.0], 10.0)
    assert beyond(lane, (), work, 3) is None
    assert beyond(lane, (), work, 2) is None
    found = beyond(lane, (), work, 5)
    assert found is not None
    assert freed(3, found, (0, 3), 0).needed == 5


def test_the_dearest_hosted_lane_that_is_used_prices_what_is_left() -> None:
    cheap = gpu(made(world(41.0, usd_out="0.01", lane=own(replicas={"min": 4, "max": 8})))[0]).freed
    assert cheap is not None
    assert cheap.needed == 0, "hosted tokens for next to nothing: no GPU is worth it"
    dear = lane_at(41.0, "5.0", min=4, max=8)
    assert abs(dear.needed - desired(41.0, "5.0", min=0, max=8)) <= 1
    assert dear.needed > 0


ROUTED = {
    "class": "chat",
    "ownership": "Adopted",
    "httpRoute": "chat",
    "rule": "chat",
    "backends": {"gpu": "vllm", "spare": "spare", "hosted": "egress"},
}


def beside(spare_usd: str, spare: dict[str, int], gpu_bounds: dict[str, int]) -> dict[str, Freed | None]:
    """Two own lanes of one class, by name."""
    price = {"usdPerGpuHour": spare_usd}
    other = own_lane(resource=own_resource("spare", replicas=spare, price=price), state=target(spare["min"]))
    both = World(
        classes=(chat(41.0),),
        lanes=(own(replicas=gpu_bounds), other, hosted_lane(usd_out="5.0")),
        plan=plan(lanes=["gpu", "spare", "hosted"], routing={"bindings": [ROUTED]}),
    )
    return {lane.name: lane.freed for lane in made(both)[0].lanes}


def test_a_lane_is_not_wanted_for_work_that_another_has() -> None:
    free = {"min": 0, "max": 40}
    found = beside("9", {"min": 0, "max": 0}, free)["spare"]
    assert found == Freed(0), "switched off, and nothing is left for it"
    found = beside("9", {"min": 2, "max": 8}, free)["spare"]
    assert found is not None
    assert found.needed < 2, "the cheaper lane carries it"


def test_a_lane_is_wanted_for_work_that_another_may_not_have() -> None:
    found = beside("4", {"min": 0, "max": 1}, {"min": 1, "max": 1})["spare"]
    assert found is not None
    assert found.needed == 2
    assert found.saves_usd_per_hour[2] > 0


@given(WORKS, USD, USD, USD, st.integers(0, 4), st.integers(0, 6))
def test_with_another_lane_beside_it_is_never_dearer(
    work: list[float], usd: float, replica: float, other: float, low: int, other_asked: int
) -> None:
    """What the other may do besides standing at 0 only helps; and no cost is below what serves all work cheapest."""
    lane = own_of(low, (low, low + 3), replica)
    beside = own_of(other_asked, (0, 8), other)
    alone, both = (beyond(lane, others, asking(work, usd), None) for others in ((), (beside,)))
    if alone is None or both is None:
        assert alone is both
        return
    cheapest = min(usd, replica, other) * float(np.mean(work))
    for one, two in zip(alone.worth, both.worth, strict=True):
        assert cheapest - 1e-6 <= two <= one + 1e-9
    assert both.billed == both.worth
