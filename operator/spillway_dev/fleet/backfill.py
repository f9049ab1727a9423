"""The day before, as Prometheus would have scraped it: OpenMetrics text for `promtool tsdb create-blocks-from`.

The same requests that the seed gives run through an ample fleet in virtual time, all of them local. Series have the
names and labels of the live ones; counters start from 0 once more when the live process starts, which is an
ordinary counter reset.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from spillway.simulate.replica import Request
from spillway_dev.fleet import exporter
from spillway_dev.fleet.config import FleetConfig
from spillway_dev.fleet.histogram import Family, labels, number
from spillway_dev.fleet.model import FleetModel, ReplicaView
from spillway_dev.fleet.replay import constant_views

ENGINE_FAMILIES = frozenset(
    f"vllm:{name}"
    for name in (
        "num_requests_running",
        "num_requests_waiting",
        "kv_cache_usage_perc",
        "prompt_tokens_total",
        "generation_tokens_total",
        "request_success_total",
        "time_to_first_token_seconds",
        "inter_token_latency_seconds",
        "request_prompt_tokens",
        "request_generation_tokens",
        "request_time_per_output_token_seconds",
    )
)
"""What history is read for; the other series of an engine would only make the file four times as large."""

HISTORY_HASH = "5d8f7c9b4d"
NAME_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
"""The letters that Kubernetes makes generated names of."""


@dataclass(frozen=True, slots=True)
class BackfillOptions:
    """`starts_at` is the Unix time of the demand clock's 0; history ends at `until_s` on that clock."""

    starts_at: float
    until_s: float
    scrape_seconds: float
    instance: str
    """The `instance` label that live scrapes will have."""
    replicas: int = 16


def history(
    config: FleetConfig, requests: Sequence[Request], options: BackfillOptions
) -> Iterator[tuple[float, Mapping[str, Iterable[Family]]]]:
    """Unix time and families by scrape job, once a scrape interval."""
    lane = config.lanes[0]
    fleet = FleetModel(config, requests, config.service_rng(), start_s=-config.demand.day_seconds)
    for traffic in config.classes:
        local = next(name for name, target in traffic.backends.items() if target == lane.name)
        fleet.set_weights(traffic.name, {local: 1})
    fleet.set_replicas(lane.name, pod_views(lane.deployment, options.replicas))
    sampler = exporter.GpuSampler()
    while fleet.now_s + options.scrape_seconds <= options.until_s:
        fleet.advance(fleet.now_s + options.scrape_seconds)
        sampler.sample(fleet)
        engine = [family for family in exporter.engines(fleet) if family.name in ENGINE_FAMILIES]
        pages: dict[str, Iterable[Family]] = {
            "vllm": engine,
            "envoy": fleet.gateway.envoy(),
            "litellm": fleet.gateway.litellm(),
            "dcgm": exporter.dcgm(fleet, sampler),
        }
        yield options.starts_at + fleet.now_s, pages


def pod_views(deployment: str, replicas: int) -> list[ReplicaView]:
    """Pods with names as a ReplicaSet gives them, so that they are known as the Deployment's own."""
    return [
        replace(view, pod=f"{deployment}-{HISTORY_HASH}-{_suffix(index)}")
        for index, view in enumerate(constant_views(deployment, replicas))
    ]


def _suffix(index: int) -> str:
    places = (len(NAME_LETTERS) ** power for power in range(4, -1, -1))
    return "".join(NAME_LETTERS[index // place % len(NAME_LETTERS)] for place in places)


def write_openmetrics(path: Path, config: FleetConfig, requests: Sequence[Request], options: BackfillOptions) -> int:
    """Write the history to `path`; returns the number of samples."""
    samples = 0
    with path.open("w", encoding="utf-8") as out:
        for at, pages in history(config, requests, options):
            stamp = f"{at:.3f}"
            for job, families in pages.items():
                target = labels(job=job, instance=options.instance)
                out.write(f"up{{{target}}} 1 {stamp}\n")
                samples += 1
                for series, value in (line for family in families for line in family.lines):
                    name, rest = series.split("{", 1)
                    out.write(f"{name}{{{target},{rest} {number(value)} {stamp}\n")
                    samples += 1
        out.write("# EOF\n")
    return samples
