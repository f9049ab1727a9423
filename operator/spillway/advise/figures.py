"""A figure with where it comes from: answers of the planning model are traced to inputs, formulas and prices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Figure:
    """A number, its unit and its origin: a source if it was given or read, a formula over other figures if computed."""

    name: str
    """What it is, as people say it: "tokens a month"."""
    value: Decimal
    unit: str
    """Such as "tokens", "USD", "USD/Mtok", "GB"; empty for a plain number."""
    source: str = ""
    """Of a leaf: the flag, the manifest's field, the price package with its version and the price's date, the query."""
    formula: str = ""
    """Of a computed one, with the names of its inputs."""
    inputs: tuple[Figure, ...] = ()
    low: Decimal | None = None
    """Lower and upper end of the band, where it is an estimate."""
    high: Decimal | None = None
    note: str = ""
    """What to know before relying on it, one sentence."""

    def banded(self, low: Decimal, high: Decimal) -> Figure:
        """The same with a band."""
        return replace(self, low=low, high=high)

    def named(self, name: str) -> Figure:
        """The same under another name."""
        return replace(self, name=name)

    def to_document(self) -> dict[str, Any]:
        """For JSON: numbers as decimal strings, empty fields left out."""
        document: dict[str, Any] = {"name": self.name, "value": plain(self.value), "unit": self.unit}
        for key in ("source", "formula", "note"):
            if text := getattr(self, key):
                document[key] = text
        for key in ("low", "high"):
            if (bound := getattr(self, key)) is not None:
                document[key] = plain(bound)
        if self.inputs:
            document["inputs"] = [figure.to_document() for figure in self.inputs]
        return document


def given(name: str, value: Decimal | int, unit: str, source: str) -> Figure:
    """A figure that somebody gave or that was read somewhere."""
    return Figure(name, Decimal(value), unit, source=source)


def computed(name: str, value: Decimal | int, unit: str, formula: str, *inputs: Figure) -> Figure:
    """A figure that follows from others."""
    return Figure(name, Decimal(value), unit, formula=formula, inputs=inputs)


def traced(figure: Figure, depth: int = 0) -> Iterator[tuple[int, Figure]]:
    """The figure and everything it rests on, depth first, each with its depth; what repeats is told once."""
    seen: set[tuple[str, Decimal, str]] = set()

    def walk(each: Figure, level: int) -> Iterator[tuple[int, Figure]]:
        yield level, each
        key = (each.name, each.value, each.source or each.formula)
        if key in seen:
            return
        seen.add(key)
        for one in each.inputs:
            yield from walk(one, level + 1)

    yield from walk(figure, depth)


def plain(value: Decimal) -> str:
    """Without exponent and trailing zeros: "330000000", "429", "6.5"."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def cents(value: Decimal) -> Decimal:
    """Rounded to cents, half up, as an invoice is. For showing: what goes on being computed with stays exact."""
    return value.quantize(CENT, ROUND_HALF_UP)
