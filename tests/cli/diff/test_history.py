"""A plan's last hours out of a real Prometheus, as a replay's traffic and truths."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import pytest
import yaml

from spillway.cli.diff.history import save
from spillway.simulate.scenario import ScenarioError
from spillway.simulate.sides import Ask, replay
from spillway_dev.prometheus import PrometheusServer
from spillway_dev.toolchain import Tools
from support.observed import Exposition, pod_name
from support.sides import Change

HOURS = 6


def rate(elapsed: float) -> float:
    """Requests a second: a wave of two hours."""
    return 2.0 + math.sin(2 * math.pi * elapsed / 7200.0)


def counted(elapsed: float) -> float:
    """Its integral."""
    return 2.0 * elapsed + 7200.0 / (2 * math.pi) * (1 - math.cos(2 * math.pi * elapsed / 7200.0))


@pytest.fixture(scope="module")
def prometheus(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    """One engine pod, 1,000 tokens in and 50 out a request."""
    past = Exposition(end=float(int(time.time()) // 300 * 300), seconds=HOURS * 3600, step=60)
    who = {"namespace": "inference", "pod": pod_name("vllm", 0), "model_name": "m", "engine": "0"}
    past.add("vllm:num_requests_running", 8.0, **who)
    past.add("vllm:num_requests_waiting", 0.0, **who)
    past.add("vllm:kv_cache_usage_perc", 0.4, **who)
    past.add("vllm:request_success_total", counted, finished_reason="stop", **who)
    past.add("vllm:prompt_tokens_total", lambda t: 1000 * counted(t), **who)
    past.add("vllm:generation_tokens_total", lambda t: 50 * counted(t), **who)
    server = PrometheusServer(tools)
    server.backfill(past.write(tmp_path_factory.mktemp("history") / "history.om"))
    server.start()
    yield server
    server.close()


def test_the_last_hours_become_traffic_of_both_sides(prometheus: PrometheusServer) -> None:
    change = Change()
    change.head["gpu"]["spec"]["selfHosted"]["replicas"]["min"] = 2
    path = save(Ask(prometheus_url=prometheus.url, days=0.1), change.documents()[0])
    scenario = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert scenario["metadata"]["source"] == f"Prometheus {prometheus.url}"
    assert scenario["time"]["durationSeconds"] == pytest.approx(HOURS * 3600, abs=600)
    assert scenario["traces"][0]["classes"] == {"inference/chat": "inference/chat"}
    effect = replay(*change.documents(), Ask(scenario=path), lambda _: None)
    chat = effect.base.of("inference/chat")
    assert chat is not None
    assert chat.requests_per_month == pytest.approx(2.0 * 730 * 3600, rel=0.1)
    assert effect.traffic.source == f"Prometheus {prometheus.url}"
    assert effect.difference.value > 0
    # This engine's counters say nothing of its steps: the declared profile stands in.
    assert effect.truths["gpu"] == "declared profile"


@pytest.mark.parametrize(
    ("url", "says"),
    [("http://127.0.0.1:9", r"Prometheus http://127\.0\.0\.1:9: "), ("ftp://x", r"[Pp]rometheus")],
)
def test_a_prometheus_that_does_not_answer_is_one_line(url: str, says: str) -> None:
    with pytest.raises(ScenarioError, match=says) as caught:
        save(Ask(prometheus_url=url, days=0.1), Change().documents()[0])
    assert "\n" not in str(caught.value)


def test_a_plan_without_traffic_is_one_line(prometheus: PrometheusServer) -> None:
    change = Change()
    change.base["gpu"]["spec"]["selfHosted"]["targetRef"]["name"] = "another"
    with pytest.raises(ScenarioError, match="holds no demand of CapacityPlan inference/main"):
        save(Ask(prometheus_url=prometheus.url, days=0.1), change.documents()[0])
