"""Figures and sentences as these commands write them: decimal text in, text of few columns out."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

import click
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from spillway.advise.words import dollars
from spillway.cli.output import Form, console

UNKNOWN = "-"
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
LABEL = 11
"""Columns of a line's label."""
COMMAND = re.compile(r"`[^`]+`\.?")
GLUE = "\x00"
"""Stands for blanks that no line ends at."""


def amount(text: str | None) -> Decimal | None:
    """A status' decimal text; None where there is none that can be read."""
    try:
        found = Decimal(text) if text is not None else None
    except InvalidOperation:
        return None
    return found if found is not None and found.is_finite() else None


def usd(text: str | None, *, small: bool = False) -> str:
    """Dollars, such as "$23.10"; a dash where not known. ``small``: up to four places."""
    value = amount(text)
    if value is None:
        return UNKNOWN
    if small:
        return dollars(value, small=True)
    return f"{'-' if value < 0 else ''}${abs(value):,.2f}"


def percent(text: str | None) -> str:
    """Such as "3%"; a dash where not known."""
    value = amount(text)
    return UNKNOWN if value is None else f"{value.normalize():f}%"


def ratio(text: str | None) -> str:
    """A ratio as a percentage, such as "62%"; a dash where not known."""
    value = amount(text)
    return UNKNOWN if value is None else f"{100 * value:.0f}%"


def number(value: object) -> str:
    """Anything as it is; a dash where not known."""
    return UNKNOWN if value is None else str(value)


def moment(text: str | None) -> float | None:
    """Unix time in seconds of an RFC 3339 text; None where there is none that can be read."""
    try:
        found = datetime.fromisoformat(text.upper()) if text else None
    except ValueError:
        return None
    return None if found is None else (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def duration(seconds: float) -> str:
    """Such as "12 s", "14 min", "3 h", "2 d"."""
    for unit, size in (("d", DAY), ("h", HOUR), ("min", MINUTE)):
        if seconds >= 2 * size or (unit == "min" and seconds >= size):
            return f"{seconds // size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def wrapped(text: str, width: int) -> list[str]:
    """Lines of at most ``width`` where words allow it; what stands in backticks is to be copied and stays in one."""
    kept = COMMAND.sub(lambda found: found[0].replace(" ", GLUE) if len(found[0]) <= width else found[0], text)
    lines = textwrap.wrap(kept, width, break_long_words=False, break_on_hyphens=False)
    return [line.replace(GLUE, " ") for line in lines] or [""]


def labelled(label: str, text: str, width: int, style: str = "") -> Text:
    """A label and a text beside it that is wrapped to ``width``."""
    indent = " " * LABEL
    body = ("\n" + indent).join(wrapped(text, max(width - LABEL, 20)))
    return Text.assemble((label.ljust(LABEL), style or "bold"), body)


def paragraph(text: str, width: int, style: str = "") -> Text:
    """A text wrapped to ``width``."""
    return Text("\n".join(wrapped(text, width)), style=style)


def grid(headings: Sequence[str], rows: Iterable[Sequence[str]], names: int = 1) -> Table:
    """A plain table: the first ``names`` columns fold where there is no room, figures stay whole, to the right."""
    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1), collapse_padding=True)
    for position, heading in enumerate(headings):
        figure = position >= names
        made.add_column(heading, justify="right" if figure else "left", no_wrap=figure, overflow="fold")
    for row in rows:
        # What stands in brackets is text, no markup.
        made.add_row(*(Text(cell) for cell in row))
    return made


def show(form: Form, parts: Sequence[RenderableType] | Iterable[RenderableType]) -> None:
    """Print them; lines don't end in blanks."""
    out: Console = console(form)
    with out.capture() as captured:
        for part in parts:
            out.print(part, soft_wrap=isinstance(part, Text))
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()), color=True)


def width_of(form: Form) -> int:
    """Columns that there are."""
    return console(form).width
