"""Demand of a month: declared as developers x tasks x tokens x workdays, or measured; as figures that can be traced."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from spillway.advise.figures import Figure, computed, given
from spillway.api import DeclaredDemand

DAYS_PER_MONTH = Decimal(365) / 12
"""Calendar days of a mean month: what a measured day is scaled by."""
WEEK_DAYS = 7
SHORT_BAND = Decimal("0.5")
"""Under a week the band is at least this wide to either side: weekends or workdays have not been seen."""
ONE_DAY_BAND = Decimal(1)
"""With less than two whole days nothing is known of how days differ."""
SPREAD = 2
"""Standard errors of the mean day that a band spans to either side, about 95%."""
MONTHS = 12
PLANNED_SHARE = "cached share of input"
"""The declared share's name."""
HOURS_A_DAY = Decimal(24)

MOST_TOKENS = Decimal(10) ** 15
"""A month, of one class: beyond it somebody has mistyped."""
ONE, ZERO = Decimal(1), Decimal(0)


class DemandError(ValueError):
    """No demand, or one that can't be; one line with the way out."""


@dataclass(frozen=True, slots=True)
class Declared:
    """What somebody expects. Shares are from 0 to 1."""

    developers: Figure
    tasks_per_day: Figure
    """Of one developer on a workday."""
    tokens_per_task: Figure
    """Input and output, without retries."""
    workdays: Figure
    """In a month."""
    input_share: Figure
    cached_share: Figure
    """Of the input tokens, read from a prompt cache."""
    retries: Figure
    """Tokens that retries add, as a share of the tokens without them; and so tool loops."""
    tool_loops: Figure
    growth: Figure
    """A month."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What was counted over a time; anything that nobody counts is None."""

    days: Decimal
    """That the data covers; gaps don't count."""
    requests: Decimal
    input_tokens: Decimal
    output_tokens: Decimal
    cached_tokens: Decimal | None
    """The part of the input that a cache held."""
    daily_tokens: tuple[Decimal, ...]
    """Input and output of each whole day."""
    source: str
    """Such as "Prometheus, 2026-11-09 to 2026-11-23"."""
    busiest_hour_tokens: Decimal | None = None
    """Of the whole hours; None where none is whole."""


@dataclass(frozen=True, slots=True)
class Demand:
    """A month's demand."""

    tokens: Figure
    """Input and output."""
    input: Figure
    cached: Figure
    """The part of the input that is read from a cache."""
    output: Figure
    tasks: Figure
    """Tasks a month; requests a month where demand is measured."""
    growth: Figure
    """A month, as a share."""
    measured: bool = False
    developers: Figure | None = None
    tokens_per_developer_day: Figure | None = None
    cached_share: Figure | None = None
    """None: nobody counts what the cache holds."""
    busiest_day: Figure | None = None
    """Over the mean day, where two whole days and more were measured; the hour over the mean hour."""
    busiest_hour: Figure | None = None

    @property
    def relative_band(self) -> tuple[Decimal, Decimal] | None:
        """Lower and upper end as factors of the value; None without a band."""
        tokens = self.tokens
        if tokens.low is None or tokens.high is None or not tokens.value:
            return None
        return tokens.low / tokens.value, tokens.high / tokens.value


def from_manifest(demand: DeclaredDemand, origin: str) -> Declared:
    """``spec.demand`` of a class; ``origin`` names the object."""

    def field(name: str, label: str, value: int, unit: str = "") -> Figure:
        return given(label, value, unit, f"{origin} spec.demand.{name}")

    def share(name: str, label: str, percent: int) -> Figure:
        return given(label, Decimal(percent) / 100, "", f"{origin} spec.demand.{name}")

    return Declared(
        developers=field("developers", "developers", demand.developers),
        tasks_per_day=field("tasksPerDeveloperDay", "tasks per developer and day", demand.tasks_per_developer_day),
        tokens_per_task=field("tokensPerTask", "tokens per task", demand.tokens_per_task, "tokens"),
        workdays=field("workdaysPerMonth", "workdays", demand.workdays_per_month, "days"),
        input_share=share("inputSharePercent", "input share", demand.input_share_percent),
        cached_share=share("cachedInputSharePercent", PLANNED_SHARE, demand.cached_input_share_percent),
        retries=share("retryInflationPercent", "retries and tool loops", demand.retry_inflation_percent),
        tool_loops=given("tool loops", 0, "", f"{origin} spec.demand.retryInflationPercent holds them"),
        growth=share("monthlyGrowthPercent", "growth a month", demand.monthly_growth_percent),
    )


def declared_demand(asked: Declared) -> Demand:
    """developers x tasks x tokens x workdays, and what retries and tool loops add. Raises DemandError: absurd."""
    tasks = computed(
        "tasks a month",
        asked.developers.value * asked.tasks_per_day.value * asked.workdays.value,
        "tasks",
        "developers x tasks per developer and day x workdays",
        asked.developers,
        asked.tasks_per_day,
        asked.workdays,
    )
    tokens = _declared_tokens(asked)
    if tokens.value > MOST_TOKENS:
        first, *others = (each.source for each in (asked.developers, asked.tasks_per_day, asked.tokens_per_task))
        raise DemandError(f"{tokens.value:.0e} tokens a month cannot be: check {first}, {' and '.join(others)}")
    return _split(
        tokens,
        tasks,
        computed("input tokens", tokens.value * asked.input_share.value, "tokens", "tokens x input share",
                 tokens, asked.input_share),
        asked,
    )  # fmt: skip


