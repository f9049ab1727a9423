"""The egress' token counters as they are, cumulative and by process: what the ledger is kept from."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from spillway.observe.promql import TAG
from spillway.observe.readings import Labels, samples


@dataclass(frozen=True, slots=True)
class SpendSeries:
    """The cumulative token counters of one process for one set of labels."""

    labels: Labels
    tokens: dict[str, float]


def parse_spend(result: Any) -> tuple[SpendSeries, ...]:
    """Parser of the query ``spend``."""
    groups: dict[tuple[tuple[str, str], ...], dict[str, float]] = defaultdict(dict)
    for sample in samples(result):
        labels = tuple(sorted((name, text) for name, text in sample.labels.items() if name != TAG))
        groups[labels][sample.tag] = sample.value
    return tuple(SpendSeries(dict(labels), tokens) for labels, tokens in sorted(groups.items()))
