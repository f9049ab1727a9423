"""``spillway backtest --from-prometheus``: a user's own history out of a real Prometheus, with files as manifests."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from spillway.cli.main import main
from spillway.simulate.scenario import load_scenario
from spillway.simulate.traces import BinTrace, read_trace
from spillway_dev.cluster import Cluster
from spillway_dev.prometheus import PrometheusServer
from spillway_dev.toolchain import Tools
from support.observed import Exposition, pod_name
from support.scenario_files import API, CLASS, GPU, PLAN

HOURS = 6
MODEL, TEAM_MODEL = "m", "gpt"


def rate(elapsed: float) -> float:
    """Requests a second at the engines: a wave of two hours."""
    return 2.0 + math.sin(2 * math.pi * elapsed / 7200.0)


def counted(elapsed: float) -> float:
    """Its integral."""
    return 2.0 * elapsed + 7200.0 / (2 * math.pi) * (1 - math.cos(2 * math.pi * elapsed / 7200.0))


def filled(tools: Tools, folder: Path, namespace: str) -> PrometheusServer:
    """Six hours of one engine pod (1,000 tokens in, 50 out) and of a LiteLLM front with a second model."""
    past = Exposition(end=float(int(time.time()) // 300 * 300), seconds=HOURS * 3600, step=60)
    who = {"namespace": namespace, "pod": pod_name("vllm", 0), "model_name": MODEL, "engine": "0"}
    past.add("vllm:num_requests_running", 8.0, **who)
    past.add("vllm:num_requests_waiting", 0.0, **who)
    past.add("vllm:kv_cache_usage_perc", 0.4, **who)
    past.add("vllm:request_success_total", counted, finished_reason="stop", **who)
    past.add("vllm:prompt_tokens_total", lambda t: 1000 * counted(t), **who)
    past.add("vllm:generation_tokens_total", lambda t: 50 * counted(t), **who)
    past.litellm("gpt", 0.5, requested=TEAM_MODEL)
    server = PrometheusServer(tools)
    server.backfill(past.write(folder / "history.om"))
    return server.start()


@pytest.fixture(scope="module")
def prometheus(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    server = filled(tools, tmp_path_factory.mktemp("history"), "inference")
    yield server
    server.close()


@pytest.fixture
def manifests(tmp_path: Path) -> Path:
    """One class that engines count and one that the LiteLLM front counts."""
    second = copy.deepcopy(CLASS)
    second["metadata"]["name"] = "batch"
    second["spec"].update(match={"model": TEAM_MODEL}, equivalentModels=[TEAM_MODEL])
    api = copy.deepcopy(API)
    api["spec"]["models"] = [MODEL, TEAM_MODEL]
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump_all([PLAN, GPU, api, CLASS, second]))
    return path


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    content = {
        "prometheus": {"url": "http://overridden"},
        "gateways": [{"name": "front", "type": "LiteLLM", "role": "Front", "labels": {"job": "litellm"}}],
    }
    path.write_text(yaml.safe_dump(content))
    return path


def test_a_plans_history_becomes_a_scenario_and_runs(
    prometheus: PrometheusServer, manifests: Path, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "saved"
    status = main(
        [
            "backtest", "--from-prometheus", prometheus.url, "--manifests", str(manifests), "--config", str(config),
            "--days", "0.25", "--save", str(folder), "--policy", "api-only", "--seeds", "1", "-o", "json",
            "--cache", str(tmp_path / "cache"),
        ]
    )  # fmt: skip
    printed = capsys.readouterr()
    assert status == 0, printed.err
    result = json.loads(printed.out)
    assert result["scenario"] == "main-history"
    assert result["policies"]["api-only"]["slo_held"] is True

    trace = read_trace(folder / "demand.csv.gz")
    assert isinstance(trace, BinTrace)
    assert trace.width_s == 300
    by_name = {series.class_name: series for series in trace.series}
    assert set(by_name) == {"inference/chat", "inference/batch"}
    chat, batch = by_name["inference/chat"], by_name["inference/batch"]
    assert trace.bins >= HOURS * 12 - 2
    # The history began HOURS ago: bin by bin the wave's integral.
    skipped = HOURS * 12 - trace.bins
    wave = [counted(300.0 * (i + 1)) - counted(300.0 * i) for i in range(skipped, HOURS * 12)]
    assert chat.requests.tolist()[1:] == pytest.approx(wave[1:], rel=0.05)
    assert (chat.input_tokens / chat.requests).tolist() == pytest.approx([1000] * trace.bins, rel=1e-3)
    assert (chat.output_tokens / chat.requests).tolist() == pytest.approx([50] * trace.bins, rel=1e-3)
    assert batch.requests[1:].tolist() == pytest.approx([150] * (trace.bins - 1), rel=0.01)
    assert (batch.input_tokens / batch.requests)[1:].tolist() == pytest.approx([900] * (trace.bins - 1), rel=0.01)

    scenario = load_scenario(folder / "scenario.yaml")
    assert scenario.world.duration_s == trace.bins * 300
    assert 0 < scenario.world.warmup_s <= scenario.world.duration_s / 4
    own = scenario.world.own[0]
    assert (own.alpha_ms, own.beta_ms_per_seq, own.prefill_ms_per_ktoken, own.startup_mean_s) == (25, 0.25, 80, 60)
    assert "latency unknown, taken as 700 ms" in printed.err


def test_the_plan_comes_from_the_cluster(
    tools: Tools,
    cluster: Cluster,
    crds: Cluster,
    gateway_api: Cluster,
    namespace: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    documents = [copy.deepcopy(each) for each in (PLAN, GPU, API, CLASS)]
    for document in documents:
        document["metadata"]["namespace"] = namespace
    cluster.apply(yaml.safe_dump_all(documents))
    server = filled(tools, tmp_path, namespace)
    try:
        arguments = ["backtest", "--from-prometheus", server.url, "--kubeconfig", str(cluster.kubeconfig)]
        arguments += ["--days", "0.25", "--save", str(tmp_path / "s"), "--cache", str(tmp_path / "c"), "--seeds", "1"]
        assert main([*arguments, "--plan", f"{namespace}/none"]) == 1
        refused = capsys.readouterr().err
        assert "name one of the cluster's CapacityPlans: " in refused
        assert f"{namespace}/main" in refused
        status = main([*arguments, "--plan", f"{namespace}/main", "--policy", "api-only", "-o", "json"])
    finally:
        server.close()
    printed = capsys.readouterr()
    assert status == 0, printed.err
    assert json.loads(printed.out)["policies"]["api-only"]["slo_attainment_by_class"] == {f"{namespace}/chat": 1.0}
    written = list(yaml.safe_load_all((tmp_path / "s" / "manifests.yaml").read_text()))
    assert [each["kind"] for each in written] == ["CapacityPlan", "CapacityLane", "CapacityLane", "WorkloadClass"]
    assert all(set(each["metadata"]) == {"name", "namespace"} and "status" not in each for each in written)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (["--plan", "inference/other"], "the manifests hold CapacityPlan inference/main"),
        (["--days", "0.02", "--config", "none.yaml"], "configuration none.yaml"),
        (["scenario.yaml"], "give a SCENARIO, or --from-prometheus URL"),
    ],
)
def test_errors_are_one_line(
    prometheus: PrometheusServer, manifests: Path, capsys: pytest.CaptureFixture[str], change: list[str], said: str
) -> None:
    assert main(["backtest", "--from-prometheus", prometheus.url, "--manifests", str(manifests), *change]) > 0
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ")
    assert said in last


def test_no_demand_and_no_prometheus(
    prometheus: PrometheusServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gpu, item = copy.deepcopy(GPU), copy.deepcopy(CLASS)
    gpu["spec"]["selfHosted"]["targetRef"]["name"] = "another"
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump_all([PLAN, gpu, API, item]))
    arguments = ["backtest", "--manifests", str(path), "--save", str(tmp_path / "s"), "--from-prometheus"]
    assert main([*arguments, prometheus.url]) == 1
    assert "Prometheus holds no demand of CapacityPlan inference/main" in capsys.readouterr().err
    assert main([*arguments, "http://127.0.0.1:9"]) == 1
    assert "Prometheus http://127.0.0.1:9: history of engines could not be read: connection refused" in (
        capsys.readouterr().err
    )


def test_a_service_that_nothing_tells_of_must_be_declared(
    prometheus: PrometheusServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gpu = copy.deepcopy(GPU)
    del gpu["spec"]["selfHosted"]["profile"]
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump_all([PLAN, gpu, API, CLASS]))
    arguments = ["backtest", "--manifests", str(path), "--save", str(tmp_path / "s"), "--days", "0.25"]
    assert main([*arguments, "--from-prometheus", prometheus.url]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert "CapacityLane inference/gpu: its engines' history tells too little of its service" in last
    assert "declare spec.selfHosted.profile" in last
