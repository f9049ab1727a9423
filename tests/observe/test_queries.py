"""The fixed list of queries, and the patterns in it."""

from __future__ import annotations

import re

import pytest

from spillway.observe.gpu_peaks import gpu_peak
from spillway.observe.promql import WORKLOAD_PATTERN, Term, matchers, quote, union, window
from spillway.observe.queries import build_queries
from support.observed import config, pod_name


def workload_of(pod: str) -> str | None:
    found = re.fullmatch(WORKLOAD_PATTERN, pod)
    return found[1] if found else None


@pytest.mark.parametrize(
    ("pod", "workload"),
    [
        (pod_name("vllm", 3), "vllm"),
        (pod_name("vllm-llama-3", 3), "vllm-llama-3"),
        ("vllm-llama-5d8f7c9b4d-x2z9k", "vllm-llama"),
        ("llama-3-0", "llama-3"),
        ("llama-12", "llama"),
        ("group-0-1", "group-0"),
        ("vllm-rs-x2z9k", "vllm-rs"),
        ("vllm", None),
        ("vllm-Worker-x2z9a", None),
    ],
)
def test_a_pods_name_tells_its_workload(pod: str, workload: str | None) -> None:
    assert workload_of(pod) == workload


def test_the_list_depends_on_gateway_types_alone() -> None:
    def count(*kinds: str) -> tuple[int, int, int]:
        gateways = [{"name": f"g{n}", "type": kind, "role": "Front"} for n, kind in enumerate(kinds)]
        found = build_queries(config("http://127.0.0.1:1", gateways=gateways))
        return len(found.instant), len(found.fine), len(found.coarse)

    assert count() == (3, 1, 1)
    assert count("Envoy", "LiteLLM") == (7, 3, 3)
    assert count(*["Envoy"] * 9, *["LiteLLM"] * 9) == (7, 3, 3)


def test_labels_of_gateways_narrow_the_query_where_all_have_them() -> None:
    gateways = [
        {"name": "a", "type": "Envoy", "role": "Front", "labels": {"job": "x.y", "zone": "1"}},
        {"name": "b", "type": "Envoy", "role": "Front", "labels": {"job": "z"}},
    ]
    queries = build_queries(config("http://127.0.0.1:1", gateways=gateways))
    (envoy,) = [query.expression for query in queries.instant if query.name == "Envoy"]
    assert 'job=~"x\\\\.y|z"' in envoy
    assert "zone=~" not in envoy
    assert "sum by (job,zone,envoy_cluster_name)" in envoy


def test_the_pieces() -> None:
    assert quote('a"b\\c\n') == '"a\\"b\\\\c\\n"'
    assert matchers({"b": ["2", "1"], "a": ["x"]}) == 'a=~"x",b=~"1|2"'
    assert window(7.5) == "7500ms"
    assert union([Term("t", "up")]) == 'label_replace(up, "spillway_metric", "t", "", "")'


@pytest.mark.parametrize(
    ("gpu", "terabytes"),
    [
        ("nvidia-h100-80gb", 3.35),
        ("nvidia-h100-pcie-80gb", 2.0),
        ("nvidia-a100-sxm4-40gb", 1.555),
        ("nvidia-a100-80gb", 2.039),
        ("nvidia-l4", 0.3),
        ("nvidia-l40s", 0.864),
        ("h200", 4.8),
        ("amd-mi300x", 5.3),
    ],
)
def test_peaks_by_type(gpu: str, terabytes: float) -> None:
    peak = gpu_peak(gpu)
    assert peak is not None
    assert peak.bytes_per_second == pytest.approx(terabytes * 1e12)


def test_an_unknown_gpu_has_no_peak() -> None:
    assert gpu_peak("fake-gpu") is None
