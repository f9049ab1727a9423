"""What the tests on a real vLLM share: the lane it stands for, its counters, and the client's own figures."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from spillway.config import OperatorConfig
from spillway.decide.snapshot import EngineState, PlanSnapshot
from spillway.observe.engines import VLLM
from spillway.observe.join import build_snapshot
from spillway.observe.metrics import MetricsReader, MetricsView
from spillway.observe.prices import PriceBook
from spillway.observe.promql import TAG, Term, union
from spillway.observe.scope import LaneScope
from spillway_dev.prometheus import PrometheusServer, ScrapeJob
from spillway_dev.toolchain import Tools
from spillway_dev.vllm.load import Answer
from spillway_dev.vllm.server import VllmServer
from support.observed import cluster, config, own_lane, plan_scope, pod_name, target, workload

NAMESPACE = "ai"
POD = pod_name("vllm", 0)
MODEL = "tiny"
QUEUE_LIMIT = 12
"""Requests in flight, of which 8 run."""
SCRAPE_SECONDS = 1
SETTLED_SECONDS = 90.0
POLL_SECONDS = 0.05

FIGURES: list[str] = []
"""What the tests measured, one sentence each; told at the end of the run."""


@contextmanager
def scraping(tools: Tools, engine: VllmServer) -> Iterator[PrometheusServer]:
    """A fresh Prometheus that scrapes the engine each second, with enough scrapes for rates."""
    job = ScrapeJob("vllm", (engine.address,), labels={"namespace": NAMESPACE, "pod": POD})
    with PrometheusServer(tools, [job], scrape_seconds=SCRAPE_SECONDS) as server:
        server.wait_for(f"count_over_time(vllm:generation_tokens_total[{10 * SCRAPE_SECONDS}s]) >= 3", SETTLED_SECONDS)
        yield server


@dataclass(slots=True)
class Seen:
    """The operator's eyes on the one lane that the engine stands for. One reader, so that history is kept."""

    reader: MetricsReader
    settings: OperatorConfig

    async def view(self) -> MetricsView:
        """One tick's reading."""
        view = await self.reader.read(time.time())
        assert view.error is None, view.error
        return view

    async def plan(self, ttft_ms: int = 1000, itl_ms: int = 100) -> PlanSnapshot:
        """One tick's reading, joined with a plan of this one lane and a class with that SLO."""
        view = await self.view()
        lane = LaneScope(own_lane(NAMESPACE, models=(MODEL,)), target(NAMESPACE, view.at, [POD]))
        slo = {"timeToFirstTokenMs": ttft_ms, "interTokenLatencyMs": itl_ms}
        item = workload(NAMESPACE, match={"model": MODEL}, slo=slo, equivalentModels=[MODEL])
        scope = plan_scope(NAMESPACE, [lane], [item])
        return build_snapshot(cluster(view.at, scope), view, self.settings, view.at, PriceBook()).plans[0]

    async def engine(self, since: float = 0.0) -> EngineState:
        """The lane's engines, by a scrape later than ``since`` (Unix seconds)."""
        async with asyncio.timeout(SETTLED_SECONDS):
            while True:
                found = (await self.plan()).lanes[0].engine
                assert found is not None
                if found.running is not None and found.running.at > since:
                    return found
                await asyncio.sleep(POLL_SECONDS)


@contextmanager
def seeing(prometheus: PrometheusServer) -> Iterator[Seen]:
    """The product's reader on this Prometheus."""
    settings = config(prometheus.url, prometheus={"scrapeIntervalSeconds": SCRAPE_SECONDS}, gateways=[])
    reader = MetricsReader(settings, time.monotonic)
    yield Seen(reader, settings)
    reader.close()


@dataclass(slots=True)
class Counters:
    """The engine's counters, by the product's alias tables."""

    prometheus: PrometheusServer

    async def read(self) -> dict[str, float]:
        """Their values as soon as the engine was scraped idle."""
        by = ("namespace", "pod", "model_name")
        terms = [Term(metric.key, metric.expression(by, "%s")) for metric in VLLM.counters]
        busy = "vllm:num_requests_running + vllm:num_requests_waiting > 0"
        scraped = f"timestamp(vllm:generation_tokens_total) > {time.time()} unless ({busy})"
        await asyncio.to_thread(self.prometheus.wait_for, scraped, SETTLED_SECONDS)
        return {labels[TAG]: value for labels, value in await asyncio.to_thread(self.prometheus.query, union(terms))}

    async def since(self, before: dict[str, float]) -> dict[str, float]:
        """How much they have grown."""
        after = await self.read()
        return {key: after[key] - value for key, value in before.items()}


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait until the client has seen something."""
    try:
        async with asyncio.timeout(SETTLED_SECONDS):
            while not condition():  # noqa: ASYNC110 - what is waited for happens in another process
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        raise TimeoutError(f"{what}: not within {SETTLED_SECONDS:g} s") from None


def started(answers: Sequence[Answer]) -> int:
    """How many requests have got their first token."""
    return sum(answer.first_at is not None for answer in answers)


def in_flight(answers: Sequence[Answer], start: float, end: float) -> float:
    """Mean number of served requests between being sent and answered."""
    total = 0.0
    for answer in answers:
        if answer.status == 200:
            total += max(0.0, min(end, answer.ended_at or end) - max(start, answer.sent_at))
    return total / (end - start)


def tokens_between(answers: Sequence[Answer], start: float, end: float) -> int:
    """Tokens that reached the client in that time. Of an answer that was cut short each event counts as one."""
    found = 0.0
    for answer in answers:
        if answer.token_times:
            each = answer.output_tokens / len(answer.token_times) if answer.output_tokens else 1.0
            found += each * sum(start < moment <= end for moment in answer.token_times)
    return round(found)


def bucket(buckets: Sequence[tuple[float, float]], share: float) -> tuple[float, float]:
    """Bounds of the bucket in which that quantile of a cumulative histogram lies."""
    total, lower = buckets[-1][1], 0.0
    for bound, below in buckets:
        if below >= share * total * (1 - 1e-9):
            return lower, bound
        lower = bound
    return lower, math.inf


def quantile(values: Sequence[float], share: float) -> float:
    """The client's own quantile: the smallest value that so many are at most."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
