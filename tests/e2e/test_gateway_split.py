"""Split on a real Envoy: weights that the product writes move real traffic, and no request is lost."""

from __future__ import annotations

import pytest

from spillway_dev.processes import wait_until
from spillway_dev.upstreams import Load, LoadOptions, LoadReport
from support.gateways import ROUTES, Lanes, accepted, http_route

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(900)]

# Of a 70/30 split, 2 points are four standard deviations at this many requests.
ENOUGH = 8_000
# What is asked of a weight of 0: nothing at all arrives.
SOME = 500


def arrive(load: Load, upstream: str, share: float) -> None:
    """Wait until nearly this share of fresh requests arrives: a weight of 0 or 100 must become exact."""
    wait_until(lambda: abs(load.wait_for(100).share(upstream) - share) <= (15 if 0 < share < 100 else 0), "moved", 30)


def split(load: Load, requests: int) -> LoadReport:
    before = load.report()
    load.wait_for(requests)
    return load.report().since(before)


@pytest.mark.parametrize("ownership", ["Managed", "Adopted"])
def test_weights_move_real_traffic_and_nothing_is_lost(lanes: Lanes, ownership: str) -> None:
    if ownership == "Adopted":
        lanes.cluster.apply(http_route(lanes.namespace, vllm=1, egress=0))
    binding = lanes.binding(ownership)
    assert binding.move(gpu=100, hosted=0).ok
    wait_until(lambda: reached(lanes), "the route is loaded", 30)

    options = LoadOptions(concurrency=8, max_requests=200_000, max_seconds=400, headers=lanes.headers)
    with Load(lanes.stack.url, options) as load:
        assert split(load, SOME).served_by.keys() == {"gpu"}

        assert binding.move(gpu=70, hosted=30).ok
        arrive(load, "gpu", 70)
        assert split(load, ENOUGH).share("gpu") == pytest.approx(70, abs=2)

        assert binding.move(gpu=0, hosted=100).ok
        arrive(load, "gpu", 0)
        assert split(load, SOME).served_by.keys() == {"hosted"}

        assert binding.move(gpu=100, hosted=0).ok
        arrive(load, "gpu", 100)
        before = [one.counters()["served"] for one in lanes.local]
        assert split(load, SOME).served_by.keys() == {"gpu"}
        # Both addresses of the local name take part.
        assert all(one.counters()["served"] > was for one, was in zip(lanes.local, before, strict=True))
    report = load.report()
    assert report.failed == 0, report.errors
    assert report.ok == report.sent
    assert accepted(lanes.cluster.get(ROUTES, "chat", lanes.namespace))


def test_streams_in_flight_survive_a_weight_of_zero(lanes: Lanes) -> None:
    binding = lanes.binding("Managed")
    lanes.set_local(token_seconds=0.1)
    binding.move(gpu=100, hosted=0)
    wait_until(lambda: reached(lanes), "the route is loaded", 30)
    body = {"stream": True, "max_tokens": 60}
    streams = LoadOptions(concurrency=12, max_requests=12, max_seconds=60, body=body, headers=lanes.headers)
    short = LoadOptions(concurrency=2, max_requests=100_000, max_seconds=200, headers=lanes.headers)
    with Load(lanes.stack.url, streams) as open_streams:
        wait_until(lambda: lanes.counted("in_flight") == 12, "streams open", 30)
        with Load(lanes.stack.url, short) as load:
            binding.move(gpu=0, hosted=100)
            arrive(load, "gpu", 0)
            # The weight has arrived while every stream is still open.
            assert lanes.counted("in_flight") == 12
            assert open_streams.report().ok == 0
            report = open_streams.finish()
    assert report.ok == 12, report.errors
    assert report.served_by == {"gpu": 12}
    assert load.report().failed == 0, load.report().errors


def test_twenty_moves_under_load_lose_nothing(lanes: Lanes) -> None:
    binding = lanes.binding("Managed")
    binding.move(gpu=100, hosted=0)
    wait_until(lambda: reached(lanes), "the route is loaded", 30)
    options = LoadOptions(concurrency=8, max_requests=200_000, max_seconds=400, headers=lanes.headers)
    with Load(lanes.stack.url, options) as load:
        for gpu in [0, 100, 50, 0, 10, 90, 100, 0, 30, 60] * 2:
            assert binding.move(gpu=gpu, hosted=100 - gpu).ok
            load.wait_for(100)
    report = load.report()
    assert report.failed == 0, report.errors
    assert report.ok >= 2_000


def reached(lanes: Lanes) -> bool:
    """Whether one request gets through to an upstream."""
    options = LoadOptions(concurrency=1, max_requests=1, max_seconds=10, headers=lanes.headers)
    with Load(lanes.stack.url, options) as load:
        return load.finish().ok == 1
