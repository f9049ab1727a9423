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
FAR = 1.6
"""Costs above this multiple of what most policies cost at most are drawn at the upper edge, with an arrow."""
FEW = 6
"""Among fewer policies than this none is cut off so."""
FROM_ZERO = 4.0
"""A wider range of costs than this starts at zero."""
MANY = 16
"""With more policies than this only those of most interest are named; the others' titles tell."""
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
NARROW = Size(350.0, 400.0, left=44.0, right=8.0)


@dataclass(frozen=True, slots=True)
class Axis:
    """From values to pixels."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """The pixel, kept inside."""
        here = min(max(value, self.low), self.high)
        return self.start + (here - self.low) / (self.high - self.low) * (self.end - self.start)


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
    marks = {row.name: (across.at(misses(row.attainment or 0.0)), up.at(row.usd)) for row in rows}
    references = _reference_lines(comparison, list(marks.values()), up, size)
    labelled = [(row, marks[row.name]) for row in _worth_a_label(comparison, rows, size)]
    taken = [*map(_around, marks.values()), *(each.box for each in references)]
    parts = [
        *_grid(across, up, size),
        *_target(across, size, target),
        *_references(references, size),
        *(_mark(row, marks[row.name], row.usd > up.high) for row in sorted(rows, key=lambda row: row.own)),
        *_labels(labelled, taken, up, size),
    ]
    label = f"Cost against SLO attainment of {len(rows)} policies"
    return (
        f'<svg viewBox="0 0 {size.width:g} {size.height:g}" role="img" aria-label="{label}" class="scatter">'
        f"{''.join(parts)}</svg>"
    )


def some_cut_off(comparison: Comparison) -> bool:
    """Whether marks stand at the upper edge that belong above it."""
    high = _cost_axis(comparison, WIDE).high if comparison.rows else 0.0
    return any(row.usd > high for row in comparison.rows if row.attainment is not None)


def misses(attainment: float) -> float:
    """What the axis is even in: 0 at none attained, 1 at 90%, 2 at 99%."""
    return -math.log10(1.0 - min(attainment, BEST))


def _attainment_axis(rows: Sequence[Row], size: Size, target: float | None) -> Axis:
    found = [row.attainment for row in rows if row.attainment is not None]
    low = max((tick for tick in TICKS if tick <= min(found)), default=0.0)
    if target is not None:
        # The line itself must stand clear of the axis.
        found.append(target)
        low = min(low, max((tick for tick in TICKS if tick < target), default=0.0))
    high = min((tick for tick in TICKS if tick >= max(found)), default=BEST)
    if low == high:
        low = max((tick for tick in TICKS if tick < high), default=0.0)
    return Axis(misses(low), misses(high) + 0.06, size.left, size.width - size.right)


def _cost_axis(comparison: Comparison, size: Size) -> Axis:
    """From zero, or from below the cheapest where all are far from it; what costs far more than most is cut off."""
    costs = sorted(row.usd for row in comparison.rows)
    near = costs if len(costs) < FEW else costs[: int(0.85 * len(costs))]
    seen = [usd for usd in costs if usd <= FAR * near[-1]]
    seen += [usd for usd in (comparison.bound_usd, comparison.replay_usd) if usd is not None]
    low, high = min(seen), max([*seen, 1e-9])
    if high > FROM_ZERO * low:
        low = 0.0
    room = 0.1 * (high - low) if high > low else 0.1 * high
    return Axis(max(0.0, low - room), high + room, size.height - size.bottom, size.top)


def cost_ticks(axis: Axis) -> list[float]:
    """Round costs along the axis."""
    rough = (axis.high - axis.low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s * power for s in (1, 2, 2.5, 5, 10) if s * power >= rough * 0.999)
    return [step * i for i in range(math.ceil(axis.low / step), math.floor(axis.high / step) + 1)]


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
        "requests within the SLO</text>"
    )


def _short(usd: float) -> str:
    for factor, unit in ((1e6, "M"), (1e3, "k")):
        if usd >= factor:
            return f"${usd / factor:.4g}{unit}"
    return f"${usd:.4g}"


def _target(across: Axis, size: Size, target: float | None) -> Iterable[str]:
    if target is None:
        return
    x, bottom = across.at(misses(target)), size.height - size.bottom
    yield (
        f'<rect class="missing" x="{size.left:g}" y="{size.top:g}" width="{x - size.left:.1f}" '
        f'height="{bottom - size.top:g}"/>'
    )
    yield f'<line class="target" x1="{x:.1f}" x2="{x:.1f}" y1="{size.top:g}" y2="{bottom:g}"/>'
    label, anchor = (x - 6, "end") if x - size.left > 70 else (x + 6, "start")
    yield (
        f'<text class="note" x="{label:.1f}" y="{size.top + 12:g}" text-anchor="{anchor}">SLO {target * 100:g}%</text>'
    )


@dataclass(frozen=True, slots=True)
class _Reference:
    """The line of the clairvoyant replay or of the bound, and its text's place."""

    text: str
    y: float
    baseline: float
    box: Box
    at_end: bool


