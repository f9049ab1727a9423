"""A month's budget of a class or a team: what it costs by model, what its cap should be, and what to change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from spillway.advise.costs import Cost, Priced, cost_of, cost_per_success, successes
from spillway.advise.demand import Declared, Demand, DemandError, Measured, declared_demand, measured_demand, projected
from spillway.advise.demand_findings import (
    inflation,
    no_growth,
    short_history,
    theoretical_maximum,
    unusual_demand,
)
from spillway.advise.figures import Figure, computed
from spillway.advise.findings import Finding, async_tiers, caching, single_model, unprofitable
from spillway.advise.prices import Tier
from spillway.advise.words import dollars, share, times
from spillway.api import LatencyClass

UNREACHED = Decimal("0.5")
"""A cap of which a year's dearest month takes less than this warns of nothing."""
FITTING: Mapping[LatencyClass, tuple[Tier, ...]] = {
    LatencyClass.INTERACTIVE: (),
    LatencyClass.BACKGROUND: (Tier.FLEX,),
    LatencyClass.DEFERRABLE: (Tier.BATCH, Tier.FLEX),
}
"""Tiers that work may take for its latency: Batch is not for what somebody waits for."""
KEEP_SPENDING = Decimal(3)
"""Return on a dollar from which a cap that is too low costs more than it saves; 3-5 is what teams report."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What may be spent, and what it is worth. Shares are from 0 to 1; None: not known."""

    buffer: Figure
    """On top of the average, where no cap is given."""
    alert: Figure
    """Share of the cap from which to warn."""
    cap: Figure | None = None
    """In US dollars a month, where somebody set one."""
    success_rate: Figure | None = None
    revenue_per_success: Figure | None = None
    repeated_share: Figure | None = None
    """Of the prompt tokens."""
    simple_share: Figure | None = None
    """Of the tokens: work that a cheaper model does as well."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose budget it is, and what is known of it."""

    name: str
    terms: Terms
    options: tuple[Priced, ...]
    """Models at real-time prices; the first is planned with."""
    latency: LatencyClass = LatencyClass.INTERACTIVE
    tiers: tuple[Priced, ...] = ()
    """The same work at Batch and Flex prices; those that don't fit the latency are passed over."""
    declared: Declared | None = None
    measured: Measured | None = None
    notes: tuple[str, ...] = ()
    """What could not be known, such as prices."""


@dataclass(frozen=True, slots=True)
class Cap:
    """What a month may cost."""

    usd: Figure
    alert: Figure
    """From here on it is warned."""
    given: bool
    measured: bool
    """Whether it rests on measurements; never for one that was given."""


@dataclass(frozen=True, slots=True)
class BudgetReport:
    """The answer for one subject."""

    subject: Subject
    declared: Demand | None
    measured: Demand | None
    declared_costs: tuple[Cost, ...]
    measured_costs: tuple[Cost, ...]
    tier_costs: tuple[Cost, ...]
    """Of the demand that counts."""
    cap: Cap | None
    months: tuple[Figure, ...]
    """Cost of the planned model by month, for a year; empty without growth."""
    per_success: Figure | None
    returned: Figure | None
    """Dollars earned by a dollar spent."""
    findings: tuple[Finding, ...]

    @property
    def demand(self) -> Demand:
        """The one that counts: measured where there is any."""
        found = self.measured or self.declared
        assert found is not None  # noqa: S101 - assess refuses a subject without either
        return found

    @property
    def costs(self) -> tuple[Cost, ...]:
        """Of the demand that counts; the planned model first."""
        return self.measured_costs if self.measured else self.declared_costs


def assess(subject: Subject) -> BudgetReport:
    """Budget and findings of a subject. Raises DemandError: nothing is declared or measured, or it is absurd."""
    declared = declared_demand(subject.declared) if subject.declared else None
    growth = subject.declared.growth if subject.declared else None
    measured = measured_demand(subject.measured, growth) if subject.measured else None
    demand = measured or declared
    if demand is None:
        raise DemandError(f"{subject.name}: no demand is declared and none is measured")
    report = BudgetReport(
        subject=subject,
        declared=declared,
        measured=measured,
        declared_costs=_costs(declared, subject.options),
        measured_costs=_costs(measured, subject.options),
        tier_costs=_costs(demand, [t for t in subject.tiers if t.tariff.tier in FITTING[subject.latency]]),
        cap=None,
        months=(),
        per_success=None,
        returned=None,
        findings=(),
    )
    if not report.costs:
        return replace(report, findings=tuple(_demand_findings(report)))
    planned = report.costs[0]
    months = projected(planned.total, demand.growth) if demand.growth.value else ()
    per_success, returned = _worth(report)
    report = replace(report, cap=_cap(report), months=months, per_success=per_success, returned=returned)
    return replace(report, findings=tuple(_findings(report)))


def _costs(demand: Demand | None, options: Sequence[Priced]) -> tuple[Cost, ...]:
    return () if demand is None else tuple(cost_of(demand, option) for option in options)


