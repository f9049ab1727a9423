"""`--live only|without`: tests of what runs in real time, and all the others.

Control planes, gateways, proxies and Prometheus come late beside tests that keep every core busy, so `make test` runs
the two kinds one after the other.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from support.clusters import CLUSTER_FIXTURES

TESTS = Path(__file__).resolve().parents[1]
LIVE_FOLDER = TESTS / "e2e"
LIVE_FILES = {"test_fleet_server.py", "test_gateway_stack.py", "test_upstreams.py"}
"""Their processes are neither in a cluster nor the built tools."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("spillway").addoption(
        "--live", choices=["only", "without"], help="Only the tests of what runs in real time, or all the others."
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted: str | None = config.getoption("--live")
    if wanted is None:
        return
    chosen, left_out = [], []
    for item in items:
        (chosen if _is_live(item) == (wanted == "only") else left_out).append(item)
    items[:] = chosen
    config.hook.pytest_deselected(items=left_out)


def _is_live(item: pytest.Item) -> bool:
    by_place = item.path.is_relative_to(LIVE_FOLDER) or item.path.name in LIVE_FILES
    by_need = {"tools"} | CLUSTER_FIXTURES
    return (
        by_place
        or bool(by_need & set(getattr(item, "fixturenames", ())))
        or item.get_closest_marker("cluster") is not None
    )
