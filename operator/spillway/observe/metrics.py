"""One tick's reading of Prometheus: a fixed number of queries, side by side, within one time limit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from spillway.config import GatewayType, OperatorConfig
from spillway.observe.history import (
    COARSE_POINTS,
    FINE_POINTS,
    History,
    HistoryGrid,
    parse_matrix,
)
from spillway.observe.prometheus import Evaluation, PrometheusClient, PrometheusError
from spillway.observe.queries import COARSE_STEP_SECONDS, Query, build_queries
from spillway.observe.readings import (
    GatewayReading,
    GpuReadings,
    PodEngine,
    PodKey,
    PodLatency,
    parse_engines,
    parse_gateways,
    parse_gpus,
    parse_latency,
    parse_proxies,
)
from spillway.observe.spend import SpendSeries, parse_spend

READ_LIMIT_TIMEOUTS = 2.0
"""Most time that a whole read may take, in time limits of one query."""


@dataclass(frozen=True, slots=True)
class HistoryView:
    """Fine and coarse history of one source."""

    fine: HistoryGrid | None = None
    coarse: HistoryGrid | None = None


@dataclass(frozen=True, slots=True)
class MetricsView:
    """What Prometheus said at one moment."""

    at: float
    """Unix time at which the queries were evaluated, in seconds."""
    error: str | None = None
    """Short cause why nothing may be decided on this view; None when it was read."""
    warnings: tuple[str, ...] = ()
    """One sentence for each part that could not be read and that decisions can do without."""
    engines: Mapping[PodKey, tuple[PodEngine, ...]] = field(default_factory=dict)
    latency: Mapping[PodKey, PodLatency] = field(default_factory=dict)
    gpus: GpuReadings = field(default_factory=GpuReadings)
    gateways: Mapping[str, GatewayReading] = field(default_factory=dict)
    """By the gateway's configured name."""
    engine_history: HistoryView = field(default_factory=HistoryView)
    gateway_history: Mapping[GatewayType, HistoryView] = field(default_factory=dict)
    spend: tuple[SpendSeries, ...] | None = None
    """The egress' cumulative token counters; None where they were not read."""
    proxies: Mapping[PodKey, Mapping[str, float]] | None = None
    """By pod of a LiteLLM proxy: hash of a configuration to the deployments of it that are loaded. None: not read."""
    seconds: float = 0.0
    """How long the read took."""
    queries: int = 0
    """HTTP requests that the read made."""


