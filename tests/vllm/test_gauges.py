"""Gauges of the real engine against what the client holds open."""

from __future__ import annotations

import time

import pytest

from spillway_dev.vllm.load import Answer, LoadGenerator
from spillway_dev.vllm.server import SEQUENCES
from support.vllm import Seen, started, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PROMPT, OUTPUT = 300, 4000
BLOCK_TOKENS = 128
"""Of vLLM's KV cache on CPUs."""


def held_tokens(answers: list[Answer]) -> int:
    """Prompt and answer of every running request, so far."""
    return sum(a.ask.prompt_tokens + len(a.token_times) for a in answers if a.first_at)


@pytest.mark.parametrize("held", [1, 5, 8, 11])
async def test_running_and_waiting_are_what_the_client_holds(load: LoadGenerator, see: Seen, held: int) -> None:
    running = min(held, SEQUENCES)
    async with load.holding([load.ask(PROMPT, OUTPUT) for _ in range(held)]) as tasks:
        await until(lambda: started(load.answers) == running, f"first tokens of {running} requests")
        low = held_tokens(load.answers)
        plan = None
        state = await see.engine(time.time())
        plan, high = await see.plan(), held_tokens(load.answers)
        assert not any(task.done() for task in tasks), "all are still open"
    assert (state.running.value, state.waiting.value) == pytest.approx((running, held - running), abs=1)
    assert state.pods_reporting == 1
    pod = plan.lanes[0].target.pods[0]
    assert (pod.running.value, pod.waiting.value) == pytest.approx((running, held - running), abs=1)
    # Blocks are taken whole; tokens on their way to the client are held, too.
    size = (await see.view()).engines[("ai", pod.name)][0].kv_size_tokens
    assert low <= state.kv_usage.value * size <= high + running * (BLOCK_TOKENS + 32)


async def test_an_engine_that_has_answered_all_is_seen_idle(load: LoadGenerator, see: Seen) -> None:
    await load.closed([load.ask(20, 10) for _ in range(4)], 4)
    state = await see.engine(time.time())
    assert (state.running.value, state.waiting.value, state.kv_usage.value) == (0, 0, 0)
