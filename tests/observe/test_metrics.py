"""Reading a real Prometheus: engines old and new, gateways, GPUs, ages, and a fixed number of requests."""

from __future__ import annotations

import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from spillway.api import Engine
from spillway.config import GatewayType, OperatorConfig
from spillway.decide.snapshot import DemandSource, MetricsReason, PlanSnapshot
from spillway.observe.join import build_snapshot
from spillway.observe.metrics import MetricsReader, MetricsView
from spillway.observe.prices import PriceBook
from spillway.observe.queries import build_queries
from spillway.observe.scope import LaneScope
from spillway_dev.prometheus import PrometheusServer
from spillway_dev.toolchain import Tools
from support.observed import (
    Exposition,
    cluster,
    config,
    hosted_lane,
    own_lane,
    per_second,
    plan_scope,
    pod_name,
    route_state,
    target,
    workload,
)

pytestmark = pytest.mark.cluster

Filled = Callable[[Exposition], PrometheusServer]
POD = pod_name("vllm", 0)


async def read(settings: OperatorConfig, now: float) -> MetricsView:
    reader = MetricsReader(settings, time.monotonic)
    try:
        return await reader.read(now)
    finally:
        reader.close()


def sglang(exposition: Exposition, namespace: str, pod: str) -> None:
    """One SGLang engine with two data-parallel ranks, each repeated by two tensor-parallel ones."""
    who = {"namespace": namespace, "pod": pod, "model_name": "llama"}
    for dp in ("0", "1"):
        for tp in ("0", "1"):
            ranks = {**who, "dp_rank": dp, "tp_rank": tp}
            exposition.add("sglang:num_running_reqs", 4, **ranks, priority="")
            exposition.add("sglang:num_running_reqs", 3, **ranks, priority="7")
            exposition.add("sglang:num_queue_reqs", 2, **ranks, priority="")
            exposition.add("sglang:token_usage", 0.3, **ranks)
            exposition.add("sglang:max_total_num_tokens", 1000, **ranks)
    for name, rate in (
        ("num_requests", 2),
        ("prompt_tokens", 2000),
        ("generation_tokens", 400),
        ("cached_tokens", 100),
    ):
        exposition.add(f"sglang:{name}_total", per_second(rate), **who)
    for name in ("time_to_first_token_seconds", "inter_token_latency_seconds"):
        exposition.histogram(f"sglang:{name}", 2, (0.1, 1.0), (0.5, 1.0), **who)


