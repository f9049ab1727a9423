"""`--live only|without`: tests of what runs in real time, and all the others.

Control planes, gateways, proxies and Prometheus come late beside tests that keep every core busy, so `make test` runs
the two kinds one after the other. Of the live ones a file's tests stay on one worker, as they may share a stack, and so
do all files that need Envoy Gateway, of which a machine runs one at a time. What takes long comes first.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from support.clusters import CLUSTER_FIXTURES

TESTS = Path(__file__).resolve().parents[1]
LIVE_FOLDER = TESTS / "e2e"
LIVE_FILES = {"test_fleet_server.py", "test_gateway_stack.py", "test_upstreams.py"}
"""Their processes are neither in a cluster nor the built tools."""
GATEWAY_FILES = {
    "test_gateway_spill.py", "test_gateway_split.py", "test_gateway_stack.py", "test_none_lost.py",
    "test_plane_conformance.py", "test_routing_examples.py",
}  # fmt: skip


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
    items[:] = _ordered(chosen) if wanted == "only" else chosen
    config.hook.pytest_deselected(items=left_out)


class _Live(LoadScopeScheduling):
    """Each worker gets a whole file at a time, in the order of collection, or all that need Envoy Gateway."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "gateway" if Path(file).name in GATEWAY_FILES else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling | None:
    if config.getoption("--live") != "only":
        return None
    config.option.loadscopereorder = False
    return _Live(config, log)


def _ordered(items: list[pytest.Item]) -> list[pytest.Item]:
    for item in items:
        if _needs_gateway(item) and item.path.name not in GATEWAY_FILES:
            raise pytest.UsageError(f"{item.path.name} needs Envoy Gateway: add it to GATEWAY_FILES in {__file__}")
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
