"""What a budget gets wrong, each finding with its dollars: one model for everything, caching, tiers, failed tasks.

Thresholds are those of the published planning model; where one is a rule of thumb, its finding says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from spillway.advise.costs import MTOK, Cost, price_figures
from spillway.advise.demand import PLANNED_SHARE, Demand
from spillway.advise.figures import Figure, computed, given
from spillway.advise.prices import Tier
from spillway.advise.words import dollars, share, times
from spillway.api import LatencyClass

MODELS_APART = Decimal("1.5")
"""Price ratio from which routing simple work elsewhere is worth a word."""
STRETCHES = (3, 5)
"""How far teams that route stretch a budget."""
TENTH = Decimal("0.1")
REPEATED_TYPICAL = Decimal("0.6")
"""Share of prompt tokens that repeat, where nobody has looked."""
RISKS = {
    Tier.BATCH: "It is not for urgent work that users wait for",
    Tier.FLEX: "Its latency varies: what users expect must match it",
}
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
            f"{_cache_words(known, repeated)}; how much it would cut of {dollars(at_stake.value)} of input is not "
            f"known: {planned.name} has no price of cached input (NAME=IN/OUT/CACHED gives one)",
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
    saved = replace(saved, note="what a provider charges for writing to the cache is not in it")
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
        cached = "nobody counts what a cache serves, so none of it is assumed to be"
    else:
        cached = f"{share(known.value)} of the input is read from a cache" if known.value else "no caching is planned"
    if repeated is None:
        return cached
    if repeated.name == PLANNED_SHARE:
        return f"{share(repeated.value)} of the input is planned to be cached, and {cached}"
    return f"{share(repeated.value)} of the prompt tokens repeat, and {cached}"


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
        f"{dollars(planned.total.value)}. {RISKS[tier]}. Routing and asynchronous lanes come before own GPUs",
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
