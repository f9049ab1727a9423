"""What declared demand gets wrong, with its dollars: maxima, inflation, growth that nobody planned, short histories.

Ranges are those of the published planning model.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from spillway.advise.costs import Cost
from spillway.advise.demand import MONTHS, WEEK_DAYS, Declared, Demand, Measured, projected, relative_half_width
from spillway.advise.figures import Figure, computed, given
from spillway.advise.findings import Finding
from spillway.advise.words import dollars, number, share, times

OVERESTIMATE = Decimal(2)
"""Declared over measured from which a plan rests on a theoretical maximum; 2 to 3 is what teams overestimate by."""
UNDERESTIMATE = Decimal("0.8")
TYPICAL = "published planning model: typical ranges, not measured here"
TASKS_MOST = 50
"""Tasks of an active developer and day: 15 to 50."""
DAY_TOKENS_TYPICAL, DAY_TOKENS_POWER = Decimal(500_000), Decimal(2_000_000)
"""A developer's day is 100,000 to 500,000 tokens, a power user's 1 to 2 million."""
INFLATION = Decimal("0.1")
"""Tokens that retries and tool loops add from which their dollars are told."""
GROWTH_TYPICAL = Decimal("0.1")
"""A month, in a first year: 10 to 20%; the lower end."""
BEYOND_TYPICAL = (
    (Decimal(1_000_000), "between a typical and a power user's day (1-2M)"),
    (DAY_TOKENS_POWER, "as power users take (1-2M)"),
    (Decimal("Infinity"), "more than power users take (1-2M)"),
)
TENTH = Decimal("0.1")


def theoretical_maximum(declared: Demand, measured: Demand, planned: Cost | None) -> Iterator[Finding]:
    """Declared far above, or below, what is measured."""
    if not measured.tokens.value:
        return
    ratio = declared.tokens.value / measured.tokens.value
    sure = measured.tokens.high is not None and declared.tokens.value >= OVERESTIMATE * measured.tokens.high
    doubt = "" if sure or ratio < OVERESTIMATE else ", though it may be less than twice within the measured band"
    said = f"declared {number(declared.tokens.value)} tokens a month, measured {number(measured.tokens.value)}"
    if ratio >= OVERESTIMATE:
        yield Finding(
            "PlannedFromMaximum",
            f"planned from a theoretical maximum: {said}, {times(ratio)} as much{doubt}; teams overestimate 2-3x until "
            "they measure",
            _part(planned, 1 - 1 / ratio, "planned too much", "1 - measured / declared", measured, declared),
        )
    elif ratio < UNDERESTIMATE:
        yield Finding(
            "PlannedBelowMeasured",
            f"{said}: more is used than planned for",
            _part(planned, 1 / ratio - 1, "planned too little", "measured / declared - 1", measured, declared),
        )


def unusual_demand(declared: Demand, tasks_per_day: Figure, planned: Cost | None) -> Iterator[Finding]:
    """Declared above what developers typically use; for demand that nobody has measured."""
    if tasks_per_day.value > TASKS_MOST:
        yield Finding(
            "ManyTasks",
            f"{number(tasks_per_day.value)} tasks per developer and day; active developers do 15-50",
            _beyond(planned, tasks_per_day, given("most of an active developer", TASKS_MOST, "", TYPICAL)),
        )
    daily = declared.tokens_per_developer_day
    if daily is None or daily.value <= DAY_TOKENS_TYPICAL:
        return
    who = next(words for limit, words in BEYOND_TYPICAL if daily.value <= limit)
    yield Finding(
        "AboveTypical",
        f"{number(daily.value)} tokens per developer and day for everybody, {who}; 100,000-500,000 is typical. Nothing "
        "is measured: teams overestimate 2-3x until they measure",
        _beyond(planned, daily, given("most of a typical developer's day", DAY_TOKENS_TYPICAL, "tokens", TYPICAL)),
    )


def inflation(asked: Declared, declared: Demand, planned: Cost) -> Iterator[Finding]:
    """What retries and tool loops cost."""
    added = asked.retries.value + asked.tool_loops.value
    if added < INFLATION:
        return
    cost = computed(
        "cost of retries and tool loops",
        planned.total.value * added / (1 + added),
        "USD",
        f"{planned.total.name} x (retries + tool loops) / (1 + retries + tool loops)",
        planned.total,
        asked.retries,
        asked.tool_loops,
    )
    yield Finding("Inflated", f"retries and tool loops add {share(added)} to the tokens of every task", cost)


def no_growth(demand: Demand, planned: Cost) -> Iterator[Finding]:
    """A year planned as if nothing grew."""
    if demand.growth.value or not planned.total.value:
        return
    growth = given("growth a month", GROWTH_TYPICAL, "", TYPICAL)
    last = projected(planned.total, growth)[-1]
    yield Finding(
        "NoGrowthPlanned",
        f"no growth is planned; 10-20% a month is typical of a first year: at 10%, month {MONTHS} costs "
        f"{dollars(last.value)}",
        last,
    )


def short_history(found: Measured, spend: Figure | None) -> Iterator[Finding]:
    """Under a week of data."""
    if found.days >= WEEK_DAYS:
        return
    band = ""
    if spend is not None and spend.low is not None and spend.high is not None:
        band = f": {dollars(spend.low)}-{dollars(spend.high)} a month"
    days, half = number(found.days.quantize(TENTH)), share(relative_half_width(found))
    yield Finding(
        "ShortHistory",
        f"only {days} days are measured, less than a week: the band is widened to {half} to either "
        f"side{band}; a baseline takes 1-2 weeks",
    )


def _part(
    planned: Cost | None, part: Decimal, name: str, formula: str, measured: Demand, declared: Demand
) -> Figure | None:
    if planned is None:
        return None
    inputs = (planned.total, measured.tokens.named("measured"), declared.tokens.named("declared"))
    return computed(name, planned.total.value * part, "USD", f"{planned.total.name} x ({formula})", *inputs)


def _beyond(planned: Cost | None, found: Figure, most: Figure) -> Figure | None:
    if planned is None:
        return None
    value = planned.total.value * (1 - most.value / found.value)
    formula = f"{planned.total.name} x (1 - {most.name} / {found.name})"
    return computed("planned beyond what is typical", value, "USD", formula, planned.total, found, most)
