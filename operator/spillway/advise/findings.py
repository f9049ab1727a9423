"""What a budget gets wrong, each finding with its dollars: demand, one model for everything, caching, tiers, caps.

Thresholds are those of the published planning model; where one is a rule of thumb, its finding says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from spillway.advise.costs import MTOK, Cost, price_figures
from spillway.advise.demand import WEEK_DAYS, Demand, Measured
from spillway.advise.figures import Figure, computed, given
from spillway.advise.words import dollars, number, share, times
from spillway.api import LatencyClass

OVERESTIMATE = Decimal(2)
"""Declared over measured from which a plan rests on a theoretical maximum; 2 to 3 is what teams overestimate by."""
UNDERESTIMATE = Decimal("0.8")
TYPICAL = "published planning model: typical ranges, not measured here"
TASKS_MOST = 50
"""Tasks of an active developer and day: 15 to 50."""
DAY_TOKENS_TYPICAL, DAY_TOKENS_POWER = Decimal(500_000), Decimal(2_000_000)
"""A developer's day is 100,000 to 500,000 tokens, a power user's 1 to 2 million."""
MODELS_APART = Decimal("1.5")
"""Price ratio from which routing simple work elsewhere is worth a word."""
STRETCHES = (3, 5)
"""How far teams that route stretch a budget."""
TENTH = Decimal("0.1")
REPEATED_TYPICAL = Decimal("0.6")
"""Share of prompt tokens that repeat, where nobody has looked."""
CACHE_GAP = Decimal("0.2")
"""How far below the repeated share the cached one may lie."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to change, or to know."""

    code: str
    """Machine reason, such as "SingleModelPlanning"."""
    message: str
    """One or two sentences with their figures."""
    usd: Figure | None = None
    """What it is worth or at stake, a month."""


def theoretical_maximum(declared: Demand, measured: Demand, planned: Cost | None) -> Iterator[Finding]:
    """Declared far above, or below, what is measured."""
    if not measured.tokens.value:
        return
    ratio = declared.tokens.value / measured.tokens.value
    sure = measured.tokens.high is not None and declared.tokens.value >= OVERESTIMATE * measured.tokens.high
    doubt = "" if sure or ratio < OVERESTIMATE else ", though the measured band still allows for less"
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
    who = "as power users take (1-2M)" if daily.value <= DAY_TOKENS_POWER else "more than power users take (1-2M)"
    yield Finding(
        "AboveTypical",
        f"{number(daily.value)} tokens per developer and day for everybody, {who}; 100,000-500,000 is typical. Nothing "
        "is measured: teams overestimate 2-3x until they measure",
        _beyond(planned, daily, given("most of a typical developer's day", DAY_TOKENS_TYPICAL, "tokens", TYPICAL)),
    )


def short_history(found: Measured, spend: Figure | None) -> Iterator[Finding]:
    """Under a week of data."""
    if found.days >= WEEK_DAYS:
        return
    band = ""
    if spend is not None and spend.low is not None and spend.high is not None:
        band = f": {dollars(spend.low)}-{dollars(spend.high)} a month"
    days = number(found.days.quantize(TENTH))
    yield Finding(
        "ShortHistory",
        f"only {days} days are measured, less than a week: bands are widened to at least 50% to either side{band}; a "
        "baseline takes 1-2 weeks",
    )


def single_model(costs: Sequence[Cost], simple: Figure | None) -> Iterator[Finding]:
    """Everything planned on one model, and what sending simple work to the cheapest other one would save.

    ``costs``: the planned model first. ``simple``: share of the tokens that simple work is; None: not known.
    """
    planned, others = costs[0], costs[1:]
    if not others:
        yield Finding(
            "SingleModelPlanning",
            f"all of it is planned on {planned.name}; price a cheaper model beside it to see what routing simple work "
            "to that one saves",
            planned.total.named("planned on one model"),
        )
        return
    cheap = min(others, key=lambda cost: cost.total.value)
    if not cheap.total.value or planned.total.value / cheap.total.value < MODELS_APART:
        if not cheap.total.value and planned.total.value:
            yield _routed(planned, cheap, simple, f"{cheap.name} costs nothing")
        return
    ratio = planned.total.value / cheap.total.value
    yield _routed(planned, cheap, simple, f"{times(ratio)} apart: {cheap.name} takes {dollars(cheap.total.value)}")


