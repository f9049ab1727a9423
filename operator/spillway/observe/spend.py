"""The egress' token counters as they are, cumulative and by process: what the ledger is kept from."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from spillway.config import GatewayConfig, GatewayRole, GatewayType, OperatorConfig
from spillway.observe.ledger import TOKENS
from spillway.observe.promql import TAG, Term, union
from spillway.observe.queries import LITELLM_LABELS, Query, gateway_counters, gateway_labels
from spillway.observe.readings import Labels, samples

INSTANCE = "instance"
"""Prometheus' own label of the process that was scraped: counters begin anew with a process, all at once."""


@dataclass(frozen=True, slots=True)
class SpendSeries:
    """The cumulative token counters of one process for one set of labels."""

    labels: Labels
    tokens: dict[str, float]


def egress_gateways(config: OperatorConfig) -> tuple[GatewayConfig, ...]:
    """The gateways that count hosted tokens: the LiteLLM egresses; where there is none, LiteLLM at the front."""
    litellm = [gateway for gateway in config.gateways if gateway.type is GatewayType.LITELLM]
    egress = [gateway for gateway in litellm if gateway.role is GatewayRole.EGRESS]
    return tuple(egress or litellm)


def spend_query(config: OperatorConfig) -> Query | None:
    """One query for all counters; None where nothing counts hosted tokens."""
    if not egress_gateways(config):
        return None
    by = (INSTANCE, *gateway_labels(GatewayType.LITELLM, config.gateways), *LITELLM_LABELS)
    counters = [metric for metric in gateway_counters(GatewayType.LITELLM, config) if metric.key in TOKENS]
    return Query(
        "spend", union([Term(metric.key, metric.expression(tuple(dict.fromkeys(by)), "%s")) for metric in counters])
    )


def parse_spend(result: Any) -> tuple[SpendSeries, ...]:
    """The answer to ``spend_query``."""
    groups: dict[tuple[tuple[str, str], ...], dict[str, float]] = defaultdict(dict)
    for sample in samples(result):
        labels = tuple(sorted((name, text) for name, text in sample.labels.items() if name != TAG))
        groups[labels][sample.tag] = sample.value
    return tuple(SpendSeries(dict(labels), tokens) for labels, tokens in sorted(groups.items()))
