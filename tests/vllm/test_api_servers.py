"""An engine behind two API servers, which is the default where engines are data-parallel."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from spillway_dev.toolchain import Tools
from spillway_dev.vllm.install import VllmInstall
from spillway_dev.vllm.load import LoadGenerator
from spillway_dev.vllm.server import SEQUENCES, VllmServer
from support.vllm import QUEUE_LIMIT, Counters, scraping, seeing, started, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def servers(install: VllmInstall) -> Iterator[VllmServer]:
    """The engine."""
    with VllmServer(install, queue_limit=QUEUE_LIMIT, api_servers=2) as server:
        yield server


async def test_figures_of_two_api_servers_are_one_engines(servers: VllmServer, tools: Tools) -> None:
    with scraping(tools, servers) as prometheus, seeing(prometheus) as see:
        counters = Counters(prometheus)
        before = await counters.read()
        async with LoadGenerator(servers.url, seed=time.time_ns()) as load:
            asks = [load.ask(prompt, output) for prompt in (5, 200, 700) for output in (1, 30, 60)]
            assert all(answer.served for answer in await load.closed(asks, 4))
            found = await counters.since(before)
        tokens_out = sum(ask.output_tokens for ask in asks)
        assert found["requests"] == found["ttft_count"] == len(asks)
        assert found["input_tokens"] == sum(ask.prompt_tokens for ask in asks)
        assert (found["output_tokens"], found["itl_count"]) == (tokens_out, tokens_out - len(asks))

        async with (
            LoadGenerator(servers.url, seed=time.time_ns()) as load,
            LoadGenerator(servers.url) as more,
            load.holding([load.ask(20, 4000) for _ in range(QUEUE_LIMIT)]),
        ):
            await until(lambda: started(load.answers) == SEQUENCES, "a full engine")
            refused = [await more.send(more.ask(5, 5)) for _ in range(10)]
            state = await see.engine(time.time())
        assert {answer.status for answer in refused} == {503}, "the limit is one for both"
        assert (state.running.value, state.waiting.value) == pytest.approx((SEQUENCES, QUEUE_LIMIT - SEQUENCES), abs=1)
        assert (await counters.since(before))["rejections"] == len(refused)


async def test_steps_are_counted_by_each_server_and_so_not_read(servers: VllmServer, tools: Tools) -> None:
    with scraping(tools, servers) as prometheus, seeing(prometheus) as see:
        async with (
            LoadGenerator(servers.url, seed=time.time_ns()) as load,
            load.holding([load.ask(20, 4000) for _ in range(SEQUENCES)]),
        ):
            await until(lambda: started(load.answers) == SEQUENCES, "a full batch")
            began = time.time()
            await until(lambda: time.time() - began > 14, "some rate windows")
            state = await see.engine(time.time())
            counted = prometheus.query("sum(rate(vllm:iteration_tokens_total_count[6s]))")[0][1]
        real = 1 / state.inter_token_latency_seconds.value
        assert counted > 1.3 * real, "if this is mended, steps could be read again"
        assert state.samples
        assert all(sample.iterations_per_second is None for sample in state.samples)
