"""Estimated figures in words; the last digits of an estimate say nothing, so they are left out."""

from __future__ import annotations

from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal

from spillway.advise.review.effect import Band

CENT, WHOLE, TENTH = Decimal("0.01"), Decimal(1), Decimal("0.1")
CENTS_BELOW = 100
HUNDREDTH = Decimal("0.01")
DAYS_FROM = 1.5
"""Traffic shorter than this is told in hours."""
NO_INTERVAL = "no interval: a day of traffic or less"


def exact(value: float) -> Decimal:
    """A simulated figure as a decimal, to the cent."""
    return Decimal(str(value)).quantize(CENT, ROUND_HALF_UP)


def usd(value: float) -> str:
    """Such as "$1,235", "$12.40"; whole dollars from 100 on."""
    text = _amount(value)
    return f"-{text}" if exact(value) < 0 else text


def signed_usd(value: float) -> str:
    """Such as "+$1,235", "-$12.40", "$0"."""
    amount = exact(value)
    return f"{'+' if amount > 0 else '-' if amount < 0 else ''}{_amount(value)}"


def signed_percent(value: float | None) -> str:
    """Such as "+12%", "-0.4%"; empty where there is nothing to compare with."""
    if value is None:
        return ""
    found = Decimal(str(value))
    rounded = found.quantize(WHOLE if abs(found) >= 10 else TENTH, ROUND_HALF_UP)
    return f"{rounded:+,f}%" if rounded else "0%"


def attained(value: float) -> str:
    """An attainment in percent: rounded down, so that what misses an objective is not shown as meeting it."""
    down = Decimal(str(round(value, 6))).quantize(HUNDREDTH, ROUND_DOWN)
    return f"{down:f}".rstrip("0").rstrip(".") + "%"


def rough(share: float) -> str:
    """A share (0 to 1) in two digits, such as "16%"."""
    return f"{100 * share:.2g}%"


def interval(band: Band) -> str:
    """Such as "-$1,500 to -$900"; `NO_INTERVAL` where there is none."""
    if band.low is None or band.high is None:
        return NO_INTERVAL
    return f"{signed_usd(band.low)} to {signed_usd(band.high)}"


def unsure(band: Band) -> bool:
    """Whether the interval has no change in it; without an interval nobody knows."""
    return band.low is not None and band.high is not None and band.low <= 0 <= band.high


def length(days: float) -> str:
    """How much traffic there is, such as "1.5 hours" or "7 days"."""
    amount, unit = (f"{days * 24:.3g}", "hour") if days < DAYS_FROM else (f"{days:.3g}", "day")
    return f"{amount} {unit}{'' if amount == '1' else 's'}"


def count(value: float) -> str:
    """Such as "12", "340,000", "1.2 million", "3.4 billion"."""
    for size, name in ((1e9, " billion"), (1e6, " million")):
        if abs(value) >= size:
            return f"{value / size:.3g}{name}"
    return f"{value:,.0f}"


def _amount(value: float) -> str:
    amount = abs(exact(value))
    if amount >= CENTS_BELOW:
        return f"${amount.quantize(WHOLE, ROUND_HALF_UP):,}"
    return f"${amount:,.2f}".removesuffix(".00")
