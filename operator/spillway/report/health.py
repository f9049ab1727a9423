"""``/metrics``, ``/healthz`` and ``/readyz``, served in the operator's own event loop.

Health is told by the last *completed* tick, not by whether a process answers: a loop that hangs or fails every time is
not alive.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from types import TracebackType

from aiohttp import web

from spillway.config import OperatorConfig
from spillway.report.metrics import CONTENT_TYPE, OperatorMetrics

PERIODS = 3
"""Healthy while the last completed tick is younger than this many periods."""
STARTUP_GRACE_SECONDS = 60.0
"""Time for the first tick, on top of the periods."""


class TickHealth:
    """Whether ticks complete. The clock is monotonic, in seconds."""

    def __init__(self, period_seconds: float, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._limit_seconds = PERIODS * period_seconds
        self._started_at = clock()
        self._completed_at: float | None = None

    @classmethod
    def of(cls, config: OperatorConfig) -> TickHealth:
        """A period is the tick's, or the time limit on Prometheus where that is longer: waiting is not hanging."""
        return cls(max(config.tick_seconds, config.prometheus.timeout_seconds))

    def completed(self) -> None:
        """A tick has gone through."""
        self._completed_at = self._clock()

    @property
    def ready(self) -> bool:
        """Whether a first tick has gone through."""
        return self._completed_at is not None

    def problem(self) -> str | None:
        """One sentence on what is wrong, or None."""
        now = self._clock()
        if self._completed_at is None:
            waited = now - self._started_at
            if waited <= self._limit_seconds + STARTUP_GRACE_SECONDS:
                return None
            return f"no tick completed in {waited:.0f} s since the start"
        age = now - self._completed_at
        if age <= self._limit_seconds:
            return None
        return f"the last tick completed {age:.0f} s ago, more than {self._limit_seconds:.0f} s"


class HealthServer:
    """An async context manager; ``port`` is the one that was bound."""

    def __init__(self, host: str, port: int, health: TickHealth, metrics: OperatorMetrics) -> None:
        self._host, self._port = host, port
        self._health, self._metrics = health, metrics
        self._runner: web.AppRunner | None = None

    @classmethod
    def of(cls, config: OperatorConfig, health: TickHealth, metrics: OperatorMetrics) -> HealthServer:
        """A server on the configured host and port; port 0 picks a free one."""
        return cls(config.http_host, config.http_port, health, metrics)

    @property
    def port(self) -> int:
        """The bound port; the configured one before the server has started."""
        if self._runner is None or not self._runner.addresses:
            return self._port
        return int(self._runner.addresses[0][1])

    async def start(self) -> None:
        """Bind and serve. Raises ``OSError`` where the port is taken."""
        app = web.Application()
        app.add_routes(
            [
                web.get("/metrics", self._serve_metrics),
                web.get("/healthz", self._serve_health),
                web.get("/readyz", self._serve_ready),
            ]
        )
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._host, self._port).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner

    async def stop(self) -> None:
        """Close the socket; safe to call twice."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> HealthServer:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _serve_metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=self._metrics.render(), headers={"Content-Type": CONTENT_TYPE})

    async def _serve_health(self, _: web.Request) -> web.Response:
        problem = self._health.problem()
        return web.Response(status=503, text=problem + "\n") if problem else web.Response(text="ok\n")

    async def _serve_ready(self, _: web.Request) -> web.Response:
        if self._health.ready:
            return web.Response(text="ok\n")
        return web.Response(status=503, text="the first tick has not completed yet\n")
