"""A budget's subject from flags: demand, terms and models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import click

from spillway.advise.budget import FITTING, Subject, Terms
from spillway.advise.costs import Priced
from spillway.advise.demand import PLANNED_SHARE, Declared
from spillway.advise.figures import Figure, given
from spillway.advise.prices import PriceUnknownError, Tier, TokenPrices
from spillway.api import LatencyClass
from spillway.cli.token_prices import tariff_of

NEEDED = ("developers", "tasks_per_day", "tokens_per_task")
DEFAULTS = {
    "workdays": Decimal(22),
    "input_share": Decimal("0.6"),
    "cached_share": Decimal(0),
    "retries": Decimal(0),
    "tool_loops": Decimal(0),
    "growth": Decimal(0),
    "buffer": Decimal("0.2"),
    "alert": Decimal("0.8"),
}


def from_flags(asked: Mapping[str, Any], prices: TokenPrices, at: datetime) -> Subject:
    """Raises click.UsageError, PriceUnknownError."""
    missing = [_flag(name) for name in NEEDED if asked[name] is None]
    if missing:
        raise click.UsageError(f"no demand: give {', '.join(missing)}, or manifests that declare it with -f")
    if not asked["models"]:
        raise click.UsageError("no model: give --model NAME, or its price with --model NAME=IN/OUT")
    tier = Tier(asked["tier"].capitalize())
    options = priced_models(asked["models"], tier, prices, at)
    latency = LatencyClass(asked["latency"].capitalize())
    tiers = async_prices(options[0], latency, prices, at) if tier is Tier.STANDARD else ()
    notes = (*undated(options), *no_tiers(options, tiers, latency))
    return Subject("budget from flags", terms(asked), options, latency, tiers, declared(asked), notes=notes)


def declared(asked: Mapping[str, Any]) -> Declared:
    """Demand as flags give it."""
    labels = {
        "developers": ("developers", ""),
        "tasks_per_day": ("tasks per developer and day", ""),
        "tokens_per_task": ("tokens per task", "tokens"),
        "workdays": ("workdays", "days"),
        "input_share": ("input share", ""),
        "cached_share": (PLANNED_SHARE, ""),
        "retries": ("retries", ""),
        "tool_loops": ("tool loops", ""),
        "growth": ("growth a month", ""),
    }
    return Declared(**{name: _given(asked, name, *label) for name, label in labels.items()})


def terms(asked: Mapping[str, Any]) -> Terms:
    """What may be spent, as flags give it."""

    def known(name: str, label: str, unit: str = "") -> Figure | None:
        return None if asked[name] is None else _given(asked, name, label, unit)

    return Terms(
        buffer=_given(asked, "buffer", "buffer"),
        alert=_given(asked, "alert", "alert share"),
        cap=known("cap", "cap", "USD"),
        success_rate=known("success_rate", "success rate"),
        revenue_per_success=known("revenue_per_success", "revenue per success", "USD"),
        repeated_share=known("repeated_share", "repeated share"),
        simple_share=known("simple_share", "simple share"),
    )


def _given(asked: Mapping[str, Any], name: str, label: str, unit: str = "") -> Figure:
    value = asked[name]
    if value is None:
        return given(label, DEFAULTS[name], unit, f"default of {_flag(name)}")
    return given(label, value, unit, _flag(name))


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def priced_models(texts: Sequence[str], tier: Tier, prices: TokenPrices, at: datetime) -> tuple[Priced, ...]:
    """Models in the order given. Raises click.UsageError (malformed, twice), PriceUnknownError."""
    found: dict[str, Priced] = {}
    for text in texts:
        made = Priced(*tariff_of("--model", text, tier, prices, at))
        if made.name in found:
            raise click.UsageError(f"--model {made.name} is given twice; remove one")
        found[made.name] = made
    return tuple(found.values())


def async_prices(option: Priced, latency: LatencyClass, prices: TokenPrices, at: datetime) -> tuple[Priced, ...]:
    """The same model at list prices of the tiers that the latency allows, as far as they are known; a price of one's
    own has no tiers.
    """
    tariff, found = option.tariff, []
    if not tariff.provider:
        return ()
    for tier in FITTING[latency]:
        try:
            found.append(Priced(option.name, prices.tariff(tariff.provider, tariff.model, tier, at)))
        except PriceUnknownError:
            continue
    return tuple(found)


def no_tiers(options: Sequence[Priced], tiers: Sequence[Priced], latency: LatencyClass) -> list[str]:
    """Said where work can wait and nobody prices a tier for it."""
    fitting = FITTING[latency]
    if not fitting or not options or options[0].tariff.tier is not Tier.STANDARD:
        return []
    if any(each.tariff.tier in fitting for each in tiers):
        return []
    return [f"what {options[0].name} costs at {' or '.join(fitting)} prices, which {latency.value} work may take"]


def undated(options: Sequence[Priced]) -> list[str]:
    """Prices without a date, said once."""
    names = [option.name for option in options if option.tariff.as_of is None]
    if not names:
        return []
    return [f"the date of the prices of {', '.join(names)}: as given (NAME=IN/OUT@DATE says it)"]
