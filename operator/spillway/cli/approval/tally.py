"""What has come of the objects of one command, so that an interruption can say what is done and what is not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import click

from spillway.act.approval.interruption import INTERRUPTIONS
from spillway.cli.approval.find import Place
from spillway.cli.approval.show import plain
from spillway.cli.output import Form, print_json

JSON = dict[str, Any]


@dataclass(slots=True)
class Tally:
    """The answers so far, in the order of the places."""

    form: Form
    places: Sequence[Place] = ()
    answers: list[JSON] = field(default_factory=list)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Prints the answers as one JSON document where that is asked for, after an interruption, too.

        An interruption says on standard error what it leaves, and goes on.
        """
        try:
            yield
        except (*INTERRUPTIONS, click.Abort) as error:
            self._print()
            for line in self._left(_notes(error)):
                click.echo(plain(line), err=True)
            raise
        self._print()

    def _print(self) -> None:
        if self.form.as_json:
            print_json(self.answers)

    def _left(self, notes: Sequence[str]) -> Iterator[str]:
        """``notes`` speak of the object that was being written, if one was."""
        names = [f"{namespace}/{name}" for namespace, name in self.places]
        done = len(self.answers)
        yield from notes
        if done < len(names) and not notes:
            yield f"{names[done]}: nothing was written"
        if len(names) == 1:
            return
        if done:
            told = (f"{name} ({answer['result']})" for name, answer in zip(names, self.answers, strict=False))
            yield f"done: {', '.join(told)}"
        if names[done + 1 :]:
            yield f"not begun: {', '.join(names[done + 1 :])}"


def _notes(error: BaseException | None) -> list[str]:
    """Also those of what it took the place of: a second Ctrl-C, or the end of a connection, raises another."""
    found: list[str] = []
    while error is not None:
        found = [*getattr(error, "__notes__", []), *found]
        error = error.__context__
    return found
