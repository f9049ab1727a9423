"""Prometheus' answers as typed values: what is missing stays missing."""

from __future__ import annotations

from typing import Any

from spillway.config import GatewayType
from spillway.decide.snapshot import Reading
from spillway.observe.promql import TAG
from spillway.observe.readings import parse_engines, parse_gateways, parse_gpus, parse_latency
from support.observed import config

CONFIG = config("http://127.0.0.1:1")
POD = {"namespace": "ns", "pod": "p", "model_name": "llama"}


def sample(tag: str, value: str | float, **labels: str) -> dict[str, Any]:
    return {"metric": {TAG: tag, **labels}, "value": [1000, str(value)]}


def test_nan_and_infinity_are_missing_and_zero_is_a_value() -> None:
    parse = parse_engines(CONFIG.prometheus)
    found = parse(
        [
            sample("vLLM/at", 990, **POD),
            sample("vLLM/running", "NaN", **POD),
            sample("vLLM/waiting", "+Inf", **POD),
            sample("vLLM/requests", 0, **POD),
        ]
    )
    (engine,) = found["ns", "p"]
    assert (engine.get("running"), engine.get("waiting"), engine.get("requests")) == (None, None, 0.0)
    assert engine.at == 990


def test_a_series_without_a_time_or_a_pod_is_nobodys() -> None:
    parse = parse_engines(CONFIG.prometheus)
    assert parse([sample("vLLM/running", 1, **POD)]) == {}
    for label in ("namespace", "pod"):
        known = {label: POD[label]}
        assert parse([sample("vLLM/at", 990, **known), sample("vLLM/running", 1, **known)]) == {}
    assert parse([]) == {}


def test_relabelled_names_of_namespace_and_pod() -> None:
    settings = config("http://127.0.0.1:1", prometheus={"labels": {"namespace": "k8s_ns", "pod": "k8s_pod"}})
    labels = {"k8s_ns": "a", "k8s_pod": "b", "namespace": "c", "pod": "d"}
    found = parse_engines(settings.prometheus)([sample("vLLM/at", 9, **labels), sample("vLLM/running", 1, **labels)])
    assert list(found) == [("a", "b")]


def test_an_engine_of_nothing_but_nan_does_not_report() -> None:
    parse = parse_engines(CONFIG.prometheus)
    assert parse([sample("vLLM/at", 990, **POD), sample("vLLM/running", "NaN", **POD)]) == {}


def test_the_size_of_the_cache_comes_from_the_info_metric() -> None:
    parse = parse_engines(CONFIG.prometheus)
    at = sample("vLLM/at", 990, **POD)
    running = sample("vLLM/running", 1, **POD)
    info = {"namespace": "ns", "pod": "p", "block_size": "16", "num_gpu_blocks": "1000"}
    (engine,) = parse([at, running, sample("vLLM/cache_info", 1, **info)])["ns", "p"]
    assert engine.kv_size_tokens == 16_000
    (engine,) = parse([at, running, sample("vLLM/cache_info", 2, **info)])["ns", "p"]
    assert engine.kv_size_tokens == 32_000, "two data-parallel engines hold twice as much"
    (engine,) = parse([at, running, sample("vLLM/cache_info", 1, **info | {"num_gpu_blocks": "None"})])["ns", "p"]
    assert engine.kv_size_tokens is None


def test_buckets_are_sorted_by_their_bound() -> None:
    parse = parse_latency(CONFIG.prometheus)
    found = parse([sample("vLLM/ttft", rate, le=le, **POD) for le, rate in (("+Inf", 3), ("10.0", 2), ("2.5", 1))])
    assert found["ns", "p"].ttft[0].buckets == ((2.5, 1), (10, 2), (float("inf"), 3))
    assert found["ns", "p"].itl == ()


def test_gpu_series_are_the_pods_that_they_speak_of() -> None:
    exporter = {"namespace": "gpu-operator", "pod": "dcgm-1"}
    found = parse_gpus(CONFIG.prometheus)(
        [
            sample("busy", 0.7, exported_namespace="ns", exported_pod="p", **exporter),
            sample("at", 990, exported_namespace="ns", exported_pod="p", **exporter),
            sample("busy", 0.1, namespace="ns", pod="q"),
            sample("at", 991, namespace="ns", pod="q"),
            sample("busy", 0.5, **exporter),
            sample("requested", 2, namespace="ns", pod="q"),
            sample("allocatable", 16),
        ]
    )
    assert found.busy == {("ns", "p"): Reading(0.7, 990), ("ns", "q"): Reading(0.1, 991)}
    assert found.requested == {("ns", "q"): 2}
    assert found.allocatable == 16


def gateways(*samples: dict[str, Any], **changes: Any) -> Any:
    settings = config("http://127.0.0.1:1", **changes)
    return parse_gateways(GatewayType.LITELLM, settings.gateways)(list(samples))


TWO = [
    {"name": "east", "type": "LiteLLM", "role": "Egress", "labels": {"job": "litellm", "region": "east"}},
    {"name": "west", "type": "LiteLLM", "role": "Egress", "labels": {"job": "litellm", "region": "west"}},
]


def test_several_gateways_are_sorted_by_their_labels() -> None:
    series = [
        sample(tag, value, job="litellm", region=region, model="m")
        for region, rate in (("east", 1), ("west", 2), ("north", 4))
        for tag, value in (("requests", rate), ("at", 990))
    ]
    found = gateways(*series, gateways=TWO)
    assert {name: [s.values["requests"] for s in reading.series] for name, reading in found.items()} == {
        "east": [1],
        "west": [2],
    }


def test_a_gateway_that_is_up_is_alive_and_one_that_is_down_is_not() -> None:
    up = [sample("up", 1, job="litellm", region="east"), sample("up_at", 995, job="litellm", region="east")]
    down = [sample("up", 0, job="litellm", region="west"), sample("up_at", 996, job="litellm", region="west")]
    found = gateways(*up, *down, gateways=TWO)
    assert (found["east"].alive_at, found["west"].alive_at) == (995, None)
    assert found["east"].series == ()


def test_failures_that_have_no_time_of_their_own_take_the_gateways() -> None:
    found = gateways(
        sample("requests", 3, job="litellm", model="m"),
        sample("at", 990, job="litellm", model="m"),
        sample("errors", 1, job="litellm", model="m", requested_model="x"),
    )["egress"]
    errors = next(series for series in found.series if "errors" in series.values)
    assert errors.at == 990


def test_a_gateway_without_labels_is_alive_by_its_series() -> None:
    settings = [{"name": "only", "type": "LiteLLM", "role": "Egress"}]
    found = gateways(sample("requests", 3, model="m"), sample("at", 990, model="m"), gateways=settings)["only"]
    assert found.alive_at == 990
    assert gateways(gateways=settings)["only"].alive_at is None
