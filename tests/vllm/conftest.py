"""A real vLLM, a real Prometheus that scrapes it, and the product's own way of reading both.

Not part of `make test`: `make test-vllm` installs the engine (6 GB) and runs these tests.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator

import pytest

from spillway_dev.prometheus import PrometheusServer
from spillway_dev.toolchain import Tools
from spillway_dev.vllm.install import VllmError, VllmInstall, find_vllm
from spillway_dev.vllm.load import LoadGenerator
from spillway_dev.vllm.server import SEQUENCES, VllmServer
from support.vllm import FIGURES, QUEUE_LIMIT, Counters, Seen, scraping, seeing


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if FIGURES:
        terminalreporter.section("measured on the real engine")
        for line in FIGURES:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def install() -> VllmInstall:
    """The installed vLLM."""
    try:
        return find_vllm()
    except VllmError as error:
        pytest.fail(f"vLLM: {error}", pytrace=False)


@pytest.fixture(scope="session")
def engine(install: VllmInstall) -> Iterator[VllmServer]:
    """The engine that most tests share: 8 requests run at once, and 12 may be in flight."""
    with VllmServer(install, queue_limit=QUEUE_LIMIT, sequences=SEQUENCES) as server:
        yield server


@pytest.fixture
def prometheus(tools: Tools, engine: VllmServer) -> Iterator[PrometheusServer]:
    """A Prometheus that scrapes the engine as if it were a pod's, and has seen nothing of earlier tests."""
    with scraping(tools, engine) as server:
        yield server


@pytest.fixture
def see(prometheus: PrometheusServer) -> Iterator[Seen]:
    """Reads the lane as the operator does."""
    with seeing(prometheus) as seen:
        yield seen


@pytest.fixture
def counters(prometheus: PrometheusServer) -> Counters:
    """The engine's counters by the product's names and sums."""
    return Counters(prometheus)


@pytest.fixture
async def load(engine: VllmServer) -> AsyncIterator[LoadGenerator]:
    """A load generator before the engine. No two tests send the same prompts."""
    async with LoadGenerator(engine.url, most=1000, seed=time.time_ns()) as generator:
        yield generator