def _declared_tokens(asked: Declared) -> Figure:
    counted = (asked.developers, asked.tasks_per_day, asked.tokens_per_task, asked.workdays)
    value = ONE
    for each in counted:
        value *= each.value
    formula = "developers x tasks per developer and day x tokens per task x workdays"
    plain_tokens = computed("tokens a month", value, "tokens", formula, *counted)
    added = asked.retries.value + asked.tool_loops.value
    if not added:
        return plain_tokens
    return computed(
        "tokens a month",
        value * (1 + added),
        "tokens",
        "tokens without retries x (1 + retries + tool loops)",
        plain_tokens.named("tokens without retries"),
        asked.retries,
        asked.tool_loops,
    )


def _split(tokens: Figure, tasks: Figure, input_tokens: Figure, asked: Declared) -> Demand:
    per_day = tokens.value / asked.developers.value / asked.workdays.value
    return Demand(
        tokens=tokens,
        input=input_tokens,
        cached=computed(
            "cached input tokens",
            input_tokens.value * asked.cached_share.value,
            "tokens",
            "input tokens x cached share of input",
            input_tokens,
            asked.cached_share,
        ),
        output=computed(
            "output tokens", tokens.value - input_tokens.value, "tokens", "tokens - input tokens", tokens, input_tokens
        ),
        tasks=tasks,
        growth=asked.growth,
        developers=asked.developers,
        tokens_per_developer_day=computed(
            "tokens per developer and day",
            per_day,
            "tokens",
            "tokens / developers / workdays",
            tokens,
            asked.developers,
            asked.workdays,
        ),
        cached_share=asked.cached_share,
    )


def measured_demand(found: Measured, growth: Figure | None = None) -> Demand:
    """What a month is at the measured daily average, with a band: wider with under a week. Raises DemandError without
    any time covered.
    """
    if found.days <= 0:
        raise DemandError(f"{found.source}: no time is covered")
    half = relative_half_width(found)
    days = given("days measured", found.days, "days", found.source)

    def month(name: str, total: Decimal, unit: str = "tokens") -> Figure:
        counted = given(f"{name} counted", total, unit, found.source)
        value = (total / found.days * DAYS_PER_MONTH).quantize(ONE, ROUND_HALF_UP)
        made = computed(f"{name} a month", value, unit, "counted / days measured x 365/12", counted, days)
        return made.banded(_whole(value * max(ZERO, 1 - half)), _whole(value * (1 + half)))

    input_tokens = month("input tokens", found.input_tokens)
    output_tokens = month("output tokens", found.output_tokens)
    total = input_tokens.value + output_tokens.value
    tokens = computed(
        "tokens a month", total, "tokens", "input tokens + output tokens", input_tokens, output_tokens
    ).banded(_whole(total * max(ZERO, 1 - half)), _whole(total * (1 + half)))
    share = None
    if found.cached_tokens is not None and found.input_tokens:
        value = (found.cached_tokens / found.input_tokens).quantize(Decimal("0.0001"))
        share = given("measured cached share", min(ONE, value), "", found.source)
    cached = given("cached input tokens a month", 0, "tokens", "not counted: priced as if nothing were cached")
    if found.cached_tokens is not None:
        cached = month("cached input tokens", min(found.cached_tokens, found.input_tokens))
    return Demand(
        tokens=tokens,
        input=input_tokens,
        cached=cached,
        output=output_tokens,
        tasks=month("requests", found.requests, "requests"),
        growth=growth or given("growth a month", 0, "", "none declared"),
        measured=True,
        cached_share=share,
        busiest_day=_peak("day", max(found.daily_tokens), found, ONE) if len(found.daily_tokens) > 1 else None,
        busiest_hour=_peak("hour", found.busiest_hour_tokens, found, HOURS_A_DAY),
    )


def _peak(name: str, most: Decimal | None, found: Measured, per_day: Decimal) -> Figure | None:
    total = found.input_tokens + found.output_tokens
    if most is None or not total:
        return None
    mean = given(f"mean {name}", total / found.days / per_day, "tokens", found.source)
    peak = given(f"busiest {name}", most, "tokens", found.source)
    return computed(f"busiest {name} over the mean", most / mean.value, "", f"busiest {name} / mean {name}", peak, mean)


def relative_half_width(found: Measured) -> Decimal:
    """Half the band over the value: two standard errors of the mean day, and at least 50% (under a week) or 100% (under
    two whole days). A rule, not a forecast: it covers how days differ, not what changes.
    """
    least = ZERO
    if found.days < WEEK_DAYS:
        least = SHORT_BAND
    if len(found.daily_tokens) < 2:
        return ONE_DAY_BAND
    return max(least, _standard_error(found.daily_tokens) * SPREAD)


def _standard_error(daily: Sequence[Decimal]) -> Decimal:
    """Of the mean, over the mean."""
    mean = sum(daily, ZERO) / len(daily)
    if not mean:
        return ZERO
    variance = sum(((each - mean) ** 2 for each in daily), ZERO) / (len(daily) - 1)
    return Decimal(math.sqrt(variance / len(daily))) / mean


def _whole(value: Decimal) -> Decimal:
    return value.quantize(ONE, ROUND_HALF_UP)


def projected(first: Figure, growth: Figure, months: int = MONTHS) -> tuple[Figure, ...]:
    """A monthly figure over months of constant growth; the first month is the figure itself."""
    found = []
    for number in range(months):
        factor = (1 + growth.value) ** number
        made = computed(
            f"{first.name}, month {number + 1}",
            first.value * factor,
            first.unit,
            f"{first.name} x (1 + growth a month)^{number}",
            first,
            growth,
        )
        if first.low is not None and first.high is not None:
            made = made.banded(first.low * factor, first.high * factor)
        found.append(made)
    return tuple(found)
