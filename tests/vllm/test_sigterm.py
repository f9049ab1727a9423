"""What SIGTERM does to a real vLLM: docs/draining.md and the pods of the development cluster are built on it."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from spillway_dev.loopback import fetch
from spillway_dev.vllm.install import VllmInstall
from spillway_dev.vllm.load import Answer, LoadGenerator
from spillway_dev.vllm.server import VllmServer
from support.vllm import FIGURES, started, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

TOKENS = 1500
SILENCE_SECONDS = 10.0


@asynccontextmanager
async def told_to_end(install: VllmInstall, *arguments: str) -> AsyncIterator[tuple[VllmServer, LoadGenerator]]:
    """An engine that got SIGTERM with three streams open."""
    with VllmServer(install, arguments=arguments) as server:
        path = "/v1/chat/completions"
        async with (
            LoadGenerator(server.url, path=path, seed=time.time_ns()) as load,
            load.holding([load.ask(20, TOKENS) for _ in range(3)]),
        ):
            await until(lambda: started(load.answers) == 3, "streams open")
            assert server.process is not None
            server.process.send(signal.SIGTERM)
            yield server, load


async def test_with_a_shutdown_timeout_streams_end_and_what_is_new_is_lost(install: VllmInstall) -> None:
    async with told_to_end(install, "--shutdown-timeout", "120") as (server, load):
        streams = load.answers[:3]

        async def one_is_refused() -> Answer:
            while (late := await load.send(load.ask(20, 2, stream=False))).status == 200:
                assert not all(stream.ended_at for stream in streams)
            return late

        late = await one_is_refused()
        # Not one of the statuses that gateways retry, and readiness by /health notices nothing.
        assert late.status == 500
        assert fetch(f"{server.url}/health") == b""
        assert not any(stream.ended_at for stream in streams)
        await until(lambda: all(stream.ended_at for stream in streams), "streams answered")
    assert [stream.output_tokens for stream in streams] == [TOKENS] * 3
    FIGURES.append(
        f"SIGTERM with --shutdown-timeout: 3 of 3 open streams answered in full, new requests got 500 ({late.error})"
    )


async def test_by_default_open_streams_are_lost(install: VllmInstall) -> None:
    async with told_to_end(install) as (_, load):
        await asyncio.sleep(SILENCE_SECONDS)
        got = [len(stream.token_times) for stream in load.answers]
        await asyncio.sleep(SILENCE_SECONDS)
        assert [len(stream.token_times) for stream in load.answers] == got
        assert max(got) < TOKENS
        refused = await load.send(load.ask(20, 2, stream=False))
        assert refused.broken
        # Which of the three it is, is a race within the engine.
        fates = [stream.error or ("answered" if stream.ended_at else "open, silent") for stream in load.answers[:3]]
        assert "answered" not in fates
    FIGURES.append(f"SIGTERM by default: three open streams: {'; '.join(fates)}")
