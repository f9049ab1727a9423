"""Counters of the real engine against what the client counted: exact."""

from __future__ import annotations

import asyncio

import pytest

from spillway.observe.engines import VLLM
from spillway_dev.vllm.load import Ask, LoadGenerator
from spillway_dev.vllm.server import SEQUENCES
from support.vllm import Counters, Seen, started, tokens_between, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ESTIMATES = ("flops", "read_bytes", "write_bytes")
READINGS = 10


async def test_the_engine_exports_every_counter_of_the_table(counters: Counters) -> None:
    assert {metric.key for metric in VLLM.counters} == set(await counters.read())


async def test_tokens_and_requests_are_exact(load: LoadGenerator, counters: Counters) -> None:
    before = await counters.read()
    asks = [load.ask(prompt, output) for prompt in (1, 7, 120, 400, 900) for output in (1, 2, 33, 64)]
    asks += [load.ask(50, 20, stream=False) for _ in range(5)]
    answers = await load.closed(asks, SEQUENCES)
    assert all(answer.served for answer in answers), [answer.error or answer.status for answer in answers]
    found = await counters.since(before)
    tokens_in = sum(ask.prompt_tokens for ask in asks)
    tokens_out = sum(ask.output_tokens for ask in asks)
    assert (tokens_in, tokens_out) == (sum(a.prompt_tokens for a in answers), sum(a.output_tokens for a in answers))
    assert {key: found[key] for key in ("requests", "input_tokens", "output_tokens", "ttft_count", "itl_count")} == {
        "requests": len(asks),
        "input_tokens": tokens_in,
        "output_tokens": tokens_out,
        "ttft_count": len(asks),
        "itl_count": tokens_out - len(asks),
    }
    assert found["preemptions"] == found["rejections"] == found["cached_tokens"] == 0
    assert not any(found[key] for key in ESTIMATES), "0 unless the engine is told to estimate, and so no reading"
    # An iteration brings each of at most 8 requests a token.
    assert tokens_out / SEQUENCES <= found["iterations"] <= tokens_out + len(asks)


async def test_cached_prompt_tokens_are_exact(load: LoadGenerator, counters: Counters) -> None:
    long = load.ask(600, 4)
    first = await load.send(long)
    before = await counters.read()
    again = await load.closed([long, long, Ask(f"{long.prompt} w1 w2", 4)], 1)
    found = await counters.since(before)
    assert first.cached_tokens == 0
    assert min(answer.cached_tokens for answer in again) > 0, "a prompt seen before is in the prefix cache"
    assert found["cached_tokens"] == sum(answer.cached_tokens for answer in again)
    assert found["input_tokens"] == 600 + 600 + 602, "cached tokens are input tokens, too"


async def test_who_hangs_up_leaves_tokens_and_first_tokens_but_no_request(
    load: LoadGenerator, counters: Counters
) -> None:
    before = await counters.read()
    async with load.holding([load.ask(20, 4000) for _ in range(3)]):
        await until(lambda: started(load.answers) == 3, "first tokens of 3 requests")
    found = await counters.since(before)
    assert found["requests"] == 0, "it is counted once it is answered"
    assert (found["input_tokens"], found["ttft_count"]) == (60, 3)
    assert 3 <= found["output_tokens"] < 3 * 4000
    assert found["itl_count"] == found["output_tokens"] - 3


async def test_rates_of_a_steady_load_are_the_clients(load: LoadGenerator, see: Seen) -> None:
    """The mean of readings a second apart, each of which looks back over the rate window."""
    asks = [load.ask(load.rng.randint(50, 150), load.rng.randint(40, 80)) for _ in range(600)]
    seen = []
    async with load.holding([]) as tasks:
        tasks.append(asyncio.create_task(load.closed(asks, SEQUENCES - 2)))
        await until(lambda: sum(a.ended_at is not None for a in load.answers) >= 30, "30 answers")
        start = (await see.engine()).running.at
        while len(seen) < READINGS:
            state = await see.engine(seen[-1].running.at if seen else start + 4)
            seen.append(state)
    end = seen[-1].running.at
    served = [answer for answer in load.answers if answer.served]
    assert len(served) > 60
    mean = {
        name: sum(getattr(state, name).value for state in seen) / READINGS
        for name in ("requests_per_second", "input_tokens_per_second", "output_tokens_per_second")
    }
    span = end - start
    first = [answer for answer in load.answers if answer.first_at and start < answer.first_at <= end]
    assert mean["output_tokens_per_second"] == pytest.approx(tokens_between(load.answers, start, end) / span, rel=0.1)
    assert mean["input_tokens_per_second"] == pytest.approx(sum(a.ask.prompt_tokens for a in first) / span, rel=0.15)
    done = [answer for answer in served if answer.ended_at and start < answer.ended_at <= end]
    assert mean["requests_per_second"] == pytest.approx(len(done) / span, rel=0.15)
