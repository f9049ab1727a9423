"""Starts the operator: kopf watches the manifests, the loop does the work, both end together."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable, Mapping
from typing import Any

import kopf

from spillway.api import API_VERSION, CapacityLane, CapacityPlan, LaneChange, WorkloadClass
from spillway.api.names import APPROVED_ANNOTATION, REJECTED_ANNOTATION
from spillway.config import OperatorConfig
from spillway.controller.loop import Loop
from spillway.kube import Kube, KubeError
from spillway.report.health import HealthServer, TickHealth
from spillway.report.metrics import OperatorMetrics

logger = logging.getLogger("spillway")


class Generations:
    """Tells changes that matter (a spec, a person's word on a proposal) from the operator's own status writes."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[object, ...]] = {}

    def is_news(self, event_type: str | None, meta: Mapping[str, Any]) -> bool:
        """Whether the watch event on an object with this metadata asks for a tick."""
        notes, uid = meta.get("annotations") or {}, str(meta.get("uid"))
        found = (int(meta.get("generation") or 0), notes.get(APPROVED_ANNOTATION), notes.get(REJECTED_ANNOTATION))
        if event_type == "DELETED":
            self._seen.pop(uid, None)
            return True
        known, self._seen[uid] = self._seen.get(uid), found
        return known != found or bool(meta.get("deletionTimestamp"))


def build_registry(wake: Callable[[], None]) -> kopf.OperatorRegistry:
    """kopf handlers that only wake the loop: no patches, no finalizers, no annotations."""
    registry, generations = kopf.OperatorRegistry(), Generations()

    # A coroutine: kopf calls plain functions in threads, where an asyncio.Event must not be set.
    async def changed(event: kopf.RawEvent, body: kopf.Body, **_: Any) -> None:
        if generations.is_news(event.get("type"), body.metadata):
            wake()

    def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
        # The same order as the loop's own client.
        if os.environ.get("KUBECONFIG"):
            return kopf.login_with_kubeconfig(**kwargs)
        return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)

    group, version = API_VERSION.split("/")
    for kind in (CapacityPlan, CapacityLane, WorkloadClass, LaneChange):
        kopf.on.event(group, version, kind.PLURAL, registry=registry)(changed)
    kopf.on.login(registry=registry)(login)
    return registry


def kopf_settings() -> kopf.OperatorSettings:
    """kopf as a watcher: no peering, no scanning, no Events, bounded waits (seconds)."""
    settings = kopf.OperatorSettings()
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 301
    settings.watching.connect_timeout = 10
    settings.networking.request_timeout = 15
    settings.persistence.finalizer = "spillway.dev/never-used"
    return settings


async def operate(config: OperatorConfig, stop: asyncio.Event) -> None:
    """Run until ``stop`` is set or a signal comes. The loop or kopf ending by itself ends the process: crash-only."""
    _take_signals(stop)
    metrics, health, ready = OperatorMetrics(), TickHealth.of(config), asyncio.Event()
    async with await Kube.connect() as kube, HealthServer.of(config, health, metrics) as server:
        loop = Loop(kube, config, health, metrics, time.time)
        logger.info("serving /metrics, /healthz and /readyz on port %d", server.port, extra={"port": server.port})
        where = ", ".join(config.namespaces) or "all namespaces"
        logger.info("watching %s, a tick each %g s", where, config.tick_seconds)
        async with asyncio.TaskGroup() as tasks:
            ticking = tasks.create_task(loop.run(), name="loop")
            watching = tasks.create_task(
                kopf.operator(
                    registry=build_registry(loop.wake),
                    settings=kopf_settings(),
                    standalone=True,
                    clusterwide=not config.namespaces,
                    namespaces=config.namespaces,
                    ready_flag=ready,
                    stop_flag=stop,
                ),
                name="kopf",
            )
            tasks.create_task(_take_signals_back(ready, stop, watching), name="signals")
            tasks.create_task(_stop_when(stop, ticking, watching), name="stop")


def _take_signals(stop: asyncio.Event) -> None:
    running = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        running.add_signal_handler(number, stop.set)


async def _take_signals_back(ready: asyncio.Event, stop: asyncio.Event, watching: asyncio.Task[None]) -> None:
    """kopf takes the signals when it starts, and would then end alone: take them again once it runs."""
    started = asyncio.create_task(ready.wait())
    await asyncio.wait({started, watching}, return_when=asyncio.FIRST_COMPLETED)
    started.cancel()
    _take_signals(stop)


async def _stop_when(stop: asyncio.Event, ticking: asyncio.Task[None], watching: asyncio.Task[None]) -> None:
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({stopped, watching}, return_when=asyncio.FIRST_COMPLETED)
    ticking.cancel()
    if not stop.is_set():
        stopped.cancel()
        raise RuntimeError("the watch of the custom resources ended by itself; restarting is the remedy")


def run(config: OperatorConfig) -> int:
    """Run the operator until SIGTERM or SIGINT. Returns the exit code."""

    try:
        asyncio.run(operate(config, asyncio.Event()))
    except ExceptionGroup as group:
        for error in group.exceptions:
            logger.error("the operator ends: %s", error)
        return 1
    except (KubeError, OSError) as error:
        logger.error("the operator can't start: %s", error)
        return 1
    return 0
