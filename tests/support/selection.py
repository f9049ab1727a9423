"""`--live only|without`: tests of what runs in real time, and all the others.

Control planes, gateways, proxies and Prometheus come late beside tests that keep every core busy, so `make test` runs
the two kinds one after the other. The live ones are grouped for `--dist loadgroup`: by file, as its tests may share a
stack, but all that need Envoy Gateway together, of which a machine runs one at a time. Long groups come first.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from support.clusters import CLUSTER_FIXTURES

TESTS = Path(__file__).resolve().parents[1]
LIVE_FOLDER = TESTS / "e2e"
LIVE_FILES = {"test_fleet_server.py", "test_gateway_stack.py", "test_upstreams.py"}
"""Their processes are neither in a cluster nor the built tools."""
GATEWAY = "gateway"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("spillway").addoption(
        "--live", choices=["only", "without"], help="Only the tests of what runs in real time, or all the others."
    )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted: str | None = config.getoption("--live")
    if wanted is None:
        return
    chosen, left_out = [], []
    for item in items:
        (chosen if _is_live(item) == (wanted == "only") else left_out).append(item)
    items[:] = _grouped(chosen) if wanted == "only" else chosen
    config.hook.pytest_deselected(items=left_out)


def _grouped(items: list[pytest.Item]) -> list[pytest.Item]:
    for item in items:
        item.add_marker(pytest.mark.xdist_group(GATEWAY if _needs_gateway(item) else item.path.name))
    return sorted(items, key=lambda item: (not _needs_gateway(item), not _is_slow(item), not _is_in_folder(item)))


def _is_slow(item: pytest.Item) -> bool:
    return item.get_closest_marker("slow") is not None


def _is_in_folder(item: pytest.Item) -> bool:
    return item.path.is_relative_to(LIVE_FOLDER)


def _needs_gateway(item: pytest.Item) -> bool:
    imported = hasattr(getattr(item, "module", None), "EnvoyGatewayStack")
    return imported or bool({"gateway_stack", "live_stack"} & set(getattr(item, "fixturenames", ())))


def _is_live(item: pytest.Item) -> bool:
    by_place = _is_in_folder(item) or item.path.name in LIVE_FILES
    by_need = {"tools"} | CLUSTER_FIXTURES
    return (
        by_place
        or bool(by_need & set(getattr(item, "fixturenames", ())))
        or item.get_closest_marker("cluster") is not None
    )
