"""The page's table of all policies. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from spillway.report.backtest.result import Comparison, Row, ratio
from spillway.report.backtest.text import MISSING, count, dollars, number, percent, times
from spillway.report.backtest.timelines import short_names


@dataclass(frozen=True, slots=True)
class _Column:
    heading: str
    value: Callable[[Row], Any]
    """What is sorted by; None is missing."""
    text: Callable[[Row], str]
    word: bool = False


def _columns(comparison: Comparison) -> list[_Column]:
    own = comparison.spillway
    own_usd = None if own is None else own.usd
    tunings = {row.tuning for row in comparison.rows}
    classes = short_names(sorted({key for row in comparison.rows for key in row.attainment_by_class}))
    columns = [
        _Column("cost", lambda r: r.usd, lambda r: dollars(r.usd)),
        _Column("95% interval", lambda r: r.ci95 and r.ci95[0], _interval),
        _Column("× Spillway's", lambda r: ratio(r.usd, own_usd), lambda r: times(ratio(r.usd, own_usd))),
        _Column("SLO", lambda r: int(r.held), _slo, word=True),
        _Column("attained", lambda r: r.attainment, lambda r: percent(r.attainment)),
        *([_of_class(key, name) for key, name in classes.items()] if len(classes) > 1 else []),
        _Column("tokens attained", lambda r: r.token_attainment, lambda r: percent(r.token_attainment)),
        _Column("class-hours held", lambda r: r.hours_held, lambda r: percent(r.hours_held, 1)),
        _Column("spill rule", lambda r: r.spill, lambda r: escape(r.spill) or MISSING, word=True),
        *([_Column("tuning", lambda r: r.tuning, lambda r: escape(r.tuning), word=True)] if len(tunings) > 1 else []),
        _Column("GPU hours", lambda r: r.gpu_hours, lambda r: count(r.gpu_hours)),
        _Column("GPU cost", lambda r: r.gpu_usd, lambda r: dollars(r.gpu_usd)),
        _Column("hosted cost", lambda r: r.hosted_usd, lambda r: dollars(r.hosted_usd)),
        _Column("spilled tokens", lambda r: r.spilled_token_share, lambda r: percent(r.spilled_token_share, 1)),
        *(_with_misses(factor) for factor in ("3", "10")),
        _Column("scale-ups", lambda r: r.scale_ups, lambda r: count(r.scale_ups)),
        _Column("scale-downs", lambda r: r.scale_downs, lambda r: count(r.scale_downs)),
        _Column(
            "turns an hour", lambda r: r.direction_changes_per_hour, lambda r: number(r.direction_changes_per_hour, 2)
        ),
        _Column("deadlines missed", lambda r: r.deadline_misses, lambda r: count(r.deadline_misses)),
        _Column("decide p50, ms", lambda r: r.decide_p50_ms, lambda r: number(r.decide_p50_ms, 2)),
        _Column("decide p99, ms", lambda r: r.decide_p99_ms, lambda r: number(r.decide_p99_ms, 2)),
    ]
    return [each for each in columns if any(each.value(row) not in (None, "") for row in comparison.rows)]


def _of_class(key: str, name: str) -> _Column:
    return _Column(
        f"{name} attained",
        lambda r: r.attainment_by_class.get(key),
        lambda r: percent(r.attainment_by_class.get(key)),
    )


def _with_misses(factor: str) -> _Column:
    return _Column(
        f"cost, misses × {factor}",
        lambda r: r.usd_with_misses.get(factor),
        lambda r: dollars(r.usd_with_misses.get(factor)),
    )


def _interval(row: Row) -> str:
    return MISSING if row.ci95 is None else f"{dollars(row.ci95[0])} to {dollars(row.ci95[1])}"


def _slo(row: Row) -> str:
    return '<span class="held">held</span>' if row.held else '<span class="lost">missed</span>'


def policies(comparison: Comparison) -> str:
    """The section with the table."""
    columns = _columns(comparison)
    headings = "".join(
        f'<th scope="col"{" class=word" * each.word}><button type="button">{escape(each.heading)}</button></th>'
        for each in columns
    )
    rows = "".join(_table_row(row, columns) for row in comparison.rows)
    return (
        "<section><h2>All policies</h2>"
        '<p class="sub">Costs compare only among policies that held the SLO: those stand first, by cost. '
        "Sort by a heading.</p>"
        f"{_filter(comparison)}"
        '<div class="scroll" tabindex="0" role="region" aria-label="All policies"><table id="policies"><thead><tr>'
        f'<th scope="col"><button type="button">policy</button></th>{headings}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div></section>\n"
    )


def _filter(comparison: Comparison) -> str:
    if all(row.held for row in comparison.rows):
        return ""
    return '<label class="filter"><input type="checkbox" id="held-only"> only those that held it</label>'


def _table_row(row: Row, columns: Sequence[_Column]) -> str:
    kinds = " ".join(kind for kind, has in (("own", row.own), ("missed", not row.held)) if has)
    cells = "".join(_cell(each, row) for each in columns)
    name = escape(row.name, quote=True)
    attribute = f' class="{kinds}"' if kinds else ""
    return f'<tr{attribute} data-policy="{name}"><th scope="row" data-v="{name}" title="{name}">{name}</th>{cells}</tr>'


def _cell(column: _Column, row: Row) -> str:
    value = column.value(row)
    kind = ' class="word slo"' if column.heading == "SLO" else ' class="word"' if column.word else ""
    shown = "" if value is None else f' data-v="{escape(str(value), quote=True)}"'
    return f"<td{kind}{shown}>{column.text(row)}</td>"
