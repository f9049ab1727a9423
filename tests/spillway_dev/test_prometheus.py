"""The development Prometheus, for real."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from spillway_dev.processes import ProcessError
from spillway_dev.prometheus import PrometheusServer, ScrapeJob
from spillway_dev.toolchain import Tools


@pytest.fixture
def prometheus(tools: Tools) -> Iterator[PrometheusServer]:
    server = PrometheusServer(tools, [ScrapeJob("itself")], scrape_seconds=0.5)
    yield server
    server.close()


def test_targets_can_change_while_it_runs(prometheus: PrometheusServer) -> None:
    prometheus.start()
    assert prometheus.query("up") == []
    prometheus.set_targets("itself", [f"127.0.0.1:{prometheus.port}"], {"namespace": "ns"})
    ((labels, value),) = prometheus.wait_for('up{job="itself"} == 1')
    assert value == 1
    assert labels["namespace"] == "ns"


def test_history_is_filled_in_before_the_start(prometheus: PrometheusServer, tmp_path: Path) -> None:
    now = int(time.time())
    samples = [f'demand_tokens_total{{class="chat"}} {n * 10} {now - 86400 + n * 60}' for n in range(1440)]
    history = tmp_path / "history.om"
    history.write_text("\n".join(["# TYPE demand_tokens counter", *samples, "# EOF", ""]))
    prometheus.backfill(history)
    prometheus.start()

    ((labels, increase),) = prometheus.query("increase(demand_tokens_total[12h] offset 6h)")
    assert labels["class"] == "chat"
    assert increase == pytest.approx(7200, rel=0.01)


def test_data_and_port_survive_a_restart(prometheus: PrometheusServer) -> None:
    prometheus.start()
    prometheus.jobs["itself"] = ScrapeJob("itself", (f"127.0.0.1:{prometheus.port}",))
    prometheus.set_targets("itself", prometheus.jobs["itself"].targets)
    prometheus.wait_for("count_over_time(up[1m]) > 1")
    url = prometheus.url
    prometheus.stop()
    with pytest.raises(ProcessError):
        prometheus.query("up")
    prometheus.start()
    assert prometheus.url == url
    prometheus.wait_for("count_over_time(up[5m]) > 1")


def test_bad_history_is_refused_with_the_reason(prometheus: PrometheusServer, tmp_path: Path) -> None:
    bad = tmp_path / "bad.om"
    bad.write_text("not open metrics")
    with pytest.raises(ProcessError, match=r"bad\.om"):
        prometheus.backfill(bad)
    prometheus.start()
    with pytest.raises(ProcessError, match="before the start"):
        prometheus.backfill(bad)


def test_a_bad_query_is_named(prometheus: PrometheusServer) -> None:
    prometheus.start()
    with pytest.raises(ProcessError, match="parse error"):
        prometheus.query("sum(")
