"""Options of ``spillway budget``; amounts are read as decimals, never as floats."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import click

Command = Callable[..., Any]


class Amount(click.ParamType):  # type: ignore[type-arg] # not generic at run time
    """A decimal number within bounds."""

    name = "number"

    def __init__(self, low: str, high: str, *, whole: bool = False, hint: str = "") -> None:
        """``hint``: how to write it, for what is out of bounds."""
        self._low, self._high, self._whole, self._hint = Decimal(low), Decimal(high), whole, hint

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        """Raises click.BadParameter."""
        if isinstance(value, Decimal):
            return value
        try:
            found = Decimal(str(value))
        except InvalidOperation:
            self.fail(f"{value!r} is no number", param, ctx)
        if not found.is_finite() or not self._low <= found <= self._high:
            hint = f"; {self._hint}" if self._hint else ""
            self.fail(f"{value} is not between {self._low} and {self._high}{hint}", param, ctx)
        if self._whole and found != found.to_integral_value():
            self.fail(f"{value} is no whole number", param, ctx)
        return found


class Moment(click.ParamType):  # type: ignore[type-arg]
    """A date, taken at noon UTC, or a date with a time."""

    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Raises click.BadParameter."""
        if isinstance(value, datetime):
            return value
        try:
            if len(value) == len("2026-06-01"):
                return datetime.combine(date.fromisoformat(value), time(12, tzinfo=UTC))
            found = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no date; write such as 2026-06-01 or 2026-06-01T18:00:00Z", param, ctx)
        return found if found.tzinfo else found.replace(tzinfo=UTC)


SHARE = Amount("0", "1", hint="a share: write 0.6 for 60%")
INFLATION = Amount("0", "100", hint="a share of the tokens without it: write 0.1 for 10%")
GROWTH = Amount("-0.99", "10", hint="a share: write 0.1 for 10% a month")
USD = Amount("0", "1000000000000")

DEMAND: tuple[tuple[str, Amount, str, str], ...] = (
    ("--developers", Amount("1", "1000000", whole=True), "N", "People who make the requests."),
    ("--tasks-per-day", Amount("0.001", "1000000"), "N", "Tasks of each on a workday; 15-50 is typical."),
    (
        "--tokens-per-task",
        Amount("1", "1000000000"),
        "N",
        "Input and output; 5,000 simple, 200,000 and more agentic.",
    ),
    ("--workdays", Amount("1", "31", whole=True), "N", "Workdays in a month. Default: 22."),
    ("--input-share", SHARE, "SHARE", "Of the tokens that are input. Default: 0.6."),
    ("--cached-share", SHARE, "SHARE", "Of the input that is read from a prompt cache. Default: 0."),
    ("--retries", INFLATION, "SHARE", "Tokens that retries add. Default: 0."),
    ("--tool-loops", INFLATION, "SHARE", "Tokens that tool loops add. Default: 0."),
    ("--growth", GROWTH, "SHARE", "Growth a month; 0.1-0.2 is typical of a first year. Default: 0."),
    ("--success-rate", SHARE, "SHARE", "Of the tasks that reach their end. Default: not known."),
    ("--revenue-per-success", USD, "USD", "What a successful task is worth. Default: not known."),
    ("--cap", USD, "USD", "What a month may cost. Default: the average and the buffer."),
    ("--buffer", Amount("0", "10", hint="a share: write 0.2 for 20%"), "SHARE", "On top of the average. Default: 0.2."),
    ("--alert", SHARE, "SHARE", "Of the cap, from which to warn. Default: 0.8."),
)
"""What manifests say instead, where they are given."""
TERMS: tuple[tuple[str, Amount, str, str], ...] = (
    ("--repeated-share", SHARE, "SHARE", "Of the prompt tokens that repeat. Default: not known."),
    ("--simple-share", SHARE, "SHARE", "Of the tokens that a cheaper model does as well. Default: not known."),
)

OTHERS = (
    click.option(
        "--model", "models", multiple=True, metavar="NAME[=IN/OUT]",
        help="A model to price, the planned one first. NAME or PROVIDER/NAME of the price package, or a price of your "
        "own in USD per million tokens: NAME=IN/OUT[/CACHED][@DATE].",
    ),
    click.option(
        "--tier", type=click.Choice(["standard", "batch", "flex", "priority"]), default="standard", show_default=True,
        help="Tier of the models' list prices.",
    ),
    click.option(
        "--latency", type=click.Choice(["interactive", "background", "deferrable"]), default="interactive",
        show_default=True, help="How long the work may wait: what may take Batch and Flex prices.",
    ),
    click.option("--at", type=Moment(), metavar="DATE", help="Prices in force then, at noon UTC. Default: today."),
    click.option(
        "-f", "--filename", "files", multiple=True, type=click.Path(path_type=Path), metavar="FILE|DIR",
        help="Manifests: WorkloadClasses with spec.demand, their CapacityLanes and CapacityPlan.",
    ),
    click.option("--prometheus-url", metavar="URL", help="Measure what the manifests' classes have used."),
    click.option(
        "--days", type=click.FloatRange(0.02, 60), default=14, show_default=True, help="How many days to measure."
    ),
    click.option(
        "--config", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
        help="The operator's configuration: gateways and label names, for measuring.",
    ),
    click.option(
        "-o", "--output", type=click.Choice(["table", "json", "markdown"]), default="table", show_default=True,
        help="Form of the output.",
    ),
    click.option("--explain", is_flag=True, help="Also print where each figure comes from; JSON always says it."),
    click.option("--no-color", is_flag=True, help="No colours; so does the variable NO_COLOR."),
)  # fmt: skip


def budget_options(command: Command) -> Command:
    """All of them; the command gets them by name."""
    for decorate in reversed(OTHERS):
        command = decorate(command)
    for flag, kind, metavar, text in reversed((*DEMAND, *TERMS)):
        command = click.option(flag, type=kind, metavar=metavar, help=text)(command)
    return command


def parameter(flag: str) -> str:
    """The name under which the command gets it."""
    return flag.removeprefix("--").replace("-", "_")
