"""A budget report for programs: amounts are decimal strings, and every figure carries its trace."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from spillway.advise.budget import BudgetReport
from spillway.advise.costs import Cost
from spillway.advise.demand import Demand
from spillway.advise.figures import Figure, plain

Document = dict[str, Any]


def document(reports: Sequence[BudgetReport], total: Figure | None) -> Document:
    """All of them, and what the planned models cost together."""
    found: Document = {"budgets": [_report(report) for report in reports]}
    if total is not None:
        found["total"] = total.to_document()
    return found


def _report(report: BudgetReport) -> Document:
    made: Document = {"name": report.subject.name, "latency": report.subject.latency.value}
    for name, demand, costs in (
        ("declared", report.declared, report.declared_costs),
        ("measured", report.measured, report.measured_costs),
    ):
        if demand is not None:
            made[name] = {"demand": _demand(demand), "models": [_cost(cost) for cost in costs]}
    if report.subject.measured is not None:
        made["measured"]["days"] = plain(report.subject.measured.days)
        made["measured"]["source"] = report.subject.measured.source
    if report.tier_costs:
        made["tiers"] = [_cost(cost) for cost in report.tier_costs]
    if report.cap is not None:
        cap = report.cap
        made["cap"] = {
            "usd": cap.usd.to_document(),
            "alert": cap.alert.to_document(),
            "given": cap.given,
            "measured": cap.measured,
        }
    if report.months:
        made["months"] = [month.to_document() for month in report.months]
    for name, figure in (("costPerSuccess", report.per_success), ("returnOnADollar", report.returned)):
        if figure is not None:
            made[name] = figure.to_document()
    made["findings"] = [
        {
            "code": each.code,
            "message": each.message,
            **({"usd": each.usd.to_document()} if each.usd is not None else {}),
        }
        for each in report.findings
    ]
    made["notKnown"] = list(report.subject.notes)
    return made


def _demand(demand: Demand) -> Document:
    figures = {
        "tokens": demand.tokens,
        "input": demand.input,
        "cachedInput": demand.cached,
        "output": demand.output,
        "requests" if demand.measured else "tasks": demand.tasks,
        "growth": demand.growth,
        "cachedShare": demand.cached_share,
        "busiestDay": demand.busiest_day,
        "busiestHour": demand.busiest_hour,
        "tokensPerDeveloperDay": demand.tokens_per_developer_day,
    }
    return {name: figure.to_document() for name, figure in figures.items() if figure is not None}


def _cost(cost: Cost) -> Document:
    tariff = cost.option.tariff
    cached = tariff.cached_input_usd_per_mtok
    made: Document = {
        "name": cost.name,
        "price": {
            "provider": tariff.provider,
            "model": tariff.model,
            "tier": tariff.tier.value,
            "inputUsdPerMTok": plain(tariff.input_usd_per_mtok),
            "cachedInputUsdPerMTok": None if cached is None else plain(cached),
            "outputUsdPerMTok": plain(tariff.output_usd_per_mtok),
            "source": tariff.source,
            "asOf": None if tariff.as_of is None else tariff.as_of.isoformat(),
            "inForceSince": None if tariff.in_force_since is None else tariff.in_force_since.isoformat(),
            "note": tariff.note,
        },
        "month": cost.total.to_document(),
        "input": cost.input.to_document(),
        "output": cost.output.to_document(),
        "perRequest" if cost.per_developer is None else "perTask": cost.per_task.to_document(),
    }
    if cost.per_developer is not None:
        made["perDeveloper"] = cost.per_developer.to_document()
    return made
