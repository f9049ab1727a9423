"""A real Prometheus with history, for the tests of what is read from it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from spillway_dev.prometheus import PrometheusServer
from spillway_dev.toolchain import Tools
from support.observed import Exposition

Filled = Callable[[Exposition], PrometheusServer]


@pytest.fixture(scope="session")
def past() -> float:
    """A moment in the recent past, on the grid of every history: what tests call now."""
    return float(int(time.time()) // 300 * 300 - 900)


@pytest.fixture(scope="module")
def filled(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    """Starts a Prometheus that holds an exposition's samples as history and scrapes nothing."""
    servers: list[PrometheusServer] = []

    def fill(exposition: Exposition) -> PrometheusServer:
        server = PrometheusServer(tools)
        servers.append(server)
        path: Path = tmp_path_factory.mktemp("openmetrics") / "history.om"
        server.backfill(exposition.write(path))
        return server.start()

    yield fill
    for server in servers:
        server.close()
