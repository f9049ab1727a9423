"""Cost against SLO attainment, every policy a mark, as inline SVG. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from spillway.report.backtest.result import Comparison, Row
from spillway.report.backtest.text import dollars, percent

TICKS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999)
"""Attainments that may stand at the axis, which is even in the logarithm of what misses."""
BEST = 0.9999
"""Better than this is drawn here."""
LABELLED = ("static-best", "static-peak", "cron-best", "api-only")
LOG_FROM = 4.0
"""A wider range of costs than this gets a logarithmic axis."""
CHARACTER = 6.4
"""Mean width of a label's character, in pixels at 12 px."""
LABEL_HEIGHT = 15.0


@dataclass(frozen=True, slots=True)
class Size:
    """Of the drawing and its margins, in pixels."""

    width: float
    height: float
    left: float = 64.0
    right: float = 20.0
    top: float = 20.0
    bottom: float = 48.0


WIDE = Size(1000.0, 460.0)
NARROW = Size(390.0, 420.0, left=52.0, right=12.0)


@dataclass(frozen=True, slots=True)
class Axis:
    """From values to pixels."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        """The pixel, kept inside."""
        low, high, here = (self._scaled(each) for each in (self.low, self.high, min(max(value, self.low), self.high)))
        return self.start + (here - low) / (high - low) * (self.end - self.start)

    def _scaled(self, value: float) -> float:
        return math.log(value) if self.log else value


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle that is taken."""

    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: Box) -> bool:
        """Whether both share a point."""
        return not (
            self.right <= other.left or other.right <= self.left or self.bottom <= other.top or other.bottom <= self.top
        )


def scatter(comparison: Comparison, size: Size, target: float | None) -> str:
    """The plot. ``target``: the share that the SLO promises, where one number tells it."""
    rows = [row for row in comparison.rows if row.attainment is not None]
    if not rows:
        return ""
    across = _attainment_axis(rows, size, target)
    up = _cost_axis(comparison, size)
    parts = [
        *_grid(across, up, size),
        *_target(across, size, target),
        *_references(comparison, up, size),
        *(_mark(row, across, up) for row in sorted(rows, key=lambda row: row.own)),
        *_labels(comparison, rows, across, up, size),
    ]
    label = f"Cost against SLO attainment of {len(rows)} policies"
    return (
        f'<svg viewBox="0 0 {size.width:g} {size.height:g}" role="img" aria-label="{label}" class="scatter">'
        f"{''.join(parts)}</svg>"
    )


def misses(attainment: float) -> float:
    """What the axis is even in: 0 at none attained, 1 at 90%, 2 at 99%."""
    return -math.log10(1.0 - min(attainment, BEST))


def _attainment_axis(rows: Sequence[Row], size: Size, target: float | None) -> Axis:
    found = [row.attainment for row in rows if row.attainment is not None]
    found += [] if target is None else [target]
    low = max((tick for tick in TICKS if tick <= min(found)), default=0.0)
    high = min((tick for tick in TICKS if tick >= max(found)), default=BEST)
    if low == high:
        low = max((tick for tick in TICKS if tick < high), default=0.0)
    return Axis(misses(low), misses(high) + 0.06, size.left, size.width - size.right)


def _cost_axis(comparison: Comparison, size: Size) -> Axis:
    costs = [row.usd for row in comparison.rows]
    costs += [usd for usd in (comparison.bound_usd, comparison.replay_usd) if usd is not None]
    positive = [usd for usd in costs if usd > 0] or [1.0]
    low, high = min(positive), max(positive)
    bottom, top = size.height - size.bottom, size.top
    if high / low > LOG_FROM and min(costs) > 0:
        return Axis(low * 0.85, high * 1.15, bottom, top, log=True)
    return Axis(0.0, high * 1.08, bottom, top)