def _worth(report: BudgetReport) -> tuple[Figure | None, Figure | None]:
    """Cost of a successful task, and what a dollar brings. Tasks are declared: what is measured are requests."""
    terms, declared = report.subject.terms, report.declared
    if terms.success_rate is None or declared is None:
        return None, None
    planned = report.declared_costs[0]
    cost = cost_per_success(planned, declared, terms.success_rate)
    revenue = terms.revenue_per_success
    if cost is None or revenue is None or not cost.value:
        return cost, None
    formula = "revenue per success / cost per successful task"
    return cost, computed("return on a dollar", revenue.value / cost.value, "", formula, revenue, cost)


def suggested_cap(average: Figure, buffer: Figure) -> Figure:
    """The average of a month and a buffer on top."""
    return computed("cap", average.value * (1 + buffer.value), "USD", f"{average.name} x (1 + buffer)", average, buffer)


def _cap(report: BudgetReport) -> Cap:
    terms = report.subject.terms
    usd = terms.cap or suggested_cap(report.costs[0].total, terms.buffer)
    alert = computed("alert from", usd.value * terms.alert.value, "USD", "cap x alert share", usd, terms.alert)
    return Cap(usd, alert, terms.cap is not None, terms.cap is None and report.measured is not None)


def _findings(report: BudgetReport) -> Iterator[Finding]:
    subject, terms, costs = report.subject, report.subject.terms, report.costs
    yield from _demand_findings(report)
    yield from single_model(costs, terms.simple_share)
    yield from async_tiers(subject.latency, costs[0], report.tier_costs)
    yield from _caching(report)
    if report.declared is not None and subject.declared is not None:
        yield from inflation(subject.declared, report.declared, report.declared_costs[0])
        yield from no_growth(report.declared, costs[0])
    yield from _cap_findings(report)
    if report.per_success is not None and terms.revenue_per_success is not None and report.declared is not None:
        assert terms.success_rate is not None  # noqa: S101 - there is no cost of a success without it
        good = successes(report.declared, terms.success_rate)
        yield from unprofitable(report.per_success, terms.revenue_per_success, good)


def _demand_findings(report: BudgetReport) -> Iterator[Finding]:
    subject, declared, measured = report.subject, report.declared, report.measured
    planned = report.declared_costs[0] if report.declared_costs else None
    if subject.measured is not None:
        spend = report.measured_costs[0].total if report.measured_costs else None
        yield from short_history(subject.measured, spend)
    if declared is not None and measured is not None:
        yield from theoretical_maximum(declared, measured, planned)
    elif declared is not None and subject.declared is not None:
        yield from unusual_demand(declared, subject.declared.tasks_per_day, planned)


def _caching(report: BudgetReport) -> Iterator[Finding]:
    """Measured hits against the share that was declared to repeat, or to be cached."""
    repeated = report.subject.terms.repeated_share
    if repeated is None and report.measured is not None and report.subject.declared is not None:
        planned = report.subject.declared.cached_share
        repeated = planned if planned.value else None
    yield from caching(report.demand, report.costs[0], repeated)


def _cap_findings(report: BudgetReport) -> Iterator[Finding]:
    cap, spend = report.cap, report.costs[0].total
    if cap is None or not cap.given:
        return
    what = "measured" if report.measured else "expected"
    if spend.value > cap.usd.value:
        over = computed("over the cap", spend.value - cap.usd.value, "USD", "cost - cap", spend, cap.usd)
        yield Finding(
            "CapTooLow",
            f"{what} {dollars(spend.value)} a month is above the cap of {dollars(cap.usd.value)}"
            f"{_return_words(report)}",
            over,
        )
        return
    reached = next((i for i, month in enumerate(report.months) if month.value > cap.usd.value), None)
    if reached is not None:
        yield Finding(
            "CapReachedByGrowth",
            f"with {share(report.demand.growth.value)} growth a month the cap of {dollars(cap.usd.value)} is passed in "
            f"month {reached + 1}",
            report.months[reached],
        )
    elif spend.value >= cap.alert.value and cap.usd.value:
        yield Finding(
            "CapAtRisk",
            f"{what} {dollars(spend.value)} is {share(spend.value / cap.usd.value)} of the cap of "
            f"{dollars(cap.usd.value)}: it warns all the time",
            computed("left", cap.usd.value - spend.value, "USD", "cap - cost", cap.usd, spend),
        )
    most = max((month.value for month in report.months), default=spend.value)
    most = max(most, spend.high or most)
    if most < UNREACHED * cap.usd.value:
        unused = computed("never used", cap.usd.value - spend.value, "USD", "cap - cost", cap.usd, spend)
        yield Finding(
            "CapNeverReached",
            f"{what} {dollars(spend.value)} a month is {share(spend.value / cap.usd.value)} of the cap of "
            f"{dollars(cap.usd.value)}: it is never reached and warns of nothing",
            unused,
        )


def _return_words(report: BudgetReport) -> str:
    returned = report.returned
    if returned is None:
        return (
            "; where a dollar returns 3-5, as teams report, keep spending and raise the cap (what it returns here is "
            "not known: declare success rate and revenue per success)"
        )
    if returned.value >= KEEP_SPENDING:
        return f"; a dollar returns {times(returned.value)}: keep spending, raise the cap"
    if returned.value > 1:
        return f"; a dollar returns {times(returned.value)}: raise the cap, or route simple work to a cheaper model"
    return f"; a dollar returns {times(returned.value)}: lower the cost before the cap is raised"
