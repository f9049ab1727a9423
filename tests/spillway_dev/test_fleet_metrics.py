"""What the fleet exports is valid, consistent and named as the real exporters name it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from spillway.simulate.replica import Request
from spillway_dev.fleet import exporter
from spillway_dev.fleet.backfill import BackfillOptions, pod_views, write_openmetrics
from spillway_dev.fleet.cluster import ClusterState, LaneView
from spillway_dev.fleet.config import FleetConfig, draw_requests, load_config
from spillway_dev.fleet.histogram import TTFT_BOUNDS, Family, Histogram, exposition, labels, one_two_five
from spillway_dev.fleet.model import FleetModel

SAMPLE = re.compile(r"(?P<name>[a-zA-Z_:]+)\{(?P<labels>.*)\} (?P<value>\S+) (?P<at>\S+)")
LANE, CLASS = "gpu-h100", "coding-agents"


@pytest.fixture(scope="session")
def config(repository: Path) -> FleetConfig:
    return load_config(repository / "examples/demo/fleet.yaml")


@pytest.fixture
def fleet(config: FleetConfig) -> FleetModel:
    """Two pods that have served 200 requests, a third of them by the hosted lane."""
    requests = [Request(i, i / 10, CLASS, 700, 12) for i in range(200)]
    model = FleetModel(config, requests, config.service_rng())
    model.set_weights(CLASS, {"vllm-coder": 2, "egress": 1})
    model.set_replicas(LANE, pod_views("vllm-coder", 2))
    while not model.exhausted:
        model.advance(model.now_s + 1)
    return model


def values(text: str) -> dict[str, float]:
    """Sums over all series of each sample name."""
    sums: dict[str, float] = {}
    for family in parse(text):
        for sample in family.samples:
            sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
    return sums


def test_engine_series_add_up(fleet: FleetModel) -> None:
    got = values(exposition(exporter.engines(fleet)))
    own = fleet.ledger.classes[CLASS].requests - fleet.ledger.classes[CLASS].hosted_requests
    assert got["vllm:request_success_total"] == own > 100
    assert got["vllm:prompt_tokens_total"] == own * 700
    assert got["vllm:generation_tokens_total"] == own * 12
    assert got["vllm:time_to_first_token_seconds_count"] == own
    assert got["vllm:inter_token_latency_seconds_count"] == own * 11
    assert got["vllm:request_time_per_output_token_seconds_count"] == own
    parts = ("queue", "prefill", "decode")
    total = sum(got[f"vllm:request_{part}_time_seconds_sum"] for part in parts)
    assert total == pytest.approx(got["vllm:e2e_request_latency_seconds_sum"])
    assert got["vllm:num_requests_running"] == got["vllm:num_requests_waiting"] == 0


def test_engine_series_carry_the_labels_of_a_scrape(fleet: FleetModel) -> None:
    for family in parse(exposition(exporter.engines(fleet))):
        for sample in family.samples:
            assert {"namespace", "pod"} <= sample.labels.keys()
            if family.name.startswith("vllm:") and family.name not in (
                "vllm:cache_config_info",
                "vllm:admission_rejections",
            ):
                assert {"model_name", "engine"} <= sample.labels.keys(), sample


def test_gateway_and_egress_count_every_request_once(fleet: FleetModel) -> None:
    envoy = values(exposition(fleet.gateway.envoy()))
    litellm = values(exposition(fleet.gateway.litellm()))
    score = fleet.ledger.classes[CLASS]
    # Envoy's own name has no _total; the parser of prometheus_client gives one to every counter.
    assert envoy["envoy_cluster_upstream_rq_total"] == envoy["envoy_cluster_upstream_rq_xx_total"] == 200
    assert envoy["envoy_cluster_upstream_rq_active"] == 0
    assert litellm["litellm_requests_metric_total"] == score.hosted_requests > 40
    assert litellm["litellm_input_tokens_metric_total"] == score.hosted_requests * 700
    assert litellm["litellm_spend_metric_total"] == pytest.approx(score.hosted_usd)


def test_metrics_of_a_pod_that_is_gone_vanish(fleet: FleetModel) -> None:
    keep = pod_views("vllm-coder", 2)[1]
    fleet.set_replicas(LANE, [keep])
    pods = {sample.labels["pod"] for family in parse(exposition(exporter.engines(fleet))) for sample in family.samples}
    assert pods == {keep.pod}


def test_gpu_figures_follow_the_busy_share(config: FleetConfig) -> None:
    requests = [Request(i, i / 3, CLASS, 2000, 20) for i in range(300)]
    fleet = FleetModel(config, requests, config.service_rng())
    fleet.set_weights(CLASS, {"vllm-coder": 1})
    fleet.set_replicas(LANE, pod_views("vllm-coder", 1))
    sampler = exporter.GpuSampler()
    sampler.sample(fleet)
    fleet.advance(60.0)
    sampler.sample(fleet)
    text = exposition(exporter.dcgm(fleet, sampler))
    got = values(text)
    assert 0.4 < got["DCGM_FI_PROF_GR_ENGINE_ACTIVE"] <= 1
    assert got["DCGM_FI_DEV_GPU_UTIL"] == pytest.approx(100 * got["DCGM_FI_PROF_GR_ENGINE_ACTIVE"], abs=0.5)
    assert 'exported_pod="vllm-coder-' in text


def test_kube_state_series(fleet: FleetModel) -> None:
    views = tuple(pod_views("vllm-coder", 2))
    state = ClusterState({LANE: LaneView(3, views)}, {}, {"gpu-0": 8})
    got = values(exposition(exporter.kube_state(fleet, state)))
    assert got == {
        "kube_deployment_spec_replicas": 3,
        "kube_deployment_status_replicas_ready": 2,
        "kube_pod_container_resource_requests": 2,
        "kube_node_status_allocatable": 8,
    }


def test_bounds_are_vllms() -> None:
    assert one_two_five(100) == (1, 2, 5, 10, 20, 50, 100)
    histogram = Histogram(TTFT_BOUNDS)
    histogram.observe(0.001)
    histogram.observe(0.0011, 2)
    histogram.observe(9999.0)
    lines = dict(histogram.lines("h", 'a="b"'))
    assert lines['h_bucket{a="b",le="0.001"}'] == 1
    assert lines['h_bucket{a="b",le="0.005"}'] == 3
    assert lines['h_bucket{a="b",le="2560.0"}'] == 3
    assert lines['h_bucket{a="b",le="+Inf"}'] == lines['h_count{a="b"}'] == 4


def test_label_values_are_escaped() -> None:
    text = exposition([Family("x", "gauge", "X.", [(f"x{{{labels(a=chr(34) + chr(92) + chr(10))}}}", 1.5)])])
    (family,) = parse(text)
    assert family.samples[0].labels == {"a": '"\\\n'}
    assert family.samples[0].value == 1.5


def test_the_history_has_the_live_names_and_ends_before_the_live_scrapes(config: FleetConfig, tmp_path: Path) -> None:
    path = tmp_path / "history.om"
    options = BackfillOptions(1_000_000.0, until_s=-340.0, scrape_seconds=5.0, instance="x:1", replicas=3)
    count = write_openmetrics(path, config, draw_requests(config), options)
    text = path.read_text()
    assert text.endswith("# EOF\n")
    assert text.count("\n") == count + 1
    samples = [SAMPLE.fullmatch(line) for line in text.splitlines()[:-1]]
    found = [(match["name"], match["labels"], float(match["value"]), match["at"]) for match in samples if match]
    assert len(found) == count
    assert sorted({at for *_, at in found}) == ["999645.000", "999650.000", "999655.000", "999660.000"]
    jobs = {re.findall('job="(.*?)"', pairs)[0] for _, pairs, _, _ in found}
    assert jobs == {"vllm", "envoy", "litellm", "dcgm"}
    requests = [value for name, _, value, _ in found if name == "envoy_cluster_upstream_rq_total"]
    assert requests == sorted(requests)
    assert requests[-1] > 50
    pods = {pod for _, pairs, _, _ in found for pod in re.findall(',pod="(.*?)"', pairs)}
    assert len(pods) == 3
    assert all(re.fullmatch(r"vllm-coder-[a-z0-9]{10}-[a-z0-9]{5}", pod) for pod in pods)
