"""What a class has cost, and where that puts it in its budget: the values. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from spillway.advise.figures import Figure
from spillway.advise.runrate import ZERO, History


class BudgetReason(StrEnum):
    """Machine reasons, the gravest first."""

    EXCEEDED = "BudgetExceeded"
    POOL_EXHAUSTED = "OverflowPoolExhausted"
    TEAM_EXCEEDED = "TeamCapExceeded"
    ALERT = "BudgetAlert"
    POOL_LOW = "OverflowPoolLow"
    PROJECTED_OVER = "ProjectedOverBudget"
    MAY_BE_OVER = "SharedSpending"
    NOT_MEASURED = "BudgetNotMeasured"
    NEVER_REACHED = "BudgetNeverReached"
    WITHIN = "WithinBudget"


@dataclass(frozen=True, slots=True)
class Spending:
    """What one class has cost. Dollars; days and months of UTC, months by their first day."""

    key: str
    """The class, namespace/name."""
    at: datetime
    since: datetime
    """When counting by class began."""
    created: datetime | None = None
    """When the class was made, if that is known: before it, it cost nothing."""
    hosted_days: Mapping[date, Decimal] = field(default_factory=dict)
    hosted_months: Mapping[date, Decimal] = field(default_factory=dict)
    own_days: Mapping[date, Decimal] = field(default_factory=dict)
    """Its share of the own GPUs' bill."""
    own_months: Mapping[date, Decimal] = field(default_factory=dict)
    own_known: bool = True
    """False: what it takes of own GPUs can't be told."""
    unseen_seconds: int = 0
    """Time of this month for which nobody knows what it took of own GPUs."""
    teams: Mapping[str, Decimal] = field(default_factory=dict)
    """This month's dollars by team; "" for what no team is known of."""
    shared: Decimal = ZERO
    """This month's hosted dollars that may be the class's or another's: in no other figure."""
    shared_with: tuple[str, ...] = ()
    """Whose they may be as well."""

    @property
    def history(self) -> History:
        """Hosted and own together."""
        days, since = _added(self.hosted_days, self.own_days), self.since
        # One of this name may have been there before.
        if self.created is not None and not any(day < self.created.date() for day in days):
            since = max(since, self.created)
        return History(self.at, since, days, _added(self.hosted_months, self.own_months))


@dataclass(frozen=True, slots=True)
class TeamPosition:
    """One team's part of a class."""

    team: str
    spent: Decimal
    cap: Decimal | None
    """None: no cap of its own."""

    @property
    def over(self) -> Decimal:
        """What it is over its cap."""
        return ZERO if self.cap is None else max(ZERO, self.spent - self.cap)


@dataclass(frozen=True, slots=True)
class PoolPosition:
    """What the teams of a class share beyond their caps."""

    size: Decimal
    drawn: Decimal
    """What teams are over their caps, together: more than the pool where it is used up."""

    @property
    def balance(self) -> Decimal:
        """What is left of it."""
        return max(ZERO, self.size - self.drawn)

    @property
    def exhausted(self) -> bool:
        """Whether teams are over their caps by all of it, or more."""
        return self.drawn > 0 and self.drawn >= self.size


@dataclass(frozen=True, slots=True)
class Alert:
    """Why a budget is at risk."""

    reason: BudgetReason
    message: str
    """One sentence with class, dollars and date."""


@dataclass(frozen=True, slots=True)
class BudgetPosition:
    """Where a class stands in its budget."""

    key: str
    at: datetime
    spent: Figure
    """This month, with its hosted and its own part as inputs."""
    alert_share: Decimal
    cap: Figure | None = None
    """None: measured, and nothing is measured yet; or caps of teams alone."""
    used: Decimal | None = None
    """Spent over the cap; None where that has no meaning."""
    projected: Figure | None = None
    """The whole month, with its band; None where too little is measured."""
    reached_on: date | None = None
    """When the cap will be reached as it goes on; None where it won't be this month, or is."""
    shared: Figure | None = None
    teams: tuple[TeamPosition, ...] = ()
    pool: PoolPosition | None = None
    alerts: tuple[Alert, ...] = ()
    """The gravest first; empty: not at risk."""
    standing: Alert = Alert(BudgetReason.WITHIN, "")
    """The gravest alert, or how it stands without one."""
    warnings: tuple[str, ...] = ()
    """What the figures rest on, and what isn't in them."""

    @property
    def at_risk(self) -> bool:
        """Whether anybody should be told."""
        return bool(self.alerts)


def _added(one: Mapping[date, Decimal], other: Mapping[date, Decimal]) -> dict[date, Decimal]:
    return {day: one.get(day, ZERO) + other.get(day, ZERO) for day in (*one, *other)}
