"""A review as text for a terminal."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from spillway.advise.review.changes import Change, worst_first
from spillway.advise.review.fields import Bearing, Severity
from spillway.advise.review.limits import Verdict
from spillway.advise.review.review import PlanReview, Review
from spillway.report.diff.headline import headline
from spillway.report.diff.words import (
    certainty,
    class_rows,
    lane_rows,
    method,
    nothing_changes,
    policy_rows,
    shared_lanes,
    title,
)

WIDTH, LEAST_WIDTH = 80, 60
NAME_WIDTH = 24
"""Names up to this are kept whole; figures wrap before they do."""
STYLES = {Verdict.PASS: "green", Verdict.WARN: "yellow", Verdict.FAIL: "bold red", Verdict.SKIP: "dim"}
MARKS = {Severity.HIGH: "!", Severity.MEDIUM: "*", Severity.LOW: "-"}


def terminal(review: Review, *, colour: bool = False, width: int = WIDTH) -> str:
    """At most ``width`` columns, no trailing blanks."""
    out = io.StringIO()
    console = Console(
        file=out, width=width, force_terminal=colour, color_system="standard" if colour else None, highlight=False
    )
    if not review.plans:
        console.print(Text(f"{nothing_changes(review)}."))
    for number, plan in enumerate(review.plans):
        if number:
            console.print()
        for part in _plan(plan):
            console.print(part)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _plan(plan: PlanReview) -> Iterator[RenderableType]:
    yield Text(f"{headline(plan)}.", style="bold")
    yield Text(f"{certainty(plan.effect) if plan.effect is not None else plan.not_estimated}.")
    yield ""
    yield Text(f"{title(plan)}: what changes (! look here)", style="bold")
    for change in worst_first(plan.changes):
        yield Padding(_change(change), (0, 0, 0, 2))
    yield ""
    if plan.effect is not None:
        rows = [(row.lane, row.usage, row.change, row.monthly) for row in lane_rows(plan.effect)]
        yield _table(("LANE", "USAGE", "CHANGE", "MONTHLY"), rows)
        yield ""
        classes = [(r.name, r.objective, r.attained, r.slo, r.hosted, r.monthly) for r in class_rows(plan)]
        yield _table(("CLASS", "GOAL", "ATTAINED", "SLO", "HOSTED", "MONTHLY"), classes)
        if shared := shared_lanes(plan):
            yield Text(f"({shared})", style="dim")
        yield ""
    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1))
    for name in ("RESULT", "POLICY"):
        made.add_column(name, overflow="fold", max_width=15)
    made.add_column("WHY", overflow="fold")
    for verdict, name, why in policy_rows(plan.policies):
        made.add_row(Text(verdict.value, style=STYLES[verdict]), Text(name), Text(why))
    yield made
    if plan.effect is not None:
        yield ""
        yield Text("how the estimate was made", style="bold")
        for line in method(plan.effect):
            yield Padding(Text(line), (0, 0, 0, 2))


def _change(change: Change) -> Text:
    style = "bold red" if change.severity is Severity.HIGH else ""
    way = "" if change.bearing is Bearing.NEUTRAL else f" ({change.bearing.value})"
    return Text.assemble((f"{MARKS[change.severity]} ", style), change.sentence, (way, "dim"))


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1))
    short = all(len(row[0]) <= NAME_WIDTH for row in rows)
    for number, heading in enumerate(headings):
        made.add_column(heading, overflow="fold", no_wrap=short and not number)
    for row in rows:
        made.add_row(*(Text(cell) for cell in row))
    return made