def cost_ticks(axis: Axis) -> list[float]:
    """Round costs along the axis."""
    if axis.log:
        decades = range(math.floor(math.log10(axis.low)), math.ceil(math.log10(axis.high)) + 1)
        found = [step * 10.0**decade for decade in decades for step in (1, 2, 5)]
        return [value for value in found if axis.low <= value <= axis.high]
    rough = (axis.high - axis.low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = min((s * power for s in (1, 2, 2.5, 5, 10) if s * power >= rough), default=10 * power)
    return [step * i for i in range(int(axis.high / step) + 1)]


def _grid(across: Axis, up: Axis, size: Size) -> Iterable[str]:
    left, right = size.left, size.width - size.right
    for usd in cost_ticks(up):
        y = up.at(usd)
        yield f'<line class="grid" x1="{left:g}" x2="{right:g}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text class="tick" x="{left - 8:g}" y="{y + 4:.1f}" text-anchor="end">{_short(usd)}</text>'
    last = -math.inf
    for tick in TICKS:
        x = across.start if misses(tick) < across.low else across.at(misses(tick))
        if not across.low <= misses(tick) <= across.high or x - last < 46:
            continue
        last = x
        y = size.height - size.bottom
        yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{size.top:g}" y2="{y:g}"/>'
        anchor = "start" if x - left < 16 else "end" if right - x < 16 else "middle"
        yield f'<text class="tick" x="{x:.1f}" y="{y + 18:g}" text-anchor="{anchor}">{tick * 100:g}%</text>'
    yield (
        f'<text class="axis" x="{(left + right) / 2:g}" y="{size.height - 8:g}" text-anchor="middle">'
        "within the SLO (the lower of requests and tokens)</text>"
    )


def _short(usd: float) -> str:
    for factor, unit in ((1e6, "M"), (1e3, "k")):
        if usd >= factor:
            return f"${usd / factor:g}{unit}"
    return f"${usd:g}"


def _target(across: Axis, size: Size, target: float | None) -> Iterable[str]:
    if target is None:
        return
    x, bottom = across.at(misses(target)), size.height - size.bottom
    yield (
        f'<rect class="missing" x="{size.left:g}" y="{size.top:g}" width="{x - size.left:.1f}" '
        f'height="{bottom - size.top:g}"/>'
    )
    yield f'<line class="target" x1="{x:.1f}" x2="{x:.1f}" y1="{size.top:g}" y2="{bottom:g}"/>'
    yield (f'<text class="note" x="{x - 6:.1f}" y="{size.top + 12:g}" text-anchor="end">SLO {target * 100:g}%</text>')


def _reference_lines(comparison: Comparison) -> list[tuple[str, float, float]]:
    """Text, dollars and where the text stands below its line, of the clairvoyant replay and the bound."""
    found = (("clairvoyant replay", comparison.replay_usd, -5.0), ("bound", comparison.bound_usd, 13.0))
    return [(f"{name} {dollars(usd)}", usd, below) for name, usd, below in found if usd is not None]


def _references(comparison: Comparison, up: Axis, size: Size) -> Iterable[str]:
    left, right = size.left, size.width - size.right
    for text, usd, below in _reference_lines(comparison):
        y = up.at(usd)
        yield f'<line class="reference" x1="{left:g}" x2="{right:g}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text class="note" x="{left + 6:g}" y="{y + below:.1f}">{text}</text>'


def _mark(row: Row, across: Axis, up: Axis) -> str:
    x, y = across.at(misses(row.attainment or 0.0)), up.at(row.usd)
    kind = "own" if row.own else f"spill-{row.spill or 'none'}"
    state = "" if row.held else " missed"
    return (
        f'<g class="mark {escape(kind, quote=True)}{state}" data-policy="{escape(row.name, quote=True)}" '
        f'transform="translate({x:.1f} {y:.1f})"><title>{escape(describe(row))}</title>'
        f'<circle class="hit" r="12"/>{shape(row)}</g>'
    )


def shape(row: Row) -> str:
    """By tuning, so that colour is never the only sign."""
    if row.own:
        return '<circle r="8"/>'
    if row.tuning == "tuned":
        return '<rect x="-5" y="-5" width="10" height="10" rx="1"/>'
    if row.tuning == "oracle":
        return '<path d="M0 -6.5 6.2 5 -6.2 5Z"/>'
    return '<circle r="5.2"/>'


def describe(row: Row) -> str:
    """What a mark is, in words."""
    state = "SLO held" if row.held else "SLO missed"
    return f"{row.name}: {dollars(row.usd)}, {percent(row.attainment)} within the SLO, {state}"


def _labels(comparison: Comparison, rows: Sequence[Row], across: Axis, up: Axis, size: Size) -> Iterable[str]:
    """Names of the marks that matter most, wherever one fits without covering anything."""
    marks = {row.name: (across.at(misses(row.attainment or 0.0)), up.at(row.usd)) for row in rows}
    taken = [Box(x - 6, y - 6, x + 6, y + 6) for x, y in marks.values()]
    taken += _reference_boxes(comparison, up, size)
    for row in _worth_a_label(comparison, rows, size):
        x, y = marks[row.name]
        text = "Spillway" if row.own else row.name
        width = CHARACTER * len(text) * (1.15 if row.own else 1.0)
        for anchor, left, middle in (
            ("start", x + 11, y),
            ("end", x - 11 - width, y),
            ("middle", x - width / 2, y - 18),
            ("middle", x - width / 2, y + 18),
        ):
            box = Box(left, middle - LABEL_HEIGHT / 2, left + width, middle + LABEL_HEIGHT / 2)
            if _inside(box, size) and not any(box.overlaps(other) for other in taken):
                taken.append(box)
                at = {"start": left, "end": left + width, "middle": x}[anchor]
                kind = "label own" if row.own else "label"
                yield (
                    f'<text class="{kind}" x="{at:.1f}" y="{middle + 4:.1f}" text-anchor="{anchor}">'
                    f"{escape(text)}</text>"
                )
                break


def _reference_boxes(comparison: Comparison, up: Axis, size: Size) -> list[Box]:
    found = []
    for text, usd, below in _reference_lines(comparison):
        middle = up.at(usd) + below - 4
        found.append(Box(size.left, middle - 8, size.left + 6 + CHARACTER * len(text), middle + 8))
    return found


def _inside(box: Box, size: Size) -> bool:
    return (
        box.left >= size.left + 2
        and box.right <= size.width - size.right
        and box.top >= size.top
        and box.bottom <= size.height - size.bottom
    )


def _worth_a_label(comparison: Comparison, rows: Sequence[Row], size: Size) -> list[Row]:
    """Most important first: a label that finds no room is left to the mark's title."""
    best = comparison.cheapest(comparison.rivals(hindsight=False))
    oracle = comparison.cheapest(comparison.rivals(hindsight=True))
    first = [row for row in rows if row.own]
    first += [row for row in (best, oracle) if row is not None and row in rows]
    first += [row for row in rows if row.scaler in LABELLED and row not in first]
    if size is NARROW:
        return first[:4]
    return [*first, *(row for row in rows if row not in first)][:14]
