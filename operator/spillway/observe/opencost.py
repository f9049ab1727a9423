"""What OpenCost says that a cluster's GPUs cost: its price by node, joined with the exporters' names of their GPUs."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from spillway.advise.prices import GpuOffer
from spillway.config import PrometheusConfig
from spillway.observe.prometheus import Evaluation, PrometheusClient

COSTS = "max by (node) (node_gpu_hourly_cost)"
TYPES = "count by (Hostname, hostname, modelName) ({__name__=~'DCGM_FI_DEV_FB_USED|DCGM_FI_DEV_GPU_UTIL'})"
PLACEHOLDER_USD = Decimal("0.95")
"""OpenCost's default price of a GPU where it knows none."""
OWN = "own"
Sampled = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class OpenCost:
    """Prices of the cluster's GPUs, and what is wrong with them."""

    offers: tuple[GpuOffer, ...]
    findings: tuple[str, ...]


async def read_opencost(config: PrometheusConfig) -> OpenCost:
    """Ask Prometheus now. Raises PrometheusError."""
    client = PrometheusClient(config)
    now = time.time()
    try:
        client.refresh_credentials()
        costs = await client.query(COSTS, Evaluation(end=now), _parse)
        types = await client.query(TYPES, Evaluation(end=now), _parse)
    finally:
        client.close()
    return join(costs, types, now)


def join(costs: list[tuple[Sampled, float]], types: list[tuple[Sampled, float]], now: float) -> OpenCost:
    """Prices by type of GPU: the dearest node of each type, so that no cost is hidden."""
    names: dict[str, set[str]] = defaultdict(set)
    for labels, _ in types:
        names[labels.get("Hostname") or labels.get("hostname", "")].add(labels.get("modelName", ""))
    found: dict[str, Decimal] = {}
    placeholders, unknown = set(), set()
    for labels, value in costs:
        node = labels.get("node", "")
        price = Decimal(repr(value))
        if price <= 0:
            continue  # a node without GPUs
        if price == PLACEHOLDER_USD:
            placeholders.add(node)
            continue
        if not (gpus := names.get(node, set()) - {""}):
            unknown.add(node)
        for gpu in gpus:
            found[gpu] = max(price, found.get(gpu, price))
    day = datetime.fromtimestamp(now, UTC).date()
    offers = (
        GpuOffer(gpu, OWN, "", False, price, None, "OpenCost node_gpu_hourly_cost", day)
        for gpu, price in sorted(found.items())
    )
    return OpenCost(tuple(offers), _findings(placeholders, unknown, bool(costs)))


def _findings(placeholders: set[str], unknown: set[str], any_cost: bool) -> tuple[str, ...]:
    said = []
    if not any_cost:
        said.append("OpenCost: Prometheus has no node_gpu_hourly_cost")
    if placeholders:
        nodes = ", ".join(sorted(placeholders))
        said.append(
            f"OpenCost: {PLACEHOLDER_USD} an hour on {nodes} is its placeholder where it knows no price: not used; "
            "set the GPU's price in OpenCost, or declare the lane's"
        )
    if unknown:
        nodes = ", ".join(sorted(unknown))
        said.append(f"OpenCost: no GPU exporter says which GPUs {nodes} has: its price is not used")
    return tuple(said)


def _parse(result: Any) -> list[tuple[Sampled, float]]:
    rows = ((item["metric"], float(item["value"][1])) for item in result)
    return [(labels, value) for labels, value in rows if math.isfinite(value)]
