"""``spillway top``: lanes and classes with their figures, once or again and again."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Generic, TypeVar

import click
from rich.console import RenderableType
from rich.text import Text

from spillway.cli.output import Form, print_json
from spillway.cli.view.reporting import reported_at, silent_seconds
from spillway.cli.view.rows import ClassRow, LaneRow, class_rows, lane_rows
from spillway.cli.view.text import amount, duration, grid, labelled, number, percent, ratio, show, usd, width_of
from spillway.cli.view.world import Seen

Row = TypeVar("Row", bound="LaneRow | ClassRow")


@dataclass(frozen=True, slots=True)
class Column(Generic[Row]):
    """One column: its heading, its cell, and what rows are sorted by (None: not known, goes last)."""

    key: str
    heading: str
    cell: Callable[[Row], str]
    value: Callable[[Row], Decimal | str | None]


def _whole(value: int | None) -> Decimal | None:
    return None if value is None else Decimal(value)


def _replicas(row: LaneRow) -> str:
    if row.current is None:
        return "-"
    change = "" if row.recommended in (None, row.current) else f"→{row.recommended}"
    return f"{number(row.ready)}/{row.current}{change}"


def _tokens(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _attainment(row: ClassRow) -> str:
    objective = "" if row.objective_percent is None else f"/{row.objective_percent}"
    return f"{percent(row.attainment_percent).removesuffix('%')}{objective}"


def _budget(row: ClassRow) -> str:
    spent, cap = amount(row.spent_usd), amount(row.cap_usd)
    if spent is None:
        return "-"
    return f"${spent:,.0f}" + ("" if cap is None else f"/{cap:,.0f}")


LANE_COLUMNS: tuple[Column[LaneRow], ...] = (
    Column("lane", "LANE", lambda r: r.name, lambda r: r.name),
    Column("replicas", "READY", _replicas, lambda r: _whole(r.current)),
    Column("allocated", "ALLOC", lambda r: ratio(r.utilization.allocated), lambda r: amount(r.utilization.allocated)),
    Column("busy", "BUSY", lambda r: ratio(r.utilization.busy), lambda r: amount(r.utilization.busy)),
    Column("effective", "EFF", lambda r: ratio(r.utilization.effective), lambda r: amount(r.utilization.effective)),
    Column("load", "LOAD", lambda r: ratio(r.load), lambda r: amount(r.load)),
    Column("saturation", "SAT", lambda r: ratio(r.utilization.saturation), lambda r: amount(r.utilization.saturation)),
    Column("usd", "$/H", lambda r: usd(r.usd_per_hour), lambda r: amount(r.usd_per_hour)),
    Column("mtok", "$/MTOK", lambda r: usd(r.usd_per_mtok, small=True), lambda r: amount(r.usd_per_mtok)),
    Column("hosted", "HOSTED", lambda r: percent(r.hosted_percent), lambda r: amount(r.hosted_percent)),
)
CLASS_COLUMNS: tuple[Column[ClassRow], ...] = (
    Column("class", "CLASS", lambda r: r.name, lambda r: r.name),
    Column("requests", "REQ/S", lambda r: number(r.requests_per_second), lambda r: amount(r.requests_per_second)),
    Column("tokens", "TOK/S", lambda r: _tokens(r.tokens_per_second), lambda r: _whole(r.tokens_per_second)),
    Column("attainment", "SLO%/GOAL", _attainment, lambda r: amount(r.attainment_percent)),
    Column("hosted", "HOSTED", lambda r: percent(r.hosted_percent), lambda r: amount(r.hosted_percent)),
    Column("usd", "$/H", lambda r: usd(r.usd_per_hour), lambda r: amount(r.usd_per_hour)),
    Column("budget", "BUDGET", _budget, lambda r: amount(r.spent_usd)),
)


@dataclass(frozen=True, slots=True)
class TopOptions:
    """What to show, and how."""

    what: str
    """lanes, classes or both."""
    sort_by: str | None
    all_namespaces: bool


def check_sort(options: TopOptions) -> None:
    """Raises click.UsageError for a column that is not there."""
    known = [
        column.key
        for kind, columns in (("lanes", LANE_COLUMNS), ("classes", CLASS_COLUMNS))
        for column in columns
        if options.what in (kind, "both")
    ]
    if options.sort_by is not None and options.sort_by not in known:
        columns = ", ".join(dict.fromkeys(known))
        raise click.UsageError(f"--sort-by {options.sort_by}: there is no such column; take one of {columns}")


def ordered(rows: Sequence[Row], columns: Sequence[Column[Row]], sort_by: str | None) -> list[Row]:
    """Figures from large to small, names from a to z, what is not known last; unsorted without that column."""
    column = next((each for each in columns if each.key == sort_by), None)
    if column is None:
        return list(rows)
    known = [(value, row) for row in rows if (value := column.value(row)) is not None]
    missing = [row for row in rows if column.value(row) is None]
    texts = any(isinstance(value, str) for value, _ in known)
    known.sort(key=lambda pair: str(pair[0]) if texts else -Decimal(pair[0]))
    return [row for _, row in known] + missing


def top_document(seen: Seen, options: TopOptions) -> dict[str, Any]:
    """For programs."""
    lanes, classes = _rows(seen, options)
    found: dict[str, Any] = {}
    if options.what in ("lanes", "both"):
        found["lanes"] = [row.document() for row in lanes]
    if options.what in ("classes", "both"):
        found["classes"] = [row.document() for row in classes]
    return found | {"notes": [*_silent(seen), *seen.notes]}


def _rows(seen: Seen, options: TopOptions) -> tuple[list[LaneRow], list[ClassRow]]:
    lanes = [row for plan in seen.plans for row in lane_rows(plan)]
    classes = [row for plan in seen.plans for row in class_rows(plan)]
    return ordered(lanes, LANE_COLUMNS, options.sort_by), ordered(classes, CLASS_COLUMNS, options.sort_by)


def _silent(seen: Seen) -> Iterator[str]:
    for plan in seen.plans:
        silent = silent_seconds(plan.status, plan.now)
        if reported_at(plan.status) is None:
            yield f"{plan.key}: the operator has not reported yet; `kubectl spillway status` tells more"
        elif silent is not None:
            yield f"{plan.key}: figures are {duration(silent)} old, the operator has not reported since"


def top_parts(seen: Seen, options: TopOptions, width: int) -> Iterator[RenderableType]:
    """The tables, and what is to be known of them."""
    lanes, classes = _rows(seen, options)
    several = options.all_namespaces or len(seen.plans) > 1
    if options.what in ("lanes", "both"):
        yield _table(lanes, LANE_COLUMNS, [row.plan for row in lanes] if several else None)
    if options.what == "both":
        yield Text("")
    if options.what in ("classes", "both"):
        spaces = {row.namespace for row in classes}
        apart = several or len(spaces) > 1
        yield _table(classes, CLASS_COLUMNS, [row.namespace for row in classes] if apart else None)
    for note in (*_silent(seen), *seen.notes):
        yield labelled("note", note, width, "yellow")


def _table(rows: Sequence[Row], columns: Sequence[Column[Row]], owners: Sequence[str] | None) -> RenderableType:
    if not rows:
        return Text("nothing to show")
    headings = [column.heading for column in columns]
    cells = [[column.cell(row) for column in columns] for row in rows]
    if owners is None:
        return grid(headings, cells)
    owner = "PLAN" if columns[0].key == "lane" else "NAMESPACE"
    return grid([owner, *headings], [[each, *line] for each, line in zip(owners, cells, strict=True)], names=2)


def top_once(seen: Seen, options: TopOptions, form: Form) -> int:
    """Print one look."""
    if form.as_json:
        print_json(top_document(seen, options))
    else:
        show(form, top_parts(seen, options, width_of(form)))
    return 0


def watch(look: Callable[[], Seen], options: TopOptions, form: Form, interval: float) -> int:
    """Look again and again until Ctrl-C; the first look must succeed, later ones may fail and are tried again.

    On a terminal the screen is cleared before each look; elsewhere looks follow each other: tables under a line with
    the time, JSON documents one a line.
    """
    seen, problem = look(), None
    try:
        while True:
            if form.as_json:
                if problem is None:
                    sys.stdout.write(json.dumps(top_document(seen, options), ensure_ascii=False) + "\n")
            else:
                click.clear()
                click.echo(f"{datetime.now(UTC):%H:%M:%S}Z, every {interval:g} s, Ctrl-C ends")
                show(form, top_parts(seen, options, width_of(form)))
            if problem is not None:
                click.echo(f"error: {problem}; trying again", err=True)
            sys.stdout.flush()
            time.sleep(interval)
            try:
                seen, problem = look(), None
            except click.ClickException as error:
                problem = error.format_message()
    except KeyboardInterrupt:
        return 0
