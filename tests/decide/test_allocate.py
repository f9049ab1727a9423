"""Sizing by hand-computed newsvendor cases: work is requests here (1 s of a replica each), no headroom unless said."""

from __future__ import annotations

import math

import numpy as np
import pytest

from spillway.api import LatencyClass
from spillway.decide.allocate import OwnLane, allocate, size_lane, usable_replicas
from spillway.decide.eligibility import Outlet
from spillway.decide.overflow import Load, absorb, host, own_first
from spillway.decide.service import Service, ServiceSource

HALF = 0.5 / 3600
"""Hosted dollars per request at which a request a second costs $0.50 an hour."""


def service(seconds: float = 1.0, *keys: str, batch: float = 64.0) -> Service:
    return Service(ServiceSource.PROFILE, batch, 10.0, dict.fromkeys(keys or ("c",), seconds))


def lane(usd: float = 1.0, low: int = 0, high: int = 100, attainment: float = 0.5, **fields: object) -> OwnLane:
    made = {"name": "gpu", "service": service(), "caution": 1.0} | fields
    return OwnLane(
        usd_per_hour=usd,
        min_replicas=low,
        max_replicas=high,
        attainment=attainment,
        **made,  # type: ignore[arg-type]
    )


def load(key: str = "c", usd: float | None = HALF, limit: float = math.inf, **fields: object) -> Load:
    outlets = () if usd is None else (Outlet("hosted", usd, limit),)
    made = {"latency": LatencyClass.INTERACTIVE, "attainment": 0.5} | fields
    return Load(key=key, outlets=outlets, **made)  # type: ignore[arg-type]


OUTCOMES = np.array([0.5, 1.5, 2.5, 3.5])
"""The replicas save 0.875, 0.625, 0.375 and 0.125 requests a second each."""


@pytest.mark.parametrize(
    ("usd_per_request_hour", "replicas"),
    [(1.1, 0), (1.2, 1), (1.5, 1), (1.7, 2), (2.6, 2), (2.7, 3), (7.9, 3), (8.1, 4), (1000.0, 4)],
)
def test_newsvendor(usd_per_request_hour: float, replicas: int) -> None:
    """A replica of $1 an hour is worth it while it saves 1/price requests a second: 0.875, 0.625, 0.375, 0.125."""
    made = size_lane(lane(), [load(usd=usd_per_request_hour / 3600)], {"c": OUTCOMES}, math.inf)
    assert made.replicas == replicas
    assert made.required == 0


def test_the_marginal_figures_are_told() -> None:
    made = size_lane(lane(), [load(usd=2.0 / 3600)], {"c": OUTCOMES}, math.inf)
    assert made.replicas == 2
    assert made.last_saves_usd_per_hour == pytest.approx(2 * 0.625)
    assert made.next_saves_usd_per_hour == pytest.approx(2 * 0.375)
    assert made.hosted_usd_per_hour == pytest.approx(2 * (0.5 + 1.5) / 4)


@pytest.mark.parametrize(("attainment", "replicas"), [(0.74, 3), (0.76, 4)])
def test_what_may_not_leave_is_served_at_the_attainment_quantile(attainment: float, replicas: int) -> None:
    # usable_replicas would add headroom here; a huge batch takes it away.
    own = lane(usd=99.0, attainment=attainment, service=service(batch=1e12))
    assert size_lane(own, [load(usd=None)], {"c": OUTCOMES}, math.inf).replicas == replicas


def test_a_free_replica_is_taken_only_as_far_as_it_saves() -> None:
    assert size_lane(lane(usd=0.0), [load()], {"c": OUTCOMES}, math.inf).replicas == 4
    assert size_lane(lane(usd=0.0), [load()], {"c": np.zeros(4)}, math.inf).replicas == 0


@pytest.mark.parametrize(
    ("fields", "ceiling"),
    [({"limit": 1.0}, math.inf), ({}, 0.5), ({"tier": "Standard", "tier_usd_per_hour": 0.5}, math.inf)],
)
def test_limits_and_ceilings_must_be_made_up_for_by_own_gpus(fields: dict[str, float], ceiling: float) -> None:
    """At most 1 request a second may leave; 2.5 at the 74% quantile then need 2 replicas, at a price far too high."""
    own = lane(usd=99.0, attainment=0.74, service=service(batch=1e12))
    made = size_lane(own, [load(**fields)], {"c": OUTCOMES}, ceiling)  # type: ignore[arg-type]
    assert made.replicas == 2
    assert made.capped == ("limit" not in fields)


