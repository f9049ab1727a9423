"""Figures in words: the same on a page, in a terminal and in Markdown."""

from __future__ import annotations

MISSING = "–"


def dollars(value: float | None) -> str:
    """Such as "$12,345", "$3.85"; MISSING where unknown."""
    if value is None:
        return MISSING
    return f"${value:,.0f}" if abs(value) >= 1000 else f"${value:,.2f}"


def times(value: float | None) -> str:
    """A ratio, such as "0.71 ×"."""
    return MISSING if value is None else f"{value:.3f} ×" if value < 10 else f"{value:.1f} ×"


def percent(value: float | None, digits: int = 2) -> str:
    """A share; never rounded up to 100% or down to 0%."""
    if value is None:
        return MISSING
    text = f"{value:.{digits}%}"
    if text == f"{1:.{digits}%}" and value < 1:
        return f">{1 - 10 ** -(digits + 2):.{digits}%}"
    return f"<{10 ** -(digits + 2):.{digits}%}" if text == f"{0:.{digits}%}" and value > 0 else text


def count(value: float | None) -> str:
    """A number of things, possibly a mean over seeds."""
    if value is None:
        return MISSING
    return f"{value:,.0f}" if value == int(value) or value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def number(value: float | None, digits: int = 1) -> str:
    """A plain number."""
    return MISSING if value is None else f"{value:,.{digits}f}"


def span(seconds: float) -> str:
    """A length of time, such as "6 days", "1.5 hours"."""
    for size, unit in ((86400.0, "days"), (3600.0, "hours"), (60.0, "minutes")):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit if seconds != size else unit[:-1]}"
    return f"{seconds:g} seconds"