@pytest.fixture(scope="module")
def server(filled: Filled, past: float) -> PrometheusServer:
    """One Prometheus with a namespace for each case."""
    e = Exposition(past)
    for number in range(2):
        e.vllm("plain", pod_name("vllm", number))
    e.add("vllm:cache_config_info", 1, namespace="plain", pod=POD, block_size="16", num_gpu_blocks="1000", engine="0")
    e.vllm("plain", pod_name("other", 0), requests=50)
    e.vllm("old", POD, old=True)
    e.vllm("servers", POD, processes=2)
    for counter in ("prompt_tokens", "generation_tokens", "num_preemptions"):
        e.add(f"vllm:{counter}_total", 0.0, namespace="untouched", pod=POD, model_name="llama", engine="0")
    e.vllm("halfidle", POD, waiting=0.0)
    e.vllm("halfidle", pod_name("vllm", 1), running=0.0, waiting=0.0)
    e.vllm("stale", POD, last=150)
    e.vllm("nan", POD, running=float("nan"), waiting=float("nan"), histograms=False)
    e.vllm("", "", k8s_namespace="relabelled", k8s_pod=POD)
    sglang(e, "sglang", POD)
    e.vllm("growing", POD, running=per_second(0.5), requests=1)
    for name, rate in (("flops", 98.9e12), ("read_bytes", 1e12), ("write_bytes", 0.005e12)):
        e.add(f"vllm:estimated_{name}_per_gpu_total", per_second(rate), namespace="plain", pod=POD, model_name="llama")
    exporter = {"namespace": "gpu-operator", "pod": "dcgm-x", "exported_namespace": "plain"}
    for gpu, busy in (("0", 0.6), ("1", 0.8)):
        e.add("DCGM_FI_PROF_GR_ENGINE_ACTIVE", busy, exported_pod=POD, gpu=gpu, **exporter)
        e.add("DCGM_FI_DEV_GPU_UTIL", 99, exported_pod=POD, gpu=gpu, **exporter)
    e.add("DCGM_FI_DEV_GPU_UTIL", 40, exported_pod=pod_name("vllm", 1), gpu="2", **exporter)
    e.add("kube_pod_container_resource_requests", 2, namespace="plain", pod=POD, resource="nvidia_com_gpu")
    e.add("kube_pod_container_resource_requests", 4, namespace="plain", pod=POD, resource="cpu")
    for node in ("a", "b"):
        e.add("kube_node_status_allocatable", 8, node=node, resource="nvidia_com_gpu")
    e.envoy("httproute/plain/chat/rule/0", 5.0, instance="a")
    e.envoy("httproute/plain/chat/rule/0", 1.0, instance="b")
    e.envoy("httproute/plain/chat/rule/1", 7.0)
    e.envoy("xds_cluster", 100.0)
    e.litellm("gpt-5-nano", 1.0, api_provider="openai")
    e.add("litellm_input_cached_tokens_metric_total", per_second(90), job="litellm", model="gpt-5-nano")
    e.add(
        "litellm_deployment_failure_responses_total",
        per_second(0.2),
        job="litellm",
        litellm_model_name="gpt-5-nano",
        exception_status="429",
    )
    e.add("up", 1, job="litellm", instance="a")
    e.add("up", 1, job="envoy", instance="a")
    return filled(e)


@pytest.fixture
def settings(server: PrometheusServer) -> OperatorConfig:
    return config(server.url)


def snapshot(view: MetricsView, settings: OperatorConfig, namespace: str, *pods: str, **own: Any) -> PlanSnapshot:
    lanes = [
        LaneScope(own_lane(namespace, **own), target(namespace, view.at, pods)),
        LaneScope(hosted_lane(namespace)),
    ]
    plan = plan_scope(namespace, lanes, [workload(namespace)], [route_state()])
    return build_snapshot(cluster(view.at, plan), view, settings, view.at, PriceBook()).plans[0]


async def test_everything_of_a_plan_is_read(settings: OperatorConfig, past: float) -> None:
    view = await read(settings, past)
    assert (view.error, view.warnings) == (None, ())
    found = snapshot(view, settings, "plain", POD, pod_name("vllm", 1))
    assert found.metrics.reason is MetricsReason.FOUND
    assert found.metrics.newest_at == past
    gpu, hosted = found.lanes
    assert gpu.engine is not None
    assert gpu.engine.pods_reporting == 2, "the pod of another workload is not counted"
    figures = {
        name: getattr(gpu.engine, name).value
        for name in ("running", "waiting", "kv_usage", "input_tokens_per_second", "output_tokens_per_second")
    }
    assert figures == pytest.approx(
        {
            "running": 16,
            "waiting": 2,
            "kv_usage": 0.4,
            "input_tokens_per_second": 4000,
            "output_tokens_per_second": 800,
        }
    )
    assert gpu.engine.requests_per_second is not None
    assert gpu.engine.requests_per_second.value == pytest.approx(4)
    assert gpu.engine.inter_token_latency_seconds is not None
    assert gpu.engine.inter_token_latency_seconds.value == pytest.approx(0.02)
    assert gpu.engine.rejections_per_second is None, "not exported is not 0"
    assert gpu.target is not None
    assert gpu.target.pods[0].running is not None
    assert gpu.target.pods[0].running.value == 8
    assert gpu.gpu is not None
    assert gpu.gpu.busy is not None
    assert gpu.gpu.busy.value == pytest.approx((0.7 + 0.4) / 2)
    assert gpu.gpu.effective is not None
    assert gpu.gpu.effective.value == pytest.approx(1.005e12 / 3.35e12, rel=1e-3), "MBU is above MFU here"
    assert (gpu.gpu.requested, gpu.gpu.allocatable) == (2, 16)
    assert hosted.hosted is not None
    assert hosted.hosted.requests_per_second is not None
    assert hosted.hosted.requests_per_second.value == pytest.approx(1)
    assert hosted.hosted.errors_per_second is not None
    assert hosted.hosted.errors_per_second.value == pytest.approx(0.2)


