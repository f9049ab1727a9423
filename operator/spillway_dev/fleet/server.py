"""The fleet as a process: the cluster in, `/metrics/*`, `/score` and `/healthz` out, all on the wall clock."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from spillway_dev.fleet import exporter
from spillway_dev.fleet.cluster import ClusterError, ClusterReader, ClusterState
from spillway_dev.fleet.config import FleetConfig, draw_requests
from spillway_dev.fleet.histogram import Family, exposition
from spillway_dev.fleet.model import FleetModel
from spillway_dev.fleet.score import Scorer

TICK_SECONDS = 0.05
POLL_SECONDS = 0.25
SAMPLE_SECONDS = 1.0
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
logger = logging.getLogger("spillway_dev.fleet")


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Where to listen, and which Unix time is the demand clock's 0 (the start of the scored day)."""

    kubeconfig: Path
    port: int
    starts_at: float
    host: str = "127.0.0.1"
    repeat: bool = False
    """Whether the day starts again when it is over (unscored), instead of silence."""


class FleetServer:
    """Runs a FleetModel in real time."""

    def __init__(self, config: FleetConfig, options: ServerOptions, clock: Callable[[], float] = time.time) -> None:
        self.config = config
        self._options = options
        self._clock = clock
        now_s = clock() - options.starts_at
        self.fleet = FleetModel(
            config, draw_requests(config), config.service_rng(), start_s=now_s, repeat=options.repeat
        )
        self.scorer = Scorer(self.fleet)
        self.sampler = exporter.GpuSampler()
        self.cluster: ClusterState | None = None

    async def run(self) -> None:
        """Serve until cancelled.

        Raises FleetError where the kubeconfig can't be used, OSError where the port is taken.
        """
        reader = await ClusterReader.connect(self.config, self._options.kubeconfig)
        runner = web.AppRunner(self._app(), access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._options.host, self._options.port).start()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._watch(reader))
                tasks.create_task(self._tick())
                tasks.create_task(self._sample())
        finally:
            await runner.cleanup()
            await reader.close()

    async def _watch(self, reader: ClusterReader) -> None:
        silent = False
        while True:
            try:
                self._apply(await reader.read())
                silent = False
            except ClusterError as error:
                # Pods go on serving while an apiserver is away: what was read last holds.
                if not silent:
                    logger.warning("%s; going on with the last state", error)
                silent = True
            await asyncio.sleep(POLL_SECONDS)

    def _apply(self, state: ClusterState) -> None:
        self._advance()
        self.cluster = state
        for name, view in state.lanes.items():
            self.fleet.set_replicas(name, view.pods)
        for name, weights in state.weights.items():
            self.fleet.set_weights(name, weights)

    async def _tick(self) -> None:
        while True:
            self._advance()
            await asyncio.sleep(TICK_SECONDS)

    async def _sample(self) -> None:
        while True:
            self._advance()
            self.sampler.sample(self.fleet)
            self.scorer.mark()
            await asyncio.sleep(SAMPLE_SECONDS)

    def _advance(self) -> None:
        if self.cluster is None:  # requests of the first moment wait for it instead of failing
            return
        self.fleet.advance(max(self.fleet.now_s, self._clock() - self._options.starts_at))

    def _app(self) -> web.Application:
        app = web.Application()
        gateway = self.fleet.gateway
        pages: dict[str, Callable[[], Iterable[Family]]] = {
            "vllm": lambda: exporter.engines(self.fleet),
            "envoy": gateway.envoy,
            "litellm": gateway.litellm,
            "dcgm": lambda: exporter.dcgm(self.fleet, self.sampler),
            "kube-state-metrics": self._kube_state,
        }
        for name, families in pages.items():
            app.router.add_get(f"/metrics/{name}", self._page(families))
        app.router.add_get("/score", self._score)
        app.router.add_get("/healthz", self._healthz)
        return app

    def _kube_state(self) -> Iterable[Family]:
        return exporter.kube_state(self.fleet, self.cluster) if self.cluster is not None else ()

    def _page(self, families: Callable[[], Iterable[Family]]) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def page(_request: web.Request) -> web.Response:
            self._advance()
            return web.Response(body=exposition(families()).encode(), headers={"Content-Type": CONTENT_TYPE})

        return page

    async def _score(self, _request: web.Request) -> web.Response:
        self._advance()
        return web.json_response(self.scorer.score())

    async def _healthz(self, _request: web.Request) -> web.Response:
        if self.cluster is None:
            return web.Response(status=503, text="the cluster has not been read yet\n")
        return web.Response(text="ok\n")


async def serve(server: FleetServer, stop: asyncio.Event) -> None:
    """Run `server` until `stop` is set; an error of the server ends it, too."""
    running = asyncio.create_task(server.run())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if running.done():
        running.result()
        return
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
