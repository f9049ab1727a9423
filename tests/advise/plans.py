"""Demand, prices and terms as tests of budgets begin with."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

from spillway.advise.budget import Subject, Terms
from spillway.advise.costs import Priced
from spillway.advise.demand import PLANNED_SHARE, Declared, Measured
from spillway.advise.figures import Figure, given
from spillway.advise.prices import Tariff, Tier

PAGE = {
    "claude-opus-4.7": ("5", "25"),
    "claude-sonnet-4.6": ("3", "15"),
    "gemini-2.5-pro": ("1.25", "10"),
    "deepseek-v4-flash": ("0.14", "0.28"),
}
"""Prices of the published worked example, in USD/Mtok."""


def figure(name: str, value: str | int, unit: str = "") -> Figure:
    return given(name, Decimal(value), unit, f"--{name}")


def declared(**changes: str | int) -> Declared:
    """10 developers x 30 tasks x 50,000 tokens x 22 days, 60% input, unless told otherwise."""
    content: dict[str, str | int] = {
        "developers": 10,
        "tasks_per_day": 30,
        "tokens_per_task": 50_000,
        "workdays": 22,
        "input_share": "0.6",
        "cached_share": 0,
        "retries": 0,
        "tool_loops": 0,
        "growth": 0,
    }
    found = Declared(**{name: figure(name, value) for name, value in (content | changes).items()})
    return replace(found, cached_share=found.cached_share.named(PLANNED_SHARE))


def measured(daily: int, days: int, cached: Decimal | None = None, last_day: int | None = None) -> Measured:
    """The same each day, 60% input; 1,000 tokens a request."""
    counts = [daily] * (days - 1) + [daily if last_day is None else last_day]
    total = Decimal(sum(counts))
    share = None if cached is None else total * Decimal("0.6") * cached
    return Measured(
        days=Decimal(days),
        requests=total / 1000,
        input_tokens=total * Decimal("0.6"),
        output_tokens=total * Decimal("0.4"),
        cached_tokens=share,
        daily_tokens=tuple(map(Decimal, counts)),
        source="Prometheus, 2026-11-01 to 2026-11-15",
    )


def priced(name: str, cost_in: str, cost_out: str, cached: str | None = None, tier: Tier = Tier.STANDARD) -> Priced:
    tariff = Tariff(
        "p",
        name,
        tier,
        Decimal(cost_in),
        None if cached is None else Decimal(cached),
        Decimal(cost_out),
        "price list",
        date(2026, 6, 1),
    )
    return Priced(name, tariff)


def page_models() -> tuple[Priced, ...]:
    return tuple(priced(name, *prices) for name, prices in PAGE.items())


def subject(*options: Priced, **changes: Any) -> Subject:
    terms = {
        name: changes.pop(name)
        for name in ("cap", "success_rate", "revenue_per_success", "repeated_share", "simple_share")
        if name in changes
    }
    made = Terms(buffer=figure("buffer", "0.2"), alert=figure("alert", "0.8"), **terms)
    content: dict[str, Any] = {"declared": declared()} | changes
    return Subject("budget", made, options or page_models(), **content)