async def test_demand_is_the_front_gateways_with_the_engines_tokens(settings: OperatorConfig, past: float) -> None:
    found = snapshot(await read(settings, past), settings, "plain", POD, pod_name("vllm", 1))
    (item,) = found.classes
    demand = item.demand
    assert demand is not None
    assert demand.source is DemandSource.GATEWAY
    assert demand.requests_per_second.value == pytest.approx(6), "both Envoys, and only this rule"
    assert demand.requests_per_second.at == past
    assert demand.input_tokens_per_request is not None
    assert demand.input_tokens_per_request.value == pytest.approx(1000, rel=0.05)
    assert demand.output_tokens_per_request is not None
    assert demand.output_tokens_per_request.value == pytest.approx(200, rel=0.05)
    assert demand.cached_input_share is not None
    assert demand.cached_input_share.value == pytest.approx(0.25, rel=0.01)
    lanes = {lane: reading.value for lane, reading in demand.requests_per_second_by_lane.items()}
    assert lanes == pytest.approx({"gpu": 4, "hosted": 1})
    fine, coarse = demand.history
    assert (fine.step_seconds, fine.end) == (15, past)
    assert fine.values[-1] == pytest.approx(6, rel=1e-5)
    assert (coarse.step_seconds, coarse.end) == (300, past)
    assert coarse.values[-1] == pytest.approx(6, rel=1e-5)


async def test_attainment_is_the_lower_of_both_latencies(settings: OperatorConfig, past: float) -> None:
    found = snapshot(await read(settings, past), settings, "plain", POD, pod_name("vllm", 1))
    attainment = found.classes[0].attainment
    assert attainment is not None
    # TTFT 500 ms: all; ITL 50 ms: all, by the requests' histogram and not by the tokens' one.
    assert attainment.value == pytest.approx(1.0)


async def test_service_is_sampled_with_what_the_cache_holds(settings: OperatorConfig, past: float) -> None:
    found = snapshot(await read(settings, past), settings, "plain", POD, pod_name("vllm", 1))
    engine = found.lanes[0].engine
    assert engine is not None
    assert len(engine.samples) >= 8
    last = engine.samples[-1]
    assert last.running_per_replica == pytest.approx(8)
    assert last.inter_token_latency_seconds == pytest.approx(0.02)
    assert last.output_tokens_per_second_per_replica == pytest.approx(400)
    assert last.kv_tokens_per_replica == pytest.approx(0.4 * 16_000)
    assert last.iterations_per_second == pytest.approx(40)
    assert last.decodes_per_second == pytest.approx(2 * 199)
    assert last.computed_prompt_tokens_per_second == pytest.approx(2 * 750)
    assert last.busy_share == pytest.approx(1.0)
    assert last.time_to_first_token_seconds is None, "requests wait"


async def test_steps_that_several_api_servers_count_are_not_believed(settings: OperatorConfig, past: float) -> None:
    found = snapshot(await read(settings, past), settings, "servers", POD)
    engine = found.lanes[0].engine
    assert engine is not None
    last = engine.samples[-1]
    assert last.decodes_per_second == pytest.approx(2 * 199)
    assert last.iterations_per_second is None


async def test_an_engine_that_has_served_nothing_yet_is_idle_although_its_gauges_are_missing(
    settings: OperatorConfig, past: float
) -> None:
    found = snapshot(await read(settings, past), settings, "untouched", POD)
    engine = found.lanes[0].engine
    assert engine is not None
    assert engine.pods_reporting == 1
    known = (engine.running, engine.waiting, engine.kv_usage, engine.output_tokens_per_second)
    assert [reading and (reading.value, reading.at) for reading in known] == [(0, past)] * 4


