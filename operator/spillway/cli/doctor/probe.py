"""What only the doctor asks of Prometheus: raw labels, DCGM's series, long requests. A fixed number of queries."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from spillway.cli.doctor.facts import Probe
from spillway.config import PrometheusConfig
from spillway.observe.engines import TABLES
from spillway.observe.prometheus import Evaluation, PrometheusClient, PrometheusError
from spillway.observe.promql import first_of, grouped
from spillway.observe.readings import PodKey

MAX_SAMPLES = 500
REQUEST_TIMES = ("vllm:e2e_request_latency_seconds", "sglang:e2e_request_latency_seconds")
GPU_SERIES = 'count({__name__=~"DCGM_FI_PROF_GR_ENGINE_ACTIVE|DCGM_FI_DEV_GPU_UTIL"})'


async def read_probe(config: PrometheusConfig, now: float) -> Probe:
    """The probe; a part that can't be read is empty."""
    client = PrometheusClient(config)
    try:
        client.refresh_credentials()
        when = Evaluation(end=now)
        samples = await client.query(_samples_query(), when, _labels)
        gpus = await client.query(GPU_SERIES, when, _count)
        times = await client.query(_p99_query(config), when, lambda result: _by_pod(result, config))
    except PrometheusError:
        return Probe()
    finally:
        client.close()
    return Probe(samples, gpus, times)


def _samples_query() -> str:
    names = [name for table in TABLES if (metric := table.metric("running")) for name in metric.series_names()]
    return first_of([f"topk({MAX_SAMPLES}, {name})" for name in names])


def _p99_query(config: PrometheusConfig) -> str:
    by = (config.labels.namespace, config.labels.pod, "le")
    return first_of(
        [f"histogram_quantile(0.99, {grouped('sum', by, f'rate({name}_bucket[1h])')})" for name in REQUEST_TIMES]
    )


def _labels(result: Any) -> tuple[Mapping[str, str], ...]:
    return tuple(item["metric"] for item in result)


def _count(result: Any) -> int:
    return int(float(result[0]["value"][1])) if result else 0


def _by_pod(result: Any, config: PrometheusConfig) -> dict[PodKey, float]:
    found: dict[PodKey, float] = {}
    for item in result:
        labels, value = item["metric"], float(item["value"][1])
        namespace, pod = labels.get(config.labels.namespace), labels.get(config.labels.pod)
        if namespace and pod and math.isfinite(value):
            found[namespace, pod] = value
    return found
