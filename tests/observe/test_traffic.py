"""Traffic without any plan, out of a real Prometheus with history."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from spillway.api import Engine
from spillway.config import OperatorConfig, PrometheusConfig
from spillway.observe.prometheus import PrometheusError
from spillway.observe.traffic import Totals, added, combined, read_traffic
from spillway_dev.prometheus import PrometheusServer
from support.observed import Exposition, per_second, pod_name

Filled = Callable[[Exposition], PrometheusServer]
HOURS = 2


@pytest.fixture(scope="module")
def config(filled: Filled, past: float) -> OperatorConfig:
    """Two vLLM pods of one Deployment, an SGLang pod, a route rule, a LiteLLM egress, DCGM and OpenCost."""
    made = Exposition(end=past, seconds=HOURS * 3600, step=30)
    made.vllm("inference", pod_name("vllm", 0), requests=2.0)
    made.vllm("inference", pod_name("vllm", 1), requests=1.0)
    who = {"namespace": "inference", "pod": "sglang-0", "model_name": "qwen"}
    made.add("sglang:num_running_reqs", 1.0, priority="", dp_rank="0", **who)
    made.add("sglang:num_requests_total", per_second(0.5), **who)
    made.envoy("httproute/inference/chat/rule/0", 3.0)
    made.envoy("httproute/inference/chat/rule/0/backend/1", 1.0)
    made.envoy("xds_cluster", 9.0)
    made.litellm("gpt", 0.25, requested="chat", team="a", api_provider="openai")
    gpu = {"exported_namespace": "inference", "exported_pod": pod_name("vllm", 0), "modelName": "NVIDIA H100 80GB HBM3"}
    made.add("DCGM_FI_DEV_GPU_UTIL", 80.0, gpu="0", **gpu)
    made.add("DCGM_FI_DEV_GPU_UTIL", 80.0, gpu="1", modelName="NVIDIA L4")
    made.add("node_gpu_hourly_cost", 2.5, node="gpu-0", instance_type="p5.48xlarge")
    made.add("node_gpu_hourly_cost", 0.0, node="cpu-0", instance_type="m5")
    return OperatorConfig(prometheus=PrometheusConfig(url=filled(made).url))


async def test_everything_that_was_counted(config: OperatorConfig, past: float) -> None:
    found = await read_traffic(config, past, days=0.25)
    assert found.problems == ()
    vllm = found.engines["inference", "vllm", "llama"]
    seconds = HOURS * 3600
    assert vllm.engine is Engine.VLLM
    assert vllm.totals.seconds == pytest.approx(seconds, abs=300)
    # A counter's first increments before its first sample are nobody's.
    assert vllm.totals.requests == pytest.approx(3 * seconds, rel=0.05)
    assert vllm.totals.peak_requests_per_second == pytest.approx(3, rel=0.05)
    assert vllm.totals.input_tokens == pytest.approx(3000 * seconds, rel=0.05)
    assert vllm.totals.output_tokens == pytest.approx(600 * seconds, rel=0.05)
    assert vllm.totals.cached_tokens == pytest.approx(750 * seconds, rel=0.05)
    assert set(vllm.latency) == {"ttft_p90", "ttft_p99", "itl_p90", "itl_p99"}
    sglang = found.engines["inference", "sglang", "qwen"]
    assert (sglang.engine, sglang.totals.input_tokens, dict(sglang.latency)) == (Engine.SGLANG, None, {})
    assert sglang.totals.requests == pytest.approx(seconds / 2, rel=0.05)
    assert found.rules["inference", "chat", 0].requests == pytest.approx(4 * seconds, rel=0.05)
    assert set(found.rules) == {("inference", "chat", 0)}
    (row,) = found.litellm
    assert row.labels == {
        "model": "gpt", "requested_model": "chat", "team": "a", "team_alias": "a", "api_provider": "openai",
    }  # fmt: skip
    assert row.totals.requests == pytest.approx(seconds / 4, rel=0.05)
    assert row.totals.input_tokens == pytest.approx(900 * seconds / 4, rel=0.05)
    assert found.gpu_models == {("inference", pod_name("vllm", 0)): "NVIDIA H100 80GB HBM3"}
    assert found.gpu_usd == {"gpu-0": 2.5}


async def test_the_quantiles_are_those_of_the_histograms(config: OperatorConfig, past: float) -> None:
    latency = (await read_traffic(config, past, days=0.1)).engines["inference", "vllm", "llama"].latency
    # Buckets of support.observed: TTFT 0.5 at 0.25 s, all at 0.5 s; ITL all at 25 ms.
    assert latency["ttft_p90"] == pytest.approx(0.25 + 0.25 * 0.8, rel=0.01)
    assert latency["itl_p90"] == pytest.approx(0.01 + 0.015 * 0.9, rel=0.01)
    assert latency["ttft_p99"] > latency["ttft_p90"]


async def test_nothing_there_is_nothing_counted(config: OperatorConfig, past: float) -> None:
    found = await read_traffic(config, past - 10 * 86_400, days=0.1)
    assert (found.engines, found.rules, found.litellm, found.problems) == ({}, {}, (), ())


async def test_a_prometheus_that_is_gone() -> None:
    with pytest.raises(PrometheusError, match="connection refused"):
        await read_traffic(OperatorConfig(prometheus=PrometheusConfig(url="http://127.0.0.1:9")), 1.78e9, 0.1)


def test_sums_keep_what_nobody_counts() -> None:
    some, more = Totals(60.0, 1.0, 2.0, 10.0), Totals(120.0, 2.0, 3.0, None, 5.0)
    assert added(some, more) == Totals(120.0, 3.0, 5.0, 10.0, 5.0, None)
    assert combined([]) is None