async def test_idle_engines_are_seen_idle(settings: OperatorConfig, past: float) -> None:
    found = snapshot(await read(settings, past), settings, "halfidle", POD, pod_name("vllm", 1))
    engine = found.lanes[0].engine
    assert engine is not None
    last = engine.samples[-1]
    assert last.busy_share == pytest.approx(0.5)
    assert last.time_to_first_token_seconds == pytest.approx(0.02)
    assert last.prompt_tokens_per_first_token == pytest.approx(750)


async def test_vllms_older_names_are_read_too(settings: OperatorConfig, past: float) -> None:
    found = snapshot(await read(settings, past), settings, "old", POD)
    engine = found.lanes[0].engine
    assert engine is not None
    assert engine.kv_usage is not None
    assert engine.kv_usage.value == pytest.approx(0.4)
    assert engine.inter_token_latency_seconds is not None
    assert engine.inter_token_latency_seconds.value == pytest.approx(0.02)
    assert found.classes[0].attainment is not None
    demand = found.classes[0].demand
    assert demand is not None
    assert demand.source is DemandSource.ENGINES
    # Requests 2/s by the engine; the egress' request belongs to the only class that may use it.
    assert demand.requests_per_second.value == pytest.approx(3)
    assert demand.cached_input_share is not None
    assert demand.cached_input_share.value == pytest.approx(0.25, rel=0.01)


async def test_sglang_is_read_without_counting_ranks_twice(settings: OperatorConfig, past: float) -> None:
    found = snapshot(await read(settings, past), settings, "sglang", POD, engine="SGLang")
    engine = found.lanes[0].engine
    assert engine is not None
    assert engine.running is not None
    assert engine.running.value == 8, "two data-parallel ranks of 4; priorities and tensor-parallel ranks repeat them"
    assert engine.waiting is not None
    assert engine.waiting.value == 4
    assert engine.requests_per_second is not None
    assert engine.requests_per_second.value == pytest.approx(2)
    assert engine.samples
    assert engine.samples[-1].running_per_replica == pytest.approx(8)
    assert engine.samples[-1].kv_tokens_per_replica == pytest.approx(0.3 * 2000)
    assert found.classes[0].attainment is not None


async def test_the_wrong_engine_is_said(settings: OperatorConfig, past: float) -> None:
    found = snapshot(await read(settings, past), settings, "sglang", POD, engine=Engine.VLLM.value)
    assert found.metrics.reason is MetricsReason.MISSING
    (finding,) = [finding for finding in found.findings if finding.reason == "EngineMismatch"]
    assert "set spec.selfHosted.engine to SGLang" in finding.message


async def test_relabelled_labels(server: PrometheusServer, past: float) -> None:
    settings = config(server.url, prometheus={"labels": {"namespace": "k8s_namespace", "pod": "k8s_pod"}})
    found = snapshot(await read(settings, past), settings, "relabelled", POD)
    assert found.metrics.reason is MetricsReason.FOUND
    assert found.classes[0].demand is not None
    assert found.classes[0].demand.history


async def test_the_age_is_that_of_the_sample_and_not_of_the_query(settings: OperatorConfig, past: float) -> None:
    found = snapshot(await read(settings, past), settings, "stale", POD)
    assert found.metrics.reason is MetricsReason.STALE
    assert found.metrics.newest_at == past - 150
    assert found.lanes[0].engine is not None
    assert found.lanes[0].engine.running is None
    pod = found.lanes[0].target.pods[0] if found.lanes[0].target else None
    assert pod is not None
    assert pod.running is not None
    assert pod.running.age_seconds(past) == 150


async def test_samples_that_left_prometheus_sight_are_stale_by_history(settings: OperatorConfig, past: float) -> None:
    found = snapshot(await read(settings, past + 400), settings, "plain", POD)
    assert found.metrics.reason is MetricsReason.STALE
    assert found.metrics.newest_at == pytest.approx(past, abs=60)


