"""Amounts as people read them; what is computed with stays exact."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

from spillway.advise.figures import cents, plain

TENTH, WHOLE, FINE = Decimal("0.1"), Decimal(1), Decimal("0.0001")


def dollars(value: Decimal, *, small: bool = False) -> str:
    """Such as "$4,290", "$1,567.50", "$64.68"; ``small``: four places below a dollar, such as "$0.0098"."""
    if small and abs(value) < 1 and (fine := value.quantize(FINE, ROUND_HALF_UP)) != cents(value):
        return f"{'-' if fine < 0 else ''}${plain(abs(fine))}"
    rounded = cents(value)
    sign = "-" if rounded < 0 else ""
    text = f"{abs(rounded):,.2f}"
    return f"{sign}${text.removesuffix('.00')}"


def number(value: Decimal) -> str:
    """With thousands separated, at most two places."""
    text = f"{value.quantize(Decimal('0.01'), ROUND_HALF_UP):,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def share(value: Decimal) -> str:
    """A share from 0 to 1 as a whole percentage; with a place below 10%."""
    percent = value * 100
    step = WHOLE if abs(percent) >= 10 else TENTH
    return f"{plain(percent.quantize(step, ROUND_HALF_UP))}%"


def times(value: Decimal) -> str:
    """A ratio, such as "66x", "2.4x"."""
    step = WHOLE if value >= 10 else TENTH
    return f"{plain(value.quantize(step, ROUND_HALF_UP))}x"
