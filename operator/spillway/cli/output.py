"""Tables that fit 80 columns, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDTH = 80
"""Columns where the output is not a terminal."""
STYLES = {
    "pass": "green",
    "released": "green",
    "warn": "yellow",
    "fail": "bold red",
    "failed": "bold red",
    "skip": "dim",
    "held": "dim",
}


@dataclass(frozen=True, slots=True)
class Form:
    """How to print."""

    as_json: bool = False
    no_color: bool = False


def console(form: Form) -> Console:
    """Standard output; rich itself obeys NO_COLOR."""
    terminal = sys.stdout.isatty()
    return Console(no_color=form.no_color or None, width=None if terminal else WIDTH, highlight=False, soft_wrap=False)


def print_json(document: Any) -> None:
    """Indented JSON on standard output."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def styled(word: str) -> Text:
    """A verdict in its colour."""
    return Text(word, style=STYLES.get(word, ""))


def table(headings: Sequence[str], rows: Iterable[Sequence[str | Text]], fixed: int = 1) -> Table:
    """A plain table; the first ``fixed`` columns never wrap."""
    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1))
    for position, heading in enumerate(headings):
        made.add_column(heading, no_wrap=position < fixed, overflow="fold")
    for row in rows:
        # What stands in brackets is text, no markup.
        made.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
    return made