def test_misses_have_a_price() -> None:
    own = lane(usd=1.0, attainment=0.5, service=service(batch=1e12))
    assert size_lane(own, [load(usd=None, miss_usd=0.0)], {"c": OUTCOMES}, math.inf).replicas == 2
    assert size_lane(own, [load(usd=None, miss_usd=10 / 3600)], {"c": OUTCOMES}, math.inf).replicas == 4


def test_headroom_shrinks_with_the_fleet() -> None:
    one, ten = (float(usable_replicas(n, 64, 0.99)) for n in (1, 10))
    assert one == pytest.approx(0.747, abs=0.01)
    assert ten / 10 == pytest.approx(0.912, abs=0.01)
    assert float(usable_replicas(7, 64, 0.5)) == pytest.approx(7)
    assert one + 2.326 * math.sqrt(one / 64) == pytest.approx(1.0, abs=1e-3)


def test_a_large_fleet_is_searched_coarse_then_fine() -> None:
    own = lane(high=10_000, service=service(batch=1e12))
    made = size_lane(own, [load(usd=2.0 / 3600)], {"c": np.linspace(0, 5000, 1001)}, math.inf)
    assert made.replicas == pytest.approx(2500, abs=2)


def test_own_gpus_go_to_who_may_not_leave_then_urgent_then_dear_work() -> None:
    classes = [
        load("later", latency=LatencyClass.DEFERRABLE),
        load("cheap", usd=HALF),
        load("dear", usd=2 * HALF),
        load("bound", usd=None, latency=LatencyClass.BACKGROUND),
        load("background", usd=9 * HALF, latency=LatencyClass.BACKGROUND),
    ]
    seconds = dict.fromkeys([item.key for item in classes], 1.0)
    assert [item.key for item in own_first(classes, seconds)] == ["bound", "dear", "cheap", "background", "later"]
    left = absorb(classes, {item.key: np.array(2.0) for item in classes}, seconds, np.array(5.0))
    assert {key: float(value) for key, value in left.items()} == {
        "bound": 0.0, "dear": 0.0, "cheap": 1.0, "background": 2.0, "later": 2.0,
    }  # fmt: skip


def test_dear_means_per_second_of_own_work() -> None:
    long, short = load("long", usd=3 * HALF), load("short", usd=HALF)
    assert [item.key for item in own_first([long, short], {"long": 10.0, "short": 1.0})] == ["short", "long"]


def test_hosted_lanes_fill_cheapest_first() -> None:
    outlets = (Outlet("a", HALF, 3.0), Outlet("b", 2 * HALF, 4.0))
    item = Load("c", LatencyClass.INTERACTIVE, outlets, 0.99)
    made = host([item], {"c": np.array(10.0)}, math.inf)
    assert float(made.requests["c", "a"]) == 3.0
    assert float(made.requests["c", "b"]) == 4.0
    assert float(made.missed["c"]) == 3.0
    assert float(made.usd_per_hour) == pytest.approx(3 * 0.5 + 4 * 1.0)
    assert not made.capped


def test_classes_share_a_hosted_lane_and_the_urgent_one_goes_first() -> None:
    first, second = load("a", limit=4.0), load("b", limit=2.0, latency=LatencyClass.BACKGROUND)
    made = host([second, first], {"a": np.array(3.0), "b": np.array(3.0)}, math.inf)
    assert float(made.requests["a", "hosted"]) == 3.0
    assert float(made.requests["b", "hosted"]) == pytest.approx(0.5)  # a quarter of the lane is left


def test_the_cheaper_gpu_first_up_to_its_max_then_the_next() -> None:
    cheap = lane(usd=1.0, high=2, name="cheap", service=service(batch=1e12))
    dear = lane(usd=1.5, name="dear", service=service(batch=1e12))
    item, rates = load(usd=9.0 / 3600), np.full(8, 3.5)
    both = {"cheap": [item], "dear": [item]}
    made = allocate([dear, cheap], both, {name: {"c": rates} for name in both}, math.inf)
    assert made["cheap"].replicas == 4
    assert made["dear"].replicas == 2  # 1.5 is left beyond the cheap lane's max of 2


def test_a_dearer_lanes_minimum_is_there_anyway() -> None:
    cheap = lane(usd=1.0, name="cheap", service=service(batch=1e12))
    dear = lane(usd=1.5, low=2, name="dear", service=service(batch=1e12))
    item, rates = load(usd=9.0 / 3600), np.full(8, 3.5)
    both = {"cheap": [item], "dear": [item]}
    made = allocate([dear, cheap], both, {name: {"c": rates} for name in both}, math.inf)
    assert made["cheap"].replicas == 2
