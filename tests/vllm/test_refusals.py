"""The real engine's own refusals: what a gateway and Spillway can know of a full engine."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import pytest

from spillway_dev.vllm.load import Answer, LoadGenerator
from spillway_dev.vllm.server import SEQUENCES, VllmServer
from support.vllm import FIGURES, QUEUE_LIMIT, Counters, Seen, started, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

LONG = 4000
PATHS = ("/v1/completions", "/v1/chat/completions")


async def test_the_first_request_beyond_the_limit_is_refused_with_503_and_counted(
    load: LoadGenerator, counters: Counters, see: Seen
) -> None:
    before = await counters.read()
    async with load.holding([]) as tasks:
        # One after another: the limit counts running requests, too.
        for number in range(1, QUEUE_LIMIT + 1):
            tasks.append(asyncio.create_task(load.send(load.ask(20, LONG))))
            await until(lambda n=number: accepted(load) == n, f"request {number} of {QUEUE_LIMIT} is accepted")
        refused = await load.send(load.ask(20, 5))
        seconds = refused.ended_at - refused.sent_at
        state = await see.engine(time.time())
        assert not any(task.done() for task in tasks)
    FIGURES.append(
        f"request {QUEUE_LIMIT + 1} refused after {seconds * 1000:.0f} ms: {refused.status}, {refused.error}"
    )
    assert (refused.status, refused.first_at) == (503, None)
    assert seconds < 1, "at once, not after a wait in the queue"
    assert (state.running.value, state.waiting.value) == pytest.approx((SEQUENCES, QUEUE_LIMIT - SEQUENCES), abs=1)
    assert state.rejections_per_second.value > 0
    found = await counters.since(before)
    assert found["rejections"] == 1
    assert found["ttft_count"] == SEQUENCES
    assert found["input_tokens"] == SEQUENCES * 20, "a refused request leaves nothing else behind"


def accepted(load: LoadGenerator) -> int:
    return sum(answer.status == 200 for answer in load.answers)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_a_full_engine_refuses_every_kind_of_request_with_503(
    engine: VllmServer, load: LoadGenerator, counters: Counters, path: str, *, stream: bool
) -> None:
    before = await counters.read()
    async with (
        load.holding([load.ask(20, LONG) for _ in range(QUEUE_LIMIT)]),
        LoadGenerator(engine.url, path=path) as more,
    ):
        await until(lambda: accepted(load) == QUEUE_LIMIT and started(load.answers) == SEQUENCES, "a full engine")
        answers = [await more.send(more.ask(10, 5, stream=stream)) for _ in range(5)]
    assert [answer.status for answer in answers] == [503] * 5
    assert (await counters.since(before))["rejections"] == 5


async def test_room_is_given_to_the_next_as_soon_as_one_is_done(load: LoadGenerator) -> None:
    async with load.holding([load.ask(20, LONG) for _ in range(QUEUE_LIMIT - 1)]) as tasks:
        await until(lambda: accepted(load) == QUEUE_LIMIT - 1, "all but one place taken")
        tasks.append(asyncio.create_task(load.send(load.ask(20, LONG))))
        await until(lambda: accepted(load) == QUEUE_LIMIT, "the last place taken")
        assert (await load.send(load.ask(10, 2))).status == 503
        tasks[0].cancel()
        for _ in range(300):
            if await taken(load, tasks) == 200:
                return
            await asyncio.sleep(0.1)
    pytest.fail("the place of a request that was hung up on is never free again")


async def taken(load: LoadGenerator, tasks: list[asyncio.Task[Answer]]) -> int:
    """The status of one more request, which may wait in the queue from then on."""
    count = len(load.answers)
    tasks.append(asyncio.create_task(load.send(load.ask(10, 2))))
    await until(lambda: len(load.answers) > count and load.answers[count].status > 0, "a status")
    return load.answers[count].status


async def test_in_a_burst_streams_may_be_refused_after_their_200(load: LoadGenerator, counters: Counters) -> None:
    """vLLM looks at the limit before it answers, and again after: who came in between gets an error event.

    A gateway takes that for success. The counter tells such refusals as it tells the others.
    """
    before = await counters.read()
    answers = await load.closed([load.ask(20, 400) for _ in range(40)], 40)
    plain = await load.closed([load.ask(20, 400, stream=False) for _ in range(40)], 40)
    found = await counters.since(before)
    kinds = Counter("late" if a.refused_late else a.status for a in answers)
    FIGURES.append(f"40 streams at once: {dict(kinds)}; 40 plain: {dict(Counter(a.status for a in plain))}")
    assert found["rejections"] == sum(not answer.served for answer in [*answers, *plain])
    assert found["requests"] == sum(answer.served for answer in [*answers, *plain])
    assert kinds[200] >= QUEUE_LIMIT
    assert all("busy" in answer.error for answer in answers if not answer.served)
    assert not any(answer.refused_late for answer in plain), "who gets no stream gets the status"


async def test_under_steady_overload_most_refusals_are_503(load: LoadGenerator, counters: Counters) -> None:
    before = await counters.read()
    answers = await load.paced([load.ask(20, 120) for _ in range(300)], per_second=30)
    found = await counters.since(before)
    refused = [answer for answer in answers if not answer.served]
    lost = [answer for answer in refused if answer.refused_late]
    first = min(answer.sent_at for answer in refused)
    FIGURES.append(
        f"{len(answers)} streams at 30 a second: {len(refused)} refused, {len(lost)} of them after their 200, "
        f"the first {first - answers[0].sent_at:.1f} s after the start"
    )
    assert found["rejections"] == len(refused) > 20
    assert {answer.status for answer in refused if not answer.refused_late} == {503}
    assert len(lost) <= 0.3 * len(refused)
