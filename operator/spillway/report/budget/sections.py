"""A budget report as sections of lines and tables, whatever they are laid out in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from spillway.advise.budget import BudgetReport
from spillway.advise.costs import Cost
from spillway.advise.demand import Declared, Demand
from spillway.advise.figures import Figure, plain
from spillway.advise.prices import Tier
from spillway.advise.words import dollars, number, share, times

Row = tuple[str, ...]
PRICE_HEADING = "$/M IN/OUT"
CENTS_BELOW = 10_000
MEASURED = "the measured average"
NOT_MEASURED = "declared demand, not on measurements: measure 1-2 weeks before relying on it"


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, lines below it, and a table."""

    title: str
    lines: tuple[str, ...] = ()
    headings: Row = ()
    rows: tuple[Row, ...] = ()
    right: frozenset[int] = frozenset()
    """Columns of amounts."""


def sections(report: BudgetReport) -> Iterator[Section]:
    """In reading order."""
    if report.declared is not None and report.subject.declared is not None:
        lines = _declared_lines(report.subject.declared, report.declared)
        yield _demand("declared", tuple(lines), report.declared_costs)
    if report.measured is not None and report.subject.measured is not None:
        head = f"{number(report.subject.measured.days)} days of {report.subject.measured.source}"
        yield _demand("measured", (head, *_measured_lines(report.measured)), report.measured_costs)
    if report.tier_costs:
        yield _demand("at tiers for work that can wait", (), report.tier_costs)
    if budget := tuple(_budget_lines(report)):
        yield Section("budget", budget)
    if report.findings:
        rows = [(each.code, "" if each.usd is None else _cell(each.usd), each.message) for each in report.findings]
        yield Section("findings, with dollars a month", (), ("FINDING", "USD", "WHAT"), tuple(rows), frozenset({1}))
    if prices := tuple(_price_lines(report)):
        yield Section("prices", prices)
    if report.subject.notes:
        yield Section("not known", report.subject.notes)


def _demand(title: str, lines: Sequence[str], costs: Sequence[Cost]) -> Section:
    if not costs:
        return Section(title, tuple(lines))
    people = any(cost.per_developer for cost in costs)
    headings: Row = ("MODEL", PRICE_HEADING, "INPUT", "OUTPUT", "MONTH")
    headings += ("PER DEV", "PER TASK") if people else ("PER REQ",)
    rows = tuple(_cost_row(cost, people) for cost in costs)
    return Section(title, tuple(lines), headings, rows, frozenset(range(1, len(headings))))


def _cost_row(cost: Cost, people: bool) -> Row:
    tariff = cost.option.tariff
    tier = "" if tariff.tier is Tier.STANDARD else f" {tariff.tier.value}"
    row: Row = (
        f"{cost.name}{tier}",
        f"{plain(tariff.input_usd_per_mtok)}/{plain(tariff.output_usd_per_mtok)}",
        _cell(cost.input),
        _cell(cost.output),
        _cell(cost.total),
    )
    if people:
        row += ("" if cost.per_developer is None else _cell(cost.per_developer),)
    return (*row, dollars(cost.per_task.value, small=True))


def _cell(figure: Figure) -> str:
    """To the cent; to the dollar from 10,000 on, so that tables fit."""
    large = abs(figure.value) >= CENTS_BELOW
    return dollars(figure.value.quantize(Decimal(1), ROUND_HALF_UP) if large else figure.value)


def _declared_lines(asked: Declared, demand: Demand) -> Iterator[str]:
    added = asked.retries.value + asked.tool_loops.value
    factors = (
        f"{_people(asked.developers.value)} x {number(asked.tasks_per_day.value)} tasks a day x "
        f"{number(asked.tokens_per_task.value)} tokens x {number(asked.workdays.value)} days"
    )
    more = f" x {plain(1 + added)} (retries, tool loops)" if added else ""
    yield f"{number(demand.tokens.value)} tokens a month = {factors}{more}"
    yield _parts(demand)


def _people(count: Decimal) -> str:
    return f"{number(count)} developer{'' if count == 1 else 's'}"


def _measured_lines(demand: Demand) -> Iterator[str]:
    low, high = demand.tokens.low, demand.tokens.high
    band = f" ({number(low)} to {number(high)})" if low is not None and high is not None else ""
    yield f"{number(demand.tokens.value)} tokens a month at that rate{band}, {number(demand.tasks.value)} requests"
    yield _parts(demand)
    peaks = [(name, each) for name, each in (("day", demand.busiest_day), ("hour", demand.busiest_hour)) if each]
    if peaks:
        yield ", ".join(f"the busiest {name} is {times(each.value)} the mean" for name, each in peaks)
    if demand.cached_share is None:
        yield "nobody counts cached input: priced as if nothing were cached"


def _parts(demand: Demand) -> str:
    cached = f" of which cached {number(demand.cached.value)}" if demand.cached.value else ""
    return f"input {number(demand.input.value)}{cached}, output {number(demand.output.value)}"


def _budget_lines(report: BudgetReport) -> Iterator[str]:
    cap, costs = report.cap, report.costs
    if cap is None or not costs:
        return
    what = "measured" if report.measured else "expected, not measured"
    yield f"{what}: {_banded(costs[0].total)} a month, {costs[0].name}"
    warn = f"alert from {dollars(cap.alert.value)}"
    if cap.given:
        yield f"cap {dollars(cap.usd.value)} ({cap.usd.source}); {warn}"
    else:
        buffer = share(report.subject.terms.buffer.value)
        yield f"cap {dollars(cap.usd.value)} = {dollars(costs[0].total.value)} + {buffer}; {warn}"
        yield f"the cap rests on {MEASURED if cap.measured else NOT_MEASURED}"
    if report.months:
        year = sum((month.value for month in report.months), Decimal(0))
        yield (
            f"with {share(report.demand.growth.value)} growth a month: {dollars(report.months[-1].value)} in month "
            f"{len(report.months)}, {dollars(year)} in the year, at today's prices"
        )
    if len(costs) > 1:
        totals = [cost.total.value for cost in costs]
        if min(totals):
            yield f"{times(max(totals) / min(totals))} between the dearest and the cheapest model"
    yield from _worth_lines(report)


def _worth_lines(report: BudgetReport) -> Iterator[str]:
    rate, worth = report.subject.terms.success_rate, report.subject.terms.revenue_per_success
    if rate is None or report.declared is None:
        return
    if report.per_success is None:
        yield "no task succeeds at 0% success: nothing is earned"
        return
    text = f"{dollars(report.per_success.value, small=True)} per successful task at {plain(rate.value * 100)}% success"
    if worth is not None and report.returned is not None:
        text += f", worth {dollars(worth.value, small=True)}: a dollar returns {times(report.returned.value)}"
    yield text


def _banded(figure: Figure) -> str:
    if figure.low is None or figure.high is None:
        return dollars(figure.value)
    return f"{dollars(figure.value)} ({dollars(figure.low)} to {dollars(figure.high)})"


def _price_lines(report: BudgetReport) -> Iterator[str]:
    """Once for each model and tier, whatever demand it was used for."""
    for cost in (*report.costs, *report.tier_costs):
        cached = cost.option.tariff.cached_input_usd_per_mtok
        more = "" if cached is None else f"; cached input {plain(cached)} USD/Mtok"
        if cached is None and report.demand.cached.value:
            more = "; no price of cached input is known: it costs what input does"
        yield f"{cost.name}: {cost.option.tariff.origin}{more}"
