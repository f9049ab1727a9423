"""Values of specs as a review writes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from spillway.advise.figures import plain
from spillway.advise.review.fields import Unit, Words

CENT = Decimal("0.01")
MINUTE, HOUR = 60, 3600


def value_text(words: Words, value: Any) -> str:
    """Such as "$0.40", "2,000 ms", "no ceiling"."""
    if value is None:
        return words.absent
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return _mapping(value)
    if isinstance(value, list | tuple):
        return listed(value)
    if words.unit is Unit.USD:
        return price(Decimal(str(value)))
    if words.unit is Unit.PERCENT:
        return f"{plain(Decimal(str(value)))}%"
    if words.unit is Unit.SECONDS:
        return seconds(int(value))
    if words.unit in (Unit.NUMBER, Unit.MS):
        return f"{_number(value)}{' ms' if words.unit is Unit.MS else ''}"
    return str(value)


def price(value: Decimal) -> str:
    """An amount as declared: whole, or with cents and every further place that it has."""
    exact = plain(value)
    places = len(exact.partition(".")[2])
    return f"${value:,.{max(2, places)}f}" if places else f"${int(value):,}"


def listed(values: Iterable[Any]) -> str:
    """Such as "a, b"."""
    return ", ".join(str(each) for each in values)


def joined(values: Iterable[str]) -> str:
    """Such as "a, b and c"."""
    names = list(values)
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else "none"


def counted(count: int, noun: str, plural: str = "") -> str:
    """Such as "1 replica", "3 replicas"."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def seconds(value: int) -> str:
    """Such as "90 s", "5 min", "1 h"."""
    for size, unit in ((HOUR, "h"), (MINUTE, "min")):
        if value >= size and value % size == 0:
            return f"{value // size:,} {unit}"
    return f"{value:,} s"


def percent_change(before: Any, after: Any) -> str:
    """Such as " (+50%)"; nothing where there is no amount to compare with."""
    if before is None or after is None or not (old := Decimal(str(before))):
        return ""
    change = (Decimal(str(after)) - old) / old * 100
    step = Decimal(1) if abs(change) >= 10 else Decimal("0.1")
    return f" ({change.quantize(step, ROUND_HALF_UP):+f}%)" if change else ""


def _number(value: Any) -> str:
    found = Decimal(str(value))
    return f"{found:,f}"


def _mapping(value: Mapping[str, Any]) -> str:
    """An object told as one: its fields and texts."""
    parts = []
    for key, each in value.items():
        parts.append(f"{_spaced(key)} {_mapping(each)}" if isinstance(each, Mapping) else f"{_spaced(key)} {each}")
    return ", ".join(parts)


def _spaced(name: str) -> str:
    """ "routeRule" as "route rule"."""
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name)
