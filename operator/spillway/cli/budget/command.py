"""``spillway budget``: reads what was asked, computes, prints."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Any

import click
from click.core import ParameterSource
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from spillway.advise.budget import BudgetReport, Subject, assess
from spillway.advise.demand import DemandError
from spillway.advise.figures import Figure, computed
from spillway.advise.prices import PriceUnknownError
from spillway.advise.words import dollars
from spillway.cli.budget.flags import from_flags
from spillway.cli.budget.options import DEMAND, parameter
from spillway.cli.output import Form, console, print_json
from spillway.observe.tariffs import Tariffs
from spillway.report.budget.document import document
from spillway.report.budget.markdown import markdown
from spillway.report.budget.sections import PRICE_HEADING, Section, sections
from spillway.report.budget.trace import trace_lines

NAME_WIDTH = 12
MEASURING = ("days", "config")


def budget_command(asked: dict[str, Any]) -> int:
    """The command with its options by name; returns the exit status. Raises click.ClickException with one line."""
    now = datetime.now(UTC)
    # The same answer all day: some prices depend on the hour.
    at = asked["at"] or datetime.combine(now.date(), time(12, tzinfo=UTC))
    if at.date() > now.date():
        click.echo(f"warning: --at {at:%Y-%m-%d} lies ahead: list prices are what the package knows of it", err=True)
    _check_options(asked)
    try:
        reports = [assess(subject) for subject in _subjects(asked, at)]
    except (PriceUnknownError, DemandError) as error:
        raise click.ClickException(str(error)) from error
    total = _total(reports)
    if asked["output"] == "json":
        print_json(document(reports, total))
    elif asked["output"] == "markdown":
        click.echo(markdown(reports, explain=asked["explain"], total=_total_line(total)), nl=False)
    else:
        _print(reports, asked["explain"], Form(no_color=asked["no_color"]))
        if total is not None:
            click.echo(_total_line(total))
    return 0


def _subjects(asked: Mapping[str, Any], at: datetime) -> Sequence[Subject]:
    if not asked["files"]:
        return [from_flags(asked, Tariffs(), at)]
    from spillway.cli.budget.manifests import from_manifests  # noqa: PLC0415 - only where it is needed

    return asyncio.run(from_manifests(asked, at))


def _check_options(asked: Mapping[str, Any]) -> None:
    """An option without effect would mislead. Raises click.UsageError."""
    context = click.get_current_context()

    def named(name: str) -> bool:
        return context.get_parameter_source(name) is ParameterSource.COMMANDLINE

    if asked["files"]:
        for flag in (*(each[0] for each in DEMAND), "--tier", "--latency"):
            if named(parameter(flag)):
                raise click.UsageError(f"{flag} belongs to a budget from flags; with -f the manifests say it")
    elif asked["cap"] is not None and named("buffer"):
        raise click.UsageError("--buffer makes a cap from the average; with --cap there is one: leave one of them out")
    elif asked["revenue_per_success"] is not None and asked["success_rate"] is None:
        raise click.UsageError("--revenue-per-success needs --success-rate: only tasks that succeed earn anything")
    elif asked["prometheus_url"]:
        raise click.UsageError("--prometheus-url needs the manifests of a plan (-f): they say whose traffic it is")
    if not asked["prometheus_url"]:
        for name in MEASURING:
            if named(name):
                raise click.UsageError(f"--{name} belongs to --prometheus-url")


def _total(reports: Sequence[BudgetReport]) -> Figure | None:
    """What the planned models of several subjects cost together."""
    costs = [report.costs[0].total.named(f"{report.subject.name} a month") for report in reports if report.costs]
    if len(costs) < 2:
        return None
    value = sum((each.value for each in costs), Decimal(0))
    return computed("total a month", value, "USD", "sum of the classes' planned models", *costs)


def _total_line(total: Figure | None) -> str:
    return "" if total is None else f"{len(total.inputs)} classes together: {dollars(total.value)} a month"


def _print(reports: Sequence[BudgetReport], explain: bool, form: Form) -> None:
    out = console(form)
    with out.capture() as captured:
        _lay_out(out, reports, explain)
    # Rich fills lines up to the width.
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def _lay_out(out: Console, reports: Sequence[BudgetReport], explain: bool) -> None:
    for report in reports:
        out.print(Text(report.subject.name, style="bold"))
        for section in sections(report):
            out.print(Text(section.title, style="bold"))
            for line in section.lines:
                out.print(Padding(Text(line), (0, 0, 0, 2)))
            if section.rows:
                out.print(_table(section, out.width))
            out.print()
        if explain:
            out.print(Text("where the figures come from", style="bold"))
            for line in trace_lines(report):
                out.print(Text(f"  {line}"), soft_wrap=True)
            out.print()


def _table(section: Section, width: int) -> Table:
    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1))
    # Amounts stay whole as long as there is room for them; a long name or price gives way first.
    amounts = sum(2 + max(len(row[i]) for row in (section.headings, *section.rows)) for i in section.right)
    room = amounts + NAME_WIDTH <= width
    for number, heading in enumerate(section.headings):
        right = number in section.right
        made.add_column(
            heading,
            justify="right" if right else "left",
            no_wrap=right and room and heading != PRICE_HEADING,
            overflow="fold",
            min_width=NAME_WIDTH if number == 0 and room else None,
        )
    for row in section.rows:
        made.add_row(*(Text(cell) for cell in row))
    return made
