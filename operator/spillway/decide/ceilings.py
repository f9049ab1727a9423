"""What may still be spent on hosted lanes: the plan's and the tiers' ceilings, less what the ledger says is gone."""

from __future__ import annotations

import calendar
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from spillway.decide.allocation import pacing_factor
from spillway.decide.snapshot import PlanSnapshot

LAST_SECONDS = 600.0
"""What is left of a period's ceiling may be spent in this time: so weights go down before it is gone, not after."""
ALERT_SHARE = 0.8
"""Of a ceiling: from there on people are told."""


@dataclass(frozen=True, slots=True)
class Window:
    """One ceiling and what is spent of it."""

    period: str
    """"hour", "day" or "month"."""
    ceiling_usd: float
    spent_usd: float | None
    """None: not known."""

    @property
    def share(self) -> float | None:
        """Spent over the ceiling; a ceiling of 0 is used up."""
        if self.spent_usd is None:
            return None
        return self.spent_usd / self.ceiling_usd if self.ceiling_usd > 0 else 1.0


def windows(snapshot: PlanSnapshot) -> tuple[Window, ...]:
    """The plan's ceilings."""
    ceiling, spent = snapshot.plan.spec.overflow.ceiling_usd, snapshot.spent
    known = (None, None, None) if spent is None else (spent.hour_usd, spent.day_usd, spent.month_usd)
    limits: tuple[tuple[str, Decimal | None], ...] = (
        ("hour", ceiling.per_hour),
        ("day", ceiling.per_day),
        ("month", ceiling.per_month),
    )
    return tuple(
        Window(period, float(limit), gone)
        for (period, limit), gone in zip(limits, known, strict=True)
        if limit is not None
    )


def ceiling_usd_per_hour(snapshot: PlanSnapshot) -> float:
    """The rate at which the plan may spend on hosted lanes now, in US dollars an hour; infinite without a ceiling.

    The ceiling per hour is a rate as well as an amount. A ceiling per day or month whose ledger can't be read allows
    nothing: what is bounded must stay so.
    """
    rates = [math.inf]
    for window in windows(snapshot):
        if window.period == "hour":
            rates.append(window.ceiling_usd)
        if window.spent_usd is not None:
            rates.append(_rate(window.ceiling_usd - window.spent_usd))
        elif window.period != "hour":
            rates.append(0.0)
    return max(0.0, min(rates))


def month_pacing(snapshot: PlanSnapshot) -> float:
    """Factor on hosted dollars, at least 1: where the month's ceiling would be gone early, own GPUs are worth more."""
    ceiling, spent = snapshot.plan.spec.overflow.ceiling_usd.per_month, snapshot.spent
    if ceiling is None or spent is None:
        return 1.0
    now = datetime.fromtimestamp(snapshot.at, UTC)
    days = calendar.monthrange(now.year, now.month)[1]
    begun = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return pacing_factor(spent.month_usd, float(ceiling), (now - begun).total_seconds() / (86_400.0 * days))


def tier_usd_per_hour(snapshot: PlanSnapshot, tier: str | None, limit: float) -> float:
    """The same for one value tier with a limit in US dollars an hour."""
    if math.isinf(limit) or tier is None or snapshot.spent is None:
        return limit
    return max(0.0, min(limit, _rate(limit - snapshot.spent.tier_hour_usd.get(tier, 0.0))))


def _rate(left_usd: float) -> float:
    return left_usd / (LAST_SECONDS / 3600.0)
