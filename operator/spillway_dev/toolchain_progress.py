"""Progress of a long build: a live line per tool on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

PLAIN_INTERVAL_SECONDS = 15.0


class BuildProgress(Protocol):
    """What a build tells while it runs. One step is open at a time."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def note(self, line: str) -> None:
        """A line that stays."""

    def begin(self, name: str, position: int, count: int) -> None:
        """Step `position` of `count` starts."""

    def advance(self, done: int, total: int, unit: str) -> None:
        """`done` of `total` units of the open step are finished."""

    def end(self) -> None:
        """The open step is finished."""


def build_progress() -> BuildProgress:
    """The live view where standard output is a terminal, else plain lines."""
    return LiveProgress() if sys.stdout.isatty() else PlainProgress()


class PlainProgress:
    """One line when a step begins, one every 15 s, one when it ends."""

    def __init__(self) -> None:
        self._label = ""
        self._began = 0.0
        self._spoke = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def note(self, line: str) -> None:
        print(line, flush=True)

    def begin(self, name: str, position: int, count: int) -> None:
        self._label = f"[{position}/{count}] {name}"
        self._began = self._spoke = time.monotonic()
        self.note(f"{self._label}: started")

    def advance(self, done: int, total: int, unit: str) -> None:
        now = time.monotonic()
        if now - self._spoke >= PLAIN_INTERVAL_SECONDS:
            self._spoke = now
            self.note(f"{self._label}: {done} of {total} {unit}, {now - self._began:.0f} s")

    def end(self) -> None:
        self.note(f"{self._label}: done in {time.monotonic() - self._began:.0f} s")


class LiveProgress:
    """A bar per step that stays when the step is finished."""

    def __init__(self) -> None:
        self._progress = Progress(
            SpinnerColumn(finished_text="[green]✓[/]"),
            TextColumn("{task.fields[position]}"),
            TextColumn("{task.description:<24}"),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[detail]}"),
            TimeElapsedColumn(),
            console=Console(),
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def note(self, line: str) -> None:
        self._progress.console.print(line, highlight=False, markup=False)

    def begin(self, name: str, position: int, count: int) -> None:
        self._task = self._progress.add_task(name, total=None, position=f"{position}/{count}", detail="")

    def advance(self, done: int, total: int, unit: str) -> None:
        if self._task is not None:
            self._progress.update(self._task, total=total, completed=done, detail=f"{done}/{total} {unit}")

    def end(self) -> None:
        if self._task is not None:
            self._progress.update(self._task, total=1, completed=1, detail="")
            self._task = None
