"""Health is told by completed ticks, over real HTTP."""

from __future__ import annotations

import aiohttp
import pytest

from spillway.config import OperatorConfig
from spillway.report.health import HealthServer, TickHealth
from spillway.report.metrics import OperatorMetrics


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def get(server: HealthServer, path: str) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{server.port}{path}") as answer,
    ):
        return answer.status, await answer.text()


async def test_ready_with_the_first_tick_and_alive_while_ticks_complete() -> None:
    clock, metrics = Clock(), OperatorMetrics()
    health = TickHealth(10, clock)
    async with HealthServer("127.0.0.1", 0, health, metrics) as server:
        assert (await get(server, "/readyz"))[0] == 503
        assert (await get(server, "/healthz"))[0] == 200
        clock.now += 90
        assert (await get(server, "/healthz"))[0] == 200, "within the grace of the start"
        clock.now += 1
        assert (await get(server, "/healthz")) == (503, "no tick completed in 91 s since the start\n")
        health.completed()
        assert (await get(server, "/readyz"))[0] == 200
        clock.now += 30
        assert (await get(server, "/healthz"))[0] == 200
        clock.now += 1
        status, text = await get(server, "/healthz")
        assert (status, text) == (503, "the last tick completed 31 s ago, more than 30 s\n")
        status, text = await get(server, "/metrics")
        assert status == 200
        assert "spillway_build_info" in text
        assert (await get(server, "/anything"))[0] == 404


async def test_a_taken_port_is_an_os_error() -> None:
    health, metrics = TickHealth(10), OperatorMetrics()
    async with HealthServer("127.0.0.1", 0, health, metrics) as first:
        with pytest.raises(OSError, match="address already in use"):
            await HealthServer("127.0.0.1", first.port, health, metrics).start()


def test_waiting_for_prometheus_is_not_hanging() -> None:
    clock = Clock()
    config = OperatorConfig.model_validate({"prometheus": {"url": "http://p", "timeoutSeconds": 10}, "tickSeconds": 1})
    health = TickHealth.of(config)
    health._clock = clock
    health.completed()
    clock.now += 30
    assert health.problem() is None
    clock.now += 1
    assert health.problem() is not None
