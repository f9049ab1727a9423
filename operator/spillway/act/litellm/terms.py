"""What a proxy must hold by itself: prices, what may be spent, and rates that hold although nobody watches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from spillway.act.litellm.limits import armed
from spillway.act.litellm.values import Budget, Limits
from spillway.api import LaneType
from spillway.decide.ceilings import windows
from spillway.decide.decision import Decision
from spillway.decide.reasons import Code
from spillway.decide.snapshot import PlanSnapshot, TokenPrice

HOSTED = (LaneType.HOSTED_REALTIME, LaneType.FLEX)
AT_ONCE = frozenset({Code.CEILING_REACHED, Code.DATA_POLICY, Code.OVERFLOW_NEVER})
"""Reasons that can't wait for the next rollout."""


@dataclass(frozen=True, slots=True)
class Terms:
    """One tick's facts beside weights."""

    at: float
    """Unix time, in seconds."""
    prices: Mapping[str, TokenPrice] = field(default_factory=dict)
    """By hosted lane, where one is known."""
    budget: Budget | None = None
    """None: no ceiling."""
    left_known: bool = True
    """False: the ledger tells nothing, so what a running proxy counts is left to go on."""
    output_share: Decimal | None = None
    """Share of output in all hosted tokens, 0 to 1, as far as it is known."""
    tokens_per_request: Decimal | None = None
    hurry: frozenset[str] = frozenset()
    """Names of classes whose weights must change at once: a ceiling, a policy, or no own replica at all."""

    def hosted_order(self) -> tuple[str, ...]:
        """Hosted lanes, cheapest first at this mix."""
        output = float(self.output_share if self.output_share is not None else Decimal("0.5"))

        def usd(lane: str) -> float:
            price = self.prices[lane]
            return float(price.input_usd_per_mtok) * (1 - output) + float(price.output_usd_per_mtok) * output

        return tuple(sorted(self.prices, key=lambda lane: (usd(lane), lane)))

    def armed(self) -> dict[str, Limits]:
        """Rates by hosted lane at which no ceiling is spent faster than in its own time."""
        if self.budget is None or not self.budget.ceilings:
            return {}
        rate = min(self.budget.ceilings.values())
        found = {}
        for lane, price in self.prices.items():
            if max(price.input_usd_per_mtok, price.output_usd_per_mtok) > 0:
                found[lane] = armed(rate, price, self.output_share, self.tokens_per_request).limits
        return found


def terms_of(snapshot: PlanSnapshot, decision: Decision) -> Terms:
    """The terms of one decision."""
    prices = {
        lane.name: lane.token_price
        for lane in snapshot.lanes
        if lane.resource.spec.type in HOSTED and lane.token_price is not None
    }
    share, tokens = _mix(snapshot)
    spent = snapshot.spent is not None
    return Terms(snapshot.at, prices, _budget(snapshot, prices), spent, share, tokens, _hurry(snapshot, decision))


def _budget(snapshot: PlanSnapshot, prices: Mapping[str, TokenPrice]) -> Budget | None:
    found = windows(snapshot)
    tiers = {
        tier.name: tier.max_spill_usd_per_hour
        for tier in snapshot.plan.spec.value_tiers
        if tier.max_spill_usd_per_hour is not None
    }
    if not found and not tiers:
        return None
    ceilings = {each.period: _dollars(each.ceiling_usd) for each in found}
    left = {each.period: _dollars(max(0.0, each.ceiling_usd - (each.spent_usd or 0.0))) for each in found}
    if snapshot.spent is None:
        # Nobody can tell what is gone: a bound fails closed.
        left = {each.period: Decimal(0) for each in found if each.period != "hour"} | {
            each.period: ceilings[each.period] for each in found if each.period == "hour"
        }
    by_lane = {
        lane: (price.input_usd_per_mtok, price.cached_input_usd_per_mtok, price.output_usd_per_mtok)
        for lane, price in prices.items()
    }
    return Budget(snapshot.at, ceilings, left, tiers, by_lane)


def _dollars(value: float) -> Decimal:
    return Decimal(str(round(value, 4)))


def _mix(snapshot: PlanSnapshot) -> tuple[Decimal | None, Decimal | None]:
    """Share of output in tokens and tokens of a request, by classes' own mixes, weighed by their requests."""
    total_in = total_out = rate = 0.0
    for item in snapshot.classes:
        demand = item.demand
        if demand is None or demand.input_tokens_per_request is None or demand.output_tokens_per_request is None:
            continue
        weight = demand.requests_per_second.value
        total_in += weight * demand.input_tokens_per_request.value
        total_out += weight * demand.output_tokens_per_request.value
        rate += weight
    tokens = total_in + total_out
    if rate <= 0 or tokens <= 0:
        return None, None
    return Decimal(str(round(total_out / tokens, 3))), Decimal(str(round(tokens / rate, 1)))


def _hurry(snapshot: PlanSnapshot, decision: Decision) -> frozenset[str]:
    found = set()
    names = {item.key: item.resource.metadata.name for item in snapshot.classes}
    served = any((lane.ready or 0) > 0 for lane in decision.lanes)
    for each in decision.classes:
        code = None if each.reason is None else each.reason.code
        if code in AT_ONCE or (code == Code.HOSTED_ONLY.value and not served):
            found.add(names.get(each.key, ""))
    return frozenset(found - {""})