class MetricsReader:
    """Reads Prometheus once a tick. ``close`` ends its threads."""

    def __init__(self, config: OperatorConfig, clock: Callable[[], float]) -> None:
        """Prepare the reader; ``clock`` is monotonic, in seconds, and only measures how long a read took."""
        self._config = config
        self._clock = clock
        self._queries = build_queries(config)
        self._client: PrometheusClient | None = None
        step = max(1, -int(-config.prometheus.scrape_interval_seconds // 1))
        self._fine = {query.name: History(step, FINE_POINTS) for query in self._queries.fine}
        self._coarse = {query.name: History(COARSE_STEP_SECONDS, COARSE_POINTS) for query in self._queries.coarse}
        prometheus = config.prometheus
        self._parsers: dict[str, Callable[[Any], Any]] = {
            "engines": parse_engines(prometheus),
            "latency": parse_latency(prometheus),
            "gpus": parse_gpus(prometheus),
            "spend": parse_spend,
            "proxies": parse_proxies(prometheus),
            **{kind.value: parse_gateways(kind, config.gateways) for kind in GatewayType},
        }

    async def read(self, now: float) -> MetricsView:
        """The view at ``now`` (Unix seconds). Never raises for what Prometheus does: the view says what went wrong."""
        began = self._clock()
        try:
            if self._client is None:
                self._client = PrometheusClient(self._config.prometheus)
            self._client.refresh_credentials()
        except PrometheusError as error:
            return self._view(now, {"engines": error}, began, 0)
        work = self._instant_work(self._client, now) | self._history_work(self._client, now)
        answers = await self._gather(work)
        self._merge_histories(answers, now)
        return self._view(now, answers, began, len(work))

    def _instant_work(self, client: PrometheusClient, now: float) -> dict[str, Coroutine[Any, Any, Any]]:
        when = Evaluation(end=now)
        return {
            query.name: client.query(query.expression, when, self._parsers[query.name])
            for query in self._queries.instant
        }

    def _history_work(self, client: PrometheusClient, now: float) -> dict[str, Coroutine[Any, Any, Any]]:
        work: dict[str, Coroutine[Any, Any, Any]] = {}
        for grain, history, query in self._histories():
            if (when := history.next_request(now)) is not None:
                work[f"{grain} history of {query.name}"] = client.query(query.expression, when, parse_matrix)
        return work

    def _histories(self) -> list[tuple[str, History, Query]]:
        fine = [("fine", self._fine[query.name], query) for query in self._queries.fine]
        return fine + [("coarse", self._coarse[query.name], query) for query in self._queries.coarse]

    async def _gather(self, work: Mapping[str, Coroutine[Any, Any, Any]]) -> dict[str, Any]:
        """Answers or PrometheusErrors by name, all of them within the limit of a whole read."""
        limit = self._config.prometheus.timeout_seconds * READ_LIMIT_TIMEOUTS
        tasks = {name: asyncio.create_task(coroutine) for name, coroutine in work.items()}
        try:
            await asyncio.wait(tasks.values(), timeout=limit)
        finally:
            for task in tasks.values():
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)
        return {name: _outcome(task, limit) for name, task in tasks.items()}

    def _merge_histories(self, answers: Mapping[str, Any], now: float) -> None:
        answering = any(
            not isinstance(answers[query.name], PrometheusError) for query in self._queries.instant if query.critical
        )
        for grain, history, query in self._histories():
            answer = answers.get(f"{grain} history of {query.name}")
            if isinstance(answer, PrometheusError):
                history.failed(now, too_much=answering)
            elif answer is not None:
                history.merge(answer)

    def _view(self, now: float, answers: Mapping[str, Any], began: float, count: int) -> MetricsView:
        critical = {query.name for query in self._queries.instant if query.critical}
        failures = {name: answer for name, answer in answers.items() if isinstance(answer, PrometheusError)}
        errors = [f"{error}" for name, error in failures.items() if name in critical]
        got = {name: answer for name, answer in answers.items() if name not in failures}
        gateways = {name: reading for kind in GatewayType for name, reading in got.get(kind.value, {}).items()}
        return MetricsView(
            at=now,
            error=errors[0] if errors else None,
            warnings=self._warnings(failures, critical),
            engines=got.get("engines", {}),
            latency=got.get("latency", {}),
            gpus=got.get("gpus") or GpuReadings(),
            gateways=gateways,
            engine_history=self._history_view("engines"),
            gateway_history={kind: self._history_view(kind.value) for kind in GatewayType if kind.value in self._fine},
            spend=got.get("spend"),
            proxies=got.get("proxies"),
            seconds=self._clock() - began,
            queries=count,
        )

    def _warnings(self, failures: Mapping[str, PrometheusError], critical: set[str]) -> tuple[str, ...]:
        failed = [f"{name} could not be read: {error}" for name, error in failures.items() if name not in critical]
        cut = [
            f"{grain} history of {query.name} is cut: too many series"
            for grain, history, query in self._histories()
            if history.truncated
        ]
        return (*failed, *cut)

    def _history_view(self, name: str) -> HistoryView:
        return HistoryView(self._fine[name].grid, self._coarse[name].grid)

    def close(self) -> None:
        """End the client's threads."""
        if self._client is not None:
            self._client.close()
            self._client = None


def _outcome(task: asyncio.Task[Any], limit: float) -> Any:
    if task.cancelled():
        return PrometheusError(f"no answer within {limit:g} s")
    error = task.exception()
    if error is None:
        return task.result()
    if isinstance(error, PrometheusError):
        return error
    raise error
