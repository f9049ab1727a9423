"""Options that several commands have, and how a list of options becomes one decorator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

Command = Callable[..., Any]
Decorator = Callable[[Command], Command]

HISTORY_DAYS = click.option(
    "--days", type=click.FloatRange(0.02, 60), default=7, show_default=True, help="How many days of history, to now."
)


def together(options: Sequence[Decorator]) -> Decorator:
    """All of them, in this order in --help; the command gets each under its name."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate
