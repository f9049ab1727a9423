"""Where a budget's figures come from: inputs, formulas, prices with their dates."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from spillway.advise.budget import BudgetReport
from spillway.advise.figures import Figure, plain, traced
from spillway.advise.words import dollars, number

PLACES = Decimal("0.000001")


def main_figures(report: BudgetReport) -> Iterator[Figure]:
    """Those that the report answers with."""
    for costs in (report.declared_costs, report.measured_costs, report.tier_costs):
        for cost in costs:
            yield cost.total
            if cost.per_developer is not None:
                yield cost.per_developer
            yield cost.per_task
    if report.cap is not None:
        yield report.cap.alert
    yield from report.months[-1:]
    yield from (each for each in (report.per_success, report.returned) if each is not None)
    yield from (each.usd for each in report.findings if each.usd is not None)
    if not report.costs:
        yield from (each.tokens for each in (report.declared, report.measured) if each is not None)


def trace_lines(report: BudgetReport) -> Iterator[str]:
    """Indented by depth. A figure's inputs are told where it first appears."""
    told: set[tuple[str, Decimal, str]] = set()
    for figure in main_figures(report):
        hidden: int | None = None
        for depth, each in traced(figure):
            if hidden is not None and depth > hidden:
                continue
            hidden = None
            key = (each.name, each.value, each.formula or each.source)
            again = bool(each.inputs) and key in told
            told.add(key)
            yield f"{'  ' * depth}{_line(each, again)}"
            if again:
                hidden = depth


def _line(figure: Figure, again: bool) -> str:
    band = ""
    if figure.low is not None and figure.high is not None:
        band = f" ({amount(figure.low, figure.unit)} to {amount(figure.high, figure.unit)})"
    origin = f"= {figure.formula}" if figure.formula else f"<- {figure.source}"
    note = f" ({figure.note})" if figure.note else ""
    above = "  [above]" if again else ""
    return f"{figure.name}: {amount(figure.value, figure.unit)}{band}  {origin}{note}{above}"


def amount(value: Decimal, unit: str) -> str:
    """With its unit."""
    if unit == "USD":
        return dollars(value, small=True)
    if unit in ("tokens", "tasks", "requests"):
        return f"{number(value)} {unit}"
    return f"{plain(value.quantize(PLACES))}{f' {unit}' if unit else ''}"
