"""Latencies that are read of the real engine against the client's stop watch."""

from __future__ import annotations

import time

import pytest

from spillway.observe.readings import PodLatency
from spillway_dev.vllm.load import Answer, LoadGenerator
from spillway_dev.vllm.server import SEQUENCES
from support.vllm import FIGURES, NAMESPACE, POD, QUEUE_LIMIT, Seen, bucket, quantile

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

QUANTILES = (0.25, 0.5, 0.75, 0.9)
ON_THE_WAY_SECONDS = 0.06
"""HTTP, JSON and a client on the same cores: what a client sees later than the engine."""
TTFT_MS = (250, 500, 1000)


def mixed(load: LoadGenerator) -> list[tuple[int, int]]:
    """Prompts and answers of many lengths: some first tokens come at once, some behind a queue."""
    return [(load.rng.choice((20, 200, 800)), load.rng.randint(10, 90)) for _ in range(90)]


async def measured(load: LoadGenerator) -> list[Answer]:
    """90 requests one or two at a time, at the engine's size, and beyond it."""
    asks = [load.ask(*shape) for shape in mixed(load)]
    answers = await load.closed(asks[:15], 2)
    answers += await load.closed(asks[15:50], SEQUENCES)
    answers += await load.closed(asks[50:], QUEUE_LIMIT - 1)
    assert all(answer.served for answer in answers)
    return answers


def in_bucket(buckets: tuple[tuple[float, float], ...], values: list[float], late: float, share: float = 0.1) -> None:
    """Each quantile is in the client's bucket; ``late`` and ``share`` are how far the client's may be off a bound."""
    for each in QUANTILES:
        low, high = bucket(buckets, each)
        mine = quantile(values, each)
        assert low * (1 - share) <= mine <= high * (1 + share) + late, f"p{each * 100:g} {mine:.4f} s: {low} to {high}"


async def test_quantiles_attainment_and_means_are_the_clients(load: LoadGenerator, see: Seen) -> None:
    began = time.time()
    answers = await measured(load)
    await see.engine(time.time())
    view = await see.view()
    assert view.at - began < 55, "all of it is within the window that attainment is taken over"
    latency: PodLatency = view.latency[NAMESPACE, POD]
    first = [answer.first_seconds for answer in answers]
    each = [answer.token_seconds for answer in answers]
    FIGURES.append(
        f"TTFT p50 {quantile(first, 0.5) * 1000:.0f} p90 {quantile(first, 0.9) * 1000:.0f} ms, "
        f"time per token p50 {quantile(each, 0.5) * 1000:.1f} p90 {quantile(each, 0.9) * 1000:.1f} ms"
    )
    in_bucket(latency.ttft[0].buckets, first, ON_THE_WAY_SECONDS)
    in_bucket(latency.itl[0].buckets, each, 0.0)
    for bound in TTFT_MS:
        found = (await see.plan(ttft_ms=bound, itl_ms=60_000)).classes[0].attainment
        assert found is not None
        # The engine's watch starts after the client's and stops before it.
        low, high = (sum(v <= bound / 1000 + more for v in first) / len(first) for more in (0.0, ON_THE_WAY_SECONDS))
        assert low - 1e-6 <= found.value <= high + 1e-6, f"TTFT {bound} ms"


async def test_means_over_the_rate_window_are_the_clients(load: LoadGenerator, see: Seen) -> None:
    """Short enough to be within one rate window, with scrapes of an idle engine on both sides."""
    await see.engine(time.time())
    answers = await load.closed([load.ask(100, 20) for _ in range(12)], 6)
    state = await see.engine(time.time())
    assert time.time() - answers[0].sent_at < 4, "within the rate window"
    first = sum(answer.first_seconds for answer in answers) / len(answers)
    tokens = sum(answer.output_tokens - 1 for answer in answers)
    each = sum(answer.token_seconds * (answer.output_tokens - 1) for answer in answers) / tokens
    assert first - ON_THE_WAY_SECONDS <= state.time_to_first_token_seconds.value <= first
    assert state.inter_token_latency_seconds.value == pytest.approx(each, rel=0.15, abs=0.002)