async def test_an_engine_whose_gauges_are_nan_does_not_report(settings: OperatorConfig, past: float) -> None:
    found = snapshot(await read(settings, past), settings, "nan", POD)
    engine = found.lanes[0].engine
    assert engine is not None
    assert engine.pods_reporting == 0
    assert (engine.running, engine.kv_usage, engine.requests_per_second) == (None, None, None)
    assert engine.samples == ()
    assert found.classes[0].attainment is None
    assert found.metrics.reason is MetricsReason.MISSING


async def test_nothing_known_is_missing_and_not_zero(settings: OperatorConfig, past: float) -> None:
    found = snapshot(await read(settings, past), settings, "nowhere", POD)
    assert found.metrics.reason is MetricsReason.MISSING
    assert "no vLLM metrics" in found.metrics.message


async def test_arrivals_are_completions_and_growth(settings: OperatorConfig, past: float) -> None:
    found = snapshot(await read(settings, past), settings, "growing", POD)
    demand = found.classes[0].demand
    assert demand is not None
    # 1/s completed, 0.5/s more in flight, 1/s at the egress.
    assert demand.requests_per_second.value == pytest.approx(2.5, rel=0.01)
    assert demand.history[0].values[-1] == pytest.approx(2.5, rel=0.01)


async def test_a_gateway_that_is_up_but_never_counted_is_zero(settings: OperatorConfig, past: float) -> None:
    view = await read(settings, past)
    lanes = [LaneScope(hosted_lane("plain", model="gpt-5"))]
    plan = plan_scope("plain", lanes, [workload("plain", equivalentModels=["gpt-5"])])
    found = build_snapshot(cluster(past, plan), view, settings, past, PriceBook()).plans[0]
    assert found.lanes[0].hosted is not None
    assert found.lanes[0].hosted.requests_per_second is not None
    assert found.lanes[0].hosted.requests_per_second.value == 0
    assert found.classes[0].demand is not None
    assert found.classes[0].demand.requests_per_second.value == 0


async def test_every_query_is_answered_whatever_the_gateways(server: PrometheusServer, past: float) -> None:
    gateways = [
        {"name": f"{kind}-{n}", "type": kind, "role": "Front", "labels": {"job": "x.y", "region": 'a"b\\c'}}
        for kind in GatewayType
        for n in range(3)
    ]
    for chosen in ([], gateways, [{"name": "bare", "type": "LiteLLM", "role": "Front"}]):
        view = await read(config(server.url, gateways=chosen), past)
        assert (view.error, view.warnings) == (None, ())


async def test_the_second_read_is_small(settings: OperatorConfig, past: float) -> None:
    reader = MetricsReader(settings, time.monotonic)
    try:
        first = await reader.read(past - 30)
        second = await reader.read(past - 15)
        await reader.read(past)
    finally:
        reader.close()
    queries = build_queries(settings)
    assert first.queries == len(queries.instant) + len(queries.fine) + len(queries.coarse)
    assert second.queries == first.queries - len(queries.coarse), "the coarse history waits for its next point"
    assert first.engine_history.fine is not None
    assert second.engine_history.fine is not None
    assert second.engine_history.fine.end == past - 15
    assert second.engine_history.fine.series.keys() == first.engine_history.fine.series.keys()


def requests_made(prometheus: PrometheusServer) -> float:
    """Queries that Prometheus itself counts."""
    text = subprocess.run(
        ["curl", "-s", f"{prometheus.url}/metrics"], capture_output=True, text=True, check=True
    ).stdout
    lines = [line for line in text.splitlines() if line.startswith("prometheus_http_requests_total")]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if "/api/v1/query" in line)