def _reference_lines(
    comparison: Comparison, marks: Sequence[tuple[float, float]], up: Axis, size: Size
) -> list[_Reference]:
    """Each text stands at that end and side of its line where it covers the fewest marks."""
    found: list[_Reference] = []
    for name, usd, sides in (
        ("clairvoyant replay", comparison.replay_usd, (-5.0, 13.0)),
        ("bound", comparison.bound_usd, (13.0, -5.0)),
    ):
        if usd is None:
            continue
        text, y = f"{name} {dollars(usd)}", up.at(usd)
        width, right = CHARACTER * len(text) + 12, size.width - size.right
        places = [
            _Reference(text, y, y + below, Box(left, y + below - 12, left + width, y + below + 4), at_end)
            for below in sides
            for at_end, left in ((False, size.left), (True, right - width))
        ]
        taken = [*map(_around, marks), *(each.box for each in found)]
        found.append(min(places, key=lambda place: sum(place.box.overlaps(box) for box in taken)))
    return found


def _around(mark: tuple[float, float]) -> Box:
    x, y = mark
    return Box(x - 6, y - 6, x + 6, y + 6)


def _references(references: Sequence[_Reference], size: Size) -> Iterable[str]:
    left, right = size.left, size.width - size.right
    for each in references:
        x, anchor = (right - 6, "end") if each.at_end else (left + 6, "start")
        yield f'<line class="reference" x1="{left:g}" x2="{right:g}" y1="{each.y:.1f}" y2="{each.y:.1f}"/>'
        yield f'<text class="note" x="{x:g}" y="{each.baseline:.1f}" text-anchor="{anchor}">{each.text}</text>'


def _mark(row: Row, at: tuple[float, float], cut_off: bool) -> str:
    x, y = at
    kind = "own" if row.own else f"spill-{row.spill or 'none'}"
    state = "" if row.held else " missed"
    arrow = '<path class="arrow" d="M-4 -9 0 -14 4 -9"/>' if cut_off else ""
    return (
        f'<g class="mark {escape(kind, quote=True)}{state}" data-policy="{escape(row.name, quote=True)}" '
        f'transform="translate({x:.1f} {y:.1f})"><title>{escape(describe(row))}</title>'
        f'<circle class="hit" r="12"/>{shape(row)}{arrow}</g>'
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


PLACES = (
    *((11.0, 0.0, "start"), (-11.0, 0.0, "end"), (0.0, -18.0, "middle"), (0.0, 18.0, "middle")),
    *(
        (dx, dy, "start" if dx > 0 else "end")
        for distance in (30.0, 46.0, 64.0, 84.0, 108.0)
        for dx in (distance * 0.6, -distance * 0.6)
        for dy in (distance, -distance)
    ),
)
"""Where a label may stand from its mark, nearest first; far ones get a line."""


def _labels(
    labelled: Sequence[tuple[Row, tuple[float, float]]], taken: list[Box], up: Axis, size: Size
) -> Iterable[str]:
    """Names of the marks that matter most, wherever one fits without covering anything."""
    for row, (x, y) in labelled:
        text = ("Spillway" if row.own else row.name) + (f" {dollars(row.usd)}" if row.usd > up.high else "")
        width = CHARACTER * len(text) * (1.15 if row.own else 1.0)
        for dx, dy, anchor in PLACES:
            left = x + dx - {"start": 0.0, "end": width, "middle": width / 2}[anchor]
            box = Box(left, y + dy - LABEL_HEIGHT / 2, left + width, y + dy + LABEL_HEIGHT / 2)
            if _inside(box, size) and not any(box.overlaps(other) for other in taken):
                taken.append(box)
                yield _label(text, row, (x, y), (dx, dy), anchor)
                break


def _label(text: str, row: Row, mark: tuple[float, float], away: tuple[float, float], anchor: str) -> str:
    (x, y), (dx, dy) = mark, away
    line = ""
    if abs(dy) > 20:
        sign = 1 if dx > 0 else -1
        line = (
            f'<line class="leader" x1="{x + sign * 5:.1f}" y1="{y + math.copysign(6, dy):.1f}" '
            f'x2="{x + dx - sign * 2:.1f}" y2="{y + dy - math.copysign(4, dy):.1f}"/>'
        )
    kind = "label own" if row.own else "label"
    return (
        f'{line}<text class="{kind}" x="{x + dx:.1f}" y="{y + dy + 4:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
    )


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
    return first if len(rows) > MANY else [*first, *(row for row in rows if row not in first)]
