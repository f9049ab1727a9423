"""Split on a real Envoy, beyond what every plane must do: open streams and many moves in a row lose nothing."""

from __future__ import annotations

import pytest

from spillway_dev.processes import wait_until
from spillway_dev.upstreams import Load, LoadOptions
from support.gateways import Lanes
from support.planes import GatewayRig

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(900)]


def arrive(load: Load, upstream: str, share: float) -> None:
    """Wait until nearly this share of fresh requests arrives: a weight of 0 or 100 must become exact."""
    wait_until(lambda: abs(load.wait_for(100).share(upstream) - share) <= (15 if 0 < share < 100 else 0), "moved", 120)


def at_home(lanes: Lanes) -> GatewayRig:
    rig = GatewayRig(lanes, "Managed")
    rig.move(gpu=100, hosted=0)
    wait_until(lambda: rig.send(1).ok == 1, "the route is loaded", 120)
    return rig


def test_streams_in_flight_survive_a_weight_of_zero(lanes: Lanes) -> None:
    rig = at_home(lanes)
    lanes.set_local(token_seconds=0.1)
    body = {"stream": True, "max_tokens": 300}
    streams = LoadOptions(concurrency=12, max_requests=12, max_seconds=120, body=body, headers=lanes.headers)
    short = LoadOptions(concurrency=2, max_requests=100_000, max_seconds=200, headers=lanes.headers)
    with Load(lanes.stack.url, streams) as open_streams:
        wait_until(lambda: lanes.counted("in_flight") == 12, "streams open", 120)
        with Load(lanes.stack.url, short) as load:
            rig.move(gpu=0, hosted=100)
            arrive(load, "gpu", 0)
            # The weight has arrived while every stream is still open.
            assert lanes.counted("in_flight") == 12
            assert open_streams.report().ok == 0
            report = open_streams.finish()
    assert report.ok == 12, report.errors
    assert report.served_by == {"gpu": 12}
    assert load.report().failed == 0, load.report().errors


def test_twenty_moves_under_load_lose_nothing(lanes: Lanes) -> None:
    rig = at_home(lanes)
    options = LoadOptions(concurrency=8, max_requests=200_000, max_seconds=400, headers=lanes.headers)
    with Load(lanes.stack.url, options) as load:
        for gpu in [0, 100, 50, 0, 10, 90, 100, 0, 30, 60] * 2:
            rig.move(gpu=gpu, hosted=100 - gpu)
            load.wait_for(100)
    report = load.report()
    assert report.failed == 0, report.errors
    assert report.ok >= 2_000
