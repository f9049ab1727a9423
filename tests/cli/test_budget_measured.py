"""``spillway budget --prometheus-url``: what classes have used, out of a real Prometheus, beside what was declared."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from spillway.cli.main import main
from spillway_dev.prometheus import PrometheusServer
from spillway_dev.toolchain import Tools
from support.observed import Exposition, per_second, pod_name
from support.scenario_files import API, CLASS, GPU, PLAN

DAYS = 2
SECONDS_A_MONTH = 365 / 12 * 86_400
RATE = 0.5
"""Requests a second of 1,000 tokens in, 100 of them cached, and 50 out."""


@pytest.fixture(scope="module")
def prometheus(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    past = Exposition(end=float(int(time.time()) // 300 * 300), seconds=DAYS * 86_400, step=100)
    who = {"namespace": "inference", "pod": pod_name("vllm", 0), "model_name": "m", "engine": "0"}
    past.add("vllm:num_requests_running", 8.0, **who)
    past.add("vllm:request_success_total", per_second(RATE), finished_reason="stop", **who)
    for name, each in (("prompt_tokens", 1000), ("prompt_tokens_cached", 100), ("generation_tokens", 50)):
        past.add(f"vllm:{name}_total", per_second(RATE * each), **who)
    server = PrometheusServer(tools)
    server.backfill(past.write(tmp_path_factory.mktemp("history") / "history.om"))
    yield server.start()
    server.close()


@pytest.fixture
def manifests(tmp_path: Path) -> Path:
    item = copy.deepcopy(CLASS)
    item["spec"] |= {
        "demand": {
            "developers": 10,
            "tasksPerDeveloperDay": 100,
            "tokensPerTask": 200_000,
            "cachedInputSharePercent": 60,
        },
        "budget": {"measuredPlusPercent": 25},
    }
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump_all([PLAN, GPU, API, item]))
    return path


def test_measured_stands_beside_declared(
    prometheus: PrometheusServer, manifests: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["budget", "-f", str(manifests), "--prometheus-url", prometheus.url, "--days", str(DAYS)]
    status = main([*arguments, "-o", "json"])
    printed = capsys.readouterr()
    assert status == 0, printed.err
    report = json.loads(printed.out)["budgets"][0]
    measured = report["measured"]
    assert float(measured["days"]) == pytest.approx(DAYS, rel=0.02)
    assert measured["source"].startswith(f"Prometheus {prometheus.url}, 20")
    demand = measured["demand"]
    assert float(demand["tokens"]["value"]) == pytest.approx(RATE * 1050 * SECONDS_A_MONTH, rel=0.02)
    assert float(demand["requests"]["value"]) == pytest.approx(RATE * SECONDS_A_MONTH, rel=0.02)
    assert float(demand["cachedShare"]["value"]) == pytest.approx(0.1, rel=0.02)
    assert float(demand["tokens"]["low"]) == pytest.approx(0.5 * float(demand["tokens"]["value"]), rel=0.02)
    # 900 fresh at 0.88, 100 cached at 0.44, 50 out at 1.76.
    usd = (900 * 0.88 + 100 * 0.44 + 50 * 1.76) / 1e6 * RATE * SECONDS_A_MONTH
    assert float(measured["models"][0]["month"]["value"]) == pytest.approx(usd, rel=0.02)
    assert float(report["cap"]["usd"]["value"]) == pytest.approx(usd * 1.25, rel=0.02)
    assert report["cap"]["measured"] is True
    codes = {each["code"]: each for each in report["findings"]}
    assert codes.keys() >= {"ShortHistory", "PlannedFromMaximum", "MissingCaching"}
    assert "theoretical maximum" in codes["PlannedFromMaximum"]["message"]
    assert (
        "60% of the input is planned to be cached, and 10% of the input is read from a cache"
        in codes["MissingCaching"]["message"]
    )
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "less than a week" in " ".join(out.split())
    assert max(map(len, out.splitlines())) <= 80


def test_a_prometheus_that_does_not_answer_is_one_line(manifests: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["budget", "-f", str(manifests), "--prometheus-url", "http://127.0.0.1:9"]) == 1
    assert capsys.readouterr().err.startswith(
        "error: Prometheus http://127.0.0.1:9: history of engines could not be read"
    )


def test_traffic_that_nobody_counts_leaves_the_declared(
    prometheus: PrometheusServer, manifests: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifests.write_text(manifests.read_text().replace("name: vllm", "name: elsewhere"))
    assert main(["budget", "-f", str(manifests), "--prometheus-url", prometheus.url, "-o", "json"]) == 0
    printed = capsys.readouterr()
    assert "WorkloadClass inference/chat: Prometheus has no traffic of its own" in printed.err
    report = json.loads(printed.out)["budgets"][0]
    assert "measured" not in report
    assert report["cap"]["measured"] is False