async def test_a_hundred_plans_ask_as_often_as_one(filled: Filled, past: float) -> None:
    made = {}
    for count in (1, 100):
        e = Exposition(past, seconds=120)
        scopes = []
        for number in range(count):
            namespace = f"team-{number}"
            e.vllm(namespace, POD, histograms=False)
            e.envoy(f"httproute/{namespace}/chat/rule/0", 5.0)
            lanes = [LaneScope(own_lane(namespace), target(namespace, past, [POD])), LaneScope(hosted_lane(namespace))]
            scopes.append(plan_scope(namespace, lanes, [workload(namespace)], [route_state()]))
        prometheus = filled(e)
        settings = config(prometheus.url)
        before = requests_made(prometheus)
        reader = MetricsReader(settings, time.monotonic)
        try:
            for tick in (past - 30, past - 15, past):
                view = await reader.read(tick)
        finally:
            reader.close()
        made[count] = requests_made(prometheus) - before
        snap = build_snapshot(cluster(past, *scopes), view, settings, past, PriceBook())
        assert [p.metrics.reason for p in snap.plans] == [MetricsReason.FOUND] * count
        assert all(p.classes[0].demand for p in snap.plans)
    assert made[1] == made[100] > 0


@pytest.fixture
def tls_proxy(tools: Tools, server: PrometheusServer, tmp_path: Path) -> Iterator[str]:
    """The Prometheus behind HTTPS with its own CA and a bearer token."""
    subprocess.run(
        [tools.path("generate-cert"), "--host", "127.0.0.1,localhost", "--ca", "--ecdsa-curve", "P256"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            allowed = self.headers.get("Authorization") == "Bearer sesame" and self.headers.get("X-Tenant") == "t1"
            answer = b""
            if allowed:
                command = ["curl", "-s", "--data-binary", "@-", f"{server.url}{self.path}"]
                answer = subprocess.run(command, input=body, capture_output=True, check=True).stdout
            self.send_response(200 if allowed else 401)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            pass

    https = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    https.socket = context.wrap_socket(https.socket, server_side=True)
    threading.Thread(target=https.serve_forever, args=(0.02,), daemon=True).start()
    yield f"https://127.0.0.1:{https.server_port}"
    https.shutdown()
    https.server_close()


async def test_tls_token_and_tenant(tls_proxy: str, tmp_path: Path, past: float) -> None:
    (tmp_path / "token").write_text("sesame\n")
    prometheus = {
        "caFile": str(tmp_path / "cert.pem"),
        "bearerTokenFile": str(tmp_path / "token"),
        "tenant": {"header": "X-Tenant", "value": "t1"},
    }
    view = await read(config(tls_proxy, prometheus=prometheus), past)
    assert view.error is None
    assert ("plain", POD) in view.engines
    untrusted = await read(config(tls_proxy, prometheus=prometheus | {"caFile": None}), past)
    assert untrusted.error is not None
    assert "caFile" in untrusted.error
    denied = await read(config(tls_proxy, prometheus=prometheus | {"bearerTokenFile": None}), past)
    assert denied.error == "HTTP 401"


async def test_a_prometheus_that_is_gone_freezes_or_comes_back(filled: Filled, past: float) -> None:
    e = Exposition(past)
    e.vllm("plain", POD, histograms=False)
    prometheus = filled(e)
    settings = config(prometheus.url, prometheus={"timeoutSeconds": 0.5}, gateways=[])
    reader = MetricsReader(settings, time.monotonic)

    def reason(view: MetricsView) -> tuple[MetricsReason, str]:
        health = snapshot(view, settings, "plain", POD).metrics
        return health.reason, health.message

    try:
        assert reason(await reader.read(past - 30)) == (MetricsReason.FOUND, "Metrics are found and fresh")
        prometheus.freeze()
        began = time.monotonic()
        assert reason(await reader.read(past - 15)) == (
            MetricsReason.ERROR,
            "Prometheus cannot be read: no answer within 0.5 s",
        )
        assert time.monotonic() - began < 20
        prometheus.thaw()
        prometheus.stop()
        assert reason(await reader.read(past - 15))[1].endswith("connection refused")
        prometheus.start()
        view = await reader.read(past)
        assert reason(view)[0] is MetricsReason.FOUND
        grid = view.engine_history.fine
        assert grid is not None
        (running,) = [values for (tag, _), values in grid.series.items() if tag == "vLLM/running"]
        assert (running[-30:] == 8).all(), "what was missed meanwhile is filled in"
    finally:
        reader.close()