def _routed(planned: Cost, cheap: Cost, simple: Figure | None, apart: str) -> Finding:
    part = simple or given("share routed", TENTH, "", "each 10%, as a measure: the share of simple work is not known")
    gap = planned.total.value - cheap.total.value
    saved = computed(
        "saved a month",
        gap * part.value,
        "USD",
        f"({planned.total.name} - {cheap.total.name}) x {part.name}",
        planned.total,
        cheap.total,
        part,
    )
    left = planned.total.value - saved.value
    if simple is None:
        worth = f"Each 10% of the tokens that goes there saves {dollars(saved.value)}{_stretch(planned, cheap)}"
    else:
        stretch = f", and the budget lasts {times(planned.total.value / left)} as long" if left else ""
        worth = f"{share(part.value)} of the tokens sent there saves {dollars(saved.value)}{stretch}"
    message = (
        f"all of {dollars(planned.total.value)} is planned on {planned.name}; {apart} for the same tokens. {worth}"
    )
    return Finding("SingleModelPlanning", message, saved)


def _stretch(planned: Cost, cheap: Cost) -> str:
    """Which share must be routed for the budget to last 3 and 5 times as long, where that can be had."""
    least = cheap.total.value / planned.total.value
    shares = [(by, (1 - Decimal(1) / by) / (1 - least)) for by in STRETCHES if by * least < 1]
    if not shares:
        return ""
    return "; the budget lasts " + " and ".join(f"{by}x with {share(part)} routed" for by, part in shares)


def caching(demand: Demand, planned: Cost, repeated: Figure | None) -> Iterator[Finding]:
    """Prompt tokens that repeat and are not read from a cache."""
    if not demand.input.value:
        return
    known = demand.cached_share
    cached = known.value if known is not None else Decimal(0)
    aim = repeated or given("repeated share", REPEATED_TYPICAL, "", "typical; not measured here")
    if aim.value - cached < CACHE_GAP and cached >= aim.value / 2:
        return
    if repeated is None and cached:
        return
    price_in, price_cached, _ = price_figures(planned.option)
    at_stake = planned.input.named("input cost without caching")
    if planned.option.tariff.cached_input_usd_per_mtok is None:
        yield Finding(
            "MissingCaching",
            f"{_cache_words(known, repeated)}; what caching would save is not known: {planned.name} has no price of "
            "cached input (NAME=IN/OUT/CACHED gives one)",
            at_stake,
        )
        return
    missed = aim.value - cached
    saved = computed(
        "saved a month",
        demand.input.value * missed * (price_in.value - price_cached.value) / MTOK,
        "USD",
        "input tokens x (repeated share - cached share) x (input price - cached input price) / 1,000,000",
        demand.input,
        aim,
        *((known,) if known is not None else ()),
        price_in,
        price_cached,
    )
    if saved.value <= 0:
        return
    cut = f", {share(saved.value / planned.input.value)} of what input costs" if planned.input.value else ""
    assumed = "" if repeated is not None else f" if {share(aim.value)} of the prompt repeats, as is typical"
    yield Finding(
        "MissingCaching",
        f"{_cache_words(known, repeated)}; reading what repeats from a cache saves "
        f"{dollars(saved.value)} a month{cut}{assumed}",
        saved,
    )


def _cache_words(known: Figure | None, repeated: Figure | None) -> str:
    if known is None:
        cached = "nobody counts what a cache serves"
    else:
        cached = f"{share(known.value)} of the input is read from a cache" if known.value else "no caching is planned"
    return cached if repeated is None else f"{share(repeated.value)} of the prompt tokens repeat and {cached}"


def async_tiers(latency: LatencyClass, planned: Cost, tiers: Sequence[Cost]) -> Iterator[Finding]:
    """What a tier for work that can wait would save; ``tiers``: costs at prices of tiers that fit it."""
    if not tiers:
        return
    best = min(tiers, key=lambda cost: cost.total.value)
    if best.total.value >= planned.total.value:
        return
    tier = best.option.tariff.tier
    saved = computed(
        "saved a month",
        planned.total.value - best.total.value,
        "USD",
        f"{planned.total.name} - {best.total.name}",
        planned.total,
        best.total,
    )
    yield Finding(
        f"Use{tier.value}",
        f"{latency.value} work can take the {tier.value} tier: {dollars(best.total.value)} a month instead of "
        f"{dollars(planned.total.value)}. Routing and asynchronous lanes come before own GPUs",
        saved,
    )


def unprofitable(cost: Figure, revenue: Figure, good: Figure) -> Iterator[Finding]:
    """A successful task costs more than it is worth."""
    if cost.value <= revenue.value:
        return
    lost = computed(
        "lost a month",
        (cost.value - revenue.value) * good.value,
        "USD",
        "(cost per successful task - revenue per success) x successful tasks a month",
        cost,
        revenue,
        good,
    )
    yield Finding(
        "CostAboveRevenue",
        f"a successful task costs {dollars(cost.value, small=True)} and is worth {dollars(revenue.value, small=True)}",
        lost,
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
