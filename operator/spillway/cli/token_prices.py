"""A hosted model's price on the command line: its name in the price package, or a price of one's own."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal, InvalidOperation

import click

from spillway.advise.prices import PriceUnknownError, Tariff, Tier, TokenPrices

MOST_USD_PER_MTOK = Decimal(1_000_000)
PRICE_FORM = "write NAME=IN/OUT, NAME=IN/OUT/CACHED or NAME=IN/OUT@DATE in US dollars per million tokens"


def tariff_of(flag: str, text: str, tier: Tier, prices: TokenPrices, at: datetime) -> tuple[str, Tariff]:
    """(name as given, tariff) of ``flag text``. Raises click.UsageError (malformed), PriceUnknownError."""
    if "=" in text:
        return _own_price(flag, text, tier)
    try:
        return text, prices.tariff(None, text, tier, at)
    except PriceUnknownError as error:
        raise PriceUnknownError(f"{flag} {text}: {error}") from error


def _own_price(flag: str, text: str, tier: Tier) -> tuple[str, Tariff]:
    name, _, rest = text.rpartition("=")
    amounts, at_sign, day = rest.partition("@")
    parts = amounts.split("/")
    if not name.strip() or len(parts) not in (2, 3):
        raise click.UsageError(f"{flag} {text}: {PRICE_FORM}")
    values = [_amount(flag, text, part) for part in parts]
    return name, Tariff(
        provider="",
        model=name,
        tier=tier,
        input_usd_per_mtok=values[0],
        cached_input_usd_per_mtok=values[2] if len(values) == 3 else None,
        output_usd_per_mtok=values[1],
        source=f"{flag} {text}",
        as_of=_day(flag, text, day) if at_sign else None,
    )


def _amount(flag: str, text: str, part: str) -> Decimal:
    try:
        value = Decimal(part)
    except InvalidOperation as error:
        raise click.UsageError(f"{flag} {text}: {part!r} is no price; {PRICE_FORM}") from error
    if not value.is_finite() or not 0 <= value <= MOST_USD_PER_MTOK:
        raise click.UsageError(f"{flag} {text}: {part} is not between 0 and {MOST_USD_PER_MTOK}; {PRICE_FORM}")
    return value


def _day(flag: str, text: str, day: str) -> date:
    try:
        return date.fromisoformat(day)
    except ValueError as error:
        raise click.UsageError(f"{flag} {text}: {day!r} is no date such as 2026-06-01; {PRICE_FORM}") from error
