"""What clients of a real LiteLLM are told, what it counts, and what the operator reads of it: the same, exactly."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from spillway.act.litellm.values import Decided, Sending
from spillway.decide.snapshot import HostedState, PlanSnapshot, Reading
from spillway.observe.join import build_snapshot
from spillway.observe.metrics import MetricsReader, MetricsView
from spillway.observe.prices import PriceBook
from spillway.observe.scope import LaneScope
from spillway.observe.spenders import counted
from spillway_dev.processes import wait_until
from spillway_dev.prometheus import PrometheusServer, ScrapeJob
from spillway_dev.toolchain import Tools
from support.chat import Answer, chat
from support.observed import cluster, config, plan_scope
from support.proxied import Proxy, hosted, proxy, workload

ATTEMPTS = 40
CLASSES = (workload(), workload("both"))
# Its model has the own lane's name, and its provider another name with LiteLLM than with price packages.
TWIN = hosted("twin", ("llama",), provider="together")
PAID = (hosted(), TWIN)

# The first test installs LiteLLM where it is missing, and slow machines answer slowly.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def running() -> Iterator[Proxy]:
    weights = {"team-a/chat": {"gpu": 90, "hosted": 10}, "team-a/both": {"gpu": 50, "twin": 50}}
    with proxy(Decided(Sending.SPLIT, weights), CLASSES, PAID) as found:
        found.gpu.set(prompt_tokens=30, cached_tokens=20)
        found.paid.set(prompt_tokens=12, cached_tokens=5)
        yield found


@pytest.fixture(scope="module")
def prometheus(tools: Tools, running: Proxy) -> Iterator[PrometheusServer]:
    job = ScrapeJob("litellm", (f"127.0.0.1:{running.server.port}",))
    with PrometheusServer(tools, [job], scrape_seconds=1) as server:
        yield server


def paid_percent(answers: list[Answer]) -> float:
    """Share of the hosted lane."""
    return 100 * sum(answer.lane == "hosted" for answer in answers) / len(answers)


def told(answers: list[Answer]) -> dict[str, float]:
    """What clients were told in all."""
    return {
        "requests": len(answers),
        "input_tokens": sum(answer.input_tokens for answer in answers),
        "output_tokens": sum(answer.output_tokens for answer in answers),
        "input_cached_tokens": sum(answer.cached_tokens for answer in answers),
    }


async def test_a_split_is_within_two_points_and_every_token_is_counted(running: Proxy) -> None:
    before = running.counted()
    answers = list[Answer]()
    # A random split of 90 to 10: 1,000 requests are off by 2 points once in 28 times, 4,000 once in 40,000.
    while len(answers) < 4000 and (len(answers) < 1000 or abs(paid_percent(answers) - 10) > 2):
        bodies = [chat("chat", 1 + number % 7, stream=number % 3 == 0) for number in range(1000)]
        answers += await running.clients.ask(bodies, 16)
    assert {answer.status for answer in answers} == {200}
    assert paid_percent(answers) == pytest.approx(10, abs=2)
    assert told(answers)["output_tokens"] > 3 * len(answers)
    assert told(answers)["input_cached_tokens"] > 10 * len(answers)

    def grown() -> dict[str, float]:
        return {name: value - before[name] for name, value in running.counted().items()}

    # They are counted just after the answer.
    wait_until(lambda: grown()["requests"] >= len(answers), "all requests counted", 180)
    wait_until(lambda: grown() == told(answers), f"counters equal to {told(answers)}, not {grown()}", 120)
    by_lane = running.counted(requested_model="chat", model="gpt-4o-mini", api_provider="openai")
    assert by_lane["requests"] == Counter(answer.lane for answer in answers)["hosted"]


def snapshot(view: MetricsView, url: str) -> PlanSnapshot:
    """The plan as the operator sees it."""
    scope = plan_scope("ai", [LaneScope(lane, None) for lane in PAID], CLASSES)
    return build_snapshot(cluster(view.at, scope), view, config(url), view.at, PriceBook()).plans[0]


def is_positive(reading: Reading | None) -> bool:
    """Whether it is known and more than 0."""
    return reading is not None and reading.value > 0


def is_read(state: HostedState | None) -> bool:
    """Whether a hosted lane's rates are all known."""
    return state is not None and all(
        map(is_positive, (state.requests_per_second, state.input_tokens_per_second, state.output_tokens_per_second))
    )


async def test_hosted_lanes_are_read_with_their_rates_and_failures(
    running: Proxy, prometheus: PrometheusServer
) -> None:
    reader = MetricsReader(config(prometheus.url, prometheus={"scrapeIntervalSeconds": 1}), time.monotonic)
    try:
        for _ in range(ATTEMPTS):
            running.paid.set(fail_status=500)
            await running.clients.ask([chat("both", 3)] * 10, 2)
            running.paid.set(fail_status=None)
            await running.clients.ask([chat(name, 3) for name in ("chat", "both")] * 20, 4)
            view = await reader.read(time.time())
            assert view.error is None, view.error
            lanes = {lane.name: lane.hosted for lane in snapshot(view, prometheus.url).lanes}
            if all(map(is_read, lanes.values())) and is_positive(lanes["twin"] and lanes["twin"].errors_per_second):
                break
        else:
            pytest.fail(f"never read in whole: {lanes}")
    finally:
        reader.close()


async def at_rest(running: Proxy) -> float:
    """The requests that are counted, once 5 seconds have brought no more: earlier tests' are among them."""
    seen = running.counted()["requests"]
    while True:
        await asyncio.sleep(5)
        if (now := running.counted()["requests"]) == seen:
            return now
        seen = now


async def test_the_ledger_counts_what_clients_were_told_by_lane(running: Proxy, prometheus: PrometheusServer) -> None:
    settings = config(prometheus.url, prometheus={"scrapeIntervalSeconds": 1})
    reader = MetricsReader(settings, time.monotonic)
    scope = plan_scope("ai", [LaneScope(lane, None) for lane in PAID], CLASSES)

    async def by_lane(requests: float) -> Counter[str]:
        """Tokens by lane, as soon as so many requests are counted and scraped."""
        prometheus.wait_for(f"sum(litellm_requests_metric_total) == {requests}", 180)
        view = await reader.read(time.time())
        found = Counter[str]()
        for each in counted(cluster(view.at, scope), view.spend or (), settings, lambda lane: None):
            found[f"{each.lane} in"] += int(each.tokens.get("input_tokens", 0))
            found[f"{each.lane} out"] += int(each.tokens.get("output_tokens", 0))
            found[f"{each.lane} cached"] += int(each.tokens.get("cached_tokens", 0))
        return found

    try:
        await running.clients.ask([chat(name) for name in ("chat", "both")] * 10, 4)
        quiet = await at_rest(running)
        before = await by_lane(quiet)
        bodies = [
            chat(name, 1 + number % 5, stream=number % 2 == 0) for number in range(60) for name in ("chat", "both")
        ]
        answers = await running.clients.ask(bodies, 8)
        after = await by_lane(quiet + len(answers))
    finally:
        reader.close()
    paid = Counter[str]()
    for answer in answers:
        if answer.lane != "gpu":
            paid[f"ai/{answer.lane} in"] += answer.input_tokens
            paid[f"ai/{answer.lane} out"] += answer.output_tokens
            paid[f"ai/{answer.lane} cached"] += answer.cached_tokens
    assert len(paid) == 6
    assert after - before == paid
