"""`spillway size --prometheus-url`: OpenCost's and DCGM's series in a real Prometheus."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from spillway.cli.main import main
from spillway_dev.prometheus import PrometheusServer
from spillway_dev.toolchain import Tools
from support.observed import Exposition

QUESTION = ["size", "--model", "8B", "--quantization", "4bit", "--concurrency", "4", "-o", "json"]


@pytest.fixture(scope="module")
def prometheus(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    past = Exposition(end=float(int(time.time()) // 15 * 15 + 240), seconds=900)
    for node, usd, gpu, label in (
        ("a", 2.5, "NVIDIA H100 80GB HBM3", "Hostname"),
        ("b", 0.95, "NVIDIA L4", "Hostname"),
        ("c", 1.75, "NVIDIA A100-SXM4-80GB", "hostname"),
    ):
        past.add("node_gpu_hourly_cost", usd, node=node, instance=node, provider_id="x")
        for index in ("0", "1"):
            past.add("DCGM_FI_DEV_GPU_UTIL", 50.0, gpu=index, modelName=gpu, **{label: node})
    past.add("node_gpu_hourly_cost", 0.0, node="cpu", instance="cpu", provider_id="x")
    server = PrometheusServer(tools)
    server.backfill(past.write(tmp_path_factory.mktemp("opencost") / "history.om"))
    server.start()
    yield server
    server.close()


def test_own_gpus_are_priced_and_the_placeholder_is_told(
    prometheus: PrometheusServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*QUESTION, "--prometheus-url", prometheus.url, "--provider", "own"]) == 0
    printed = capsys.readouterr()
    rows = json.loads(printed.out)["rows"]
    told = {row["gpu"]: row["onDemand"]["price"].split(":")[0] for row in rows}
    assert told == dict.fromkeys(("H100-80GB", "A100-80GB"), "OpenCost node_gpu_hourly_cost")
    assert "0.95 an hour on b is its placeholder" in printed.err


def test_a_lanes_price_comes_first(
    prometheus: PrometheusServer, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "lane.yaml"
    path.write_text(
        "apiVersion: spillway.dev/v1alpha1\nkind: CapacityLane\nmetadata: {name: mine, namespace: x}\n"
        "spec: {type: SelfHosted, models: [m], selfHosted: {targetRef: {name: v}, gpu: {type: nvidia-h100-80gb}, "
        'price: {usdPerGpuHour: "3"}, replicas: {max: 1}}}\n',
        encoding="utf-8",
    )
    assert main([*QUESTION, "--prometheus-url", prometheus.url, "--provider", "own", "-f", str(path)]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    told = {row["gpu"]: row["onDemand"]["price"].split(":")[0] for row in rows}
    assert told == {"H100-80GB": "CapacityLane x/mine", "A100-80GB": "OpenCost node_gpu_hourly_cost"}
