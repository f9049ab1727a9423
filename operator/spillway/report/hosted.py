"""What hosted lanes took: the share of each class now, and tokens and dollars by class, team, lane and reason."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from spillway.api import LaneType
from spillway.decide.snapshot import ClassSnapshot, PlanSnapshot

MOST_TEAMS = 100
"""Teams that have series of their own, in each plan; those that come later are counted together."""
OTHER_TEAMS = "other"
KINDS = {"input_tokens": "input", "cached_tokens": "cached_input", "output_tokens": "output"}
LABELS = ("plan", "class", "team", "lane", "reason")


@dataclass(frozen=True, slots=True)
class SpillShare:
    """Share of a class's requests that hosted lanes serve now."""

    class_key: str
    """namespace/name."""
    team: str
    """Of the class's ``match``; empty where it names none."""
    ratio: float


def spill_shares(snapshot: PlanSnapshot) -> tuple[SpillShare, ...]:
    """By request counters; a class whose hosted requests nobody counts apart is left out."""
    own = {lane.name for lane in snapshot.lanes if lane.resource.spec.type is LaneType.SELF_HOSTED}
    shares = ((item, _ratio(item, own)) for item in snapshot.classes)
    return tuple(
        SpillShare(item.key, item.resource.spec.match.team or "", ratio) for item, ratio in shares if ratio is not None
    )


def _ratio(item: ClassSnapshot, own: Collection[str]) -> float | None:
    if item.demand is None:
        return None
    rates = item.demand.requests_per_second_by_lane
    hosted = [reading.value for lane, reading in rates.items() if lane not in own]
    if not hosted:
        return None
    mine = [reading.value for lane, reading in rates.items() if lane in own]
    # Where own lanes serve several classes their counters tell nothing of one: all of its requests do.
    total = sum(hosted) + sum(mine) if mine else max(item.demand.requests_per_second.value, sum(hosted))
    return sum(hosted) / total if total > 0 else None


@dataclass(frozen=True, slots=True)
class HostedUse:
    """Tokens that hosted lanes took since the last look."""

    plan: str
    class_key: str
    """Empty where the egress' counters can't tell classes apart."""
    team: str
    lane: str
    reason: str
    """Machine reason for which Spillway hosts; empty where it did not send them."""
    tokens: Mapping[str, Decimal]
    """By name in ``KINDS``; input tokens hold cached ones, too."""
    micro_usd: int | None
    """None: nobody prices the lane."""


class HostedCounters(Collector):
    """Counters that begin at 0 with the process; a plan that is gone takes its own with it."""

    def __init__(self) -> None:
        self._tokens = defaultdict[tuple[str, ...], Decimal](Decimal)
        self._micro_usd = defaultdict[tuple[str, ...], int](int)
        self._teams = defaultdict[str, set[str]](set)

    def add(self, use: HostedUse) -> None:
        """Count what was taken."""
        labels = (use.plan, use.class_key, self._bounded(use.plan, use.team), use.lane, use.reason)
        if not any(use.tokens.values()):
            return
        for name, kind in KINDS.items():
            self._tokens[*labels, kind] += use.tokens.get(name, Decimal(0))
        if use.micro_usd is not None:
            self._micro_usd[labels] += use.micro_usd

    def _bounded(self, plan: str, team: str) -> str:
        known = self._teams[plan]
        if not team or team in known:
            return team
        if len(known) >= MOST_TEAMS:
            return OTHER_TEAMS
        known.add(team)
        return team

    def keep(self, plans: Collection[str]) -> None:
        """Drop what belongs to other plans."""
        for counts in (self._tokens, self._micro_usd):
            for labels in [labels for labels in counts if labels[0] not in plans]:
                del counts[labels]
        for plan in [plan for plan in self._teams if plan not in plans]:
            del self._teams[plan]

    def collect(self) -> Iterator[Metric]:
        """prometheus_client asks at each scrape."""
        tokens = CounterMetricFamily(
            "spillway_hosted_tokens",
            "Tokens that hosted lanes took, by class, team, lane and why; input holds cached_input, too.",
            labels=[*LABELS, "kind"],
        )
        for labels, count in self._tokens.items():
            tokens.add_metric(list(labels), float(count))
        usd = CounterMetricFamily(
            "spillway_hosted_usd", "US dollars that these tokens cost, where the lane has a price.", labels=list(LABELS)
        )
        for labels, micro in self._micro_usd.items():
            usd.add_metric(list(labels), micro / 1e6)
        yield tokens
        yield usd
