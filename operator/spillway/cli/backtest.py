"""``spillway backtest``: policies side by side on a scenario."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import math
import os
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import click
from click.core import ParameterSource
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from spillway.report import backtest as report
from spillway.simulate.backtest.names import SCALERS, NameUnknownError, PolicyName, Spill, Tuning, parse_names
from spillway.simulate.backtest.pool import WorkerLostError, cores
from spillway.simulate.backtest.runner import backtest
from spillway.simulate.backtest.session import Exchange, Listener, Session
from spillway.simulate.backtest.store import Store
from spillway.simulate.baselines.catalogue import VARIANTS, BaselineError
from spillway.simulate.baselines.tuned import is_tuned
from spillway.simulate.scenario import Scenario, ScenarioError, load_scenario
from spillway.simulate.scenario.errors import NUMBA_MISSING

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for on the command line."""

    policies: tuple[str, ...]
    spill: str
    seeds: int | None
    jobs: int | None
    cache: Path
    output: str
    to: Path | None
    requests: Path | None
    dump_requests: Path | None
    no_color: bool


HISTORY_OPTIONS = ("plan", "days", "manifests", "config", "save", "connection")
HISTORY_PARAMETERS = (*HISTORY_OPTIONS, "kubeconfig", "context")


def command(path: Path | None, asked: dict[str, Any]) -> int:
    """The command with its options by name; returns the exit status. Raises click.ClickException with one line."""
    history = {name: asked.pop(name) for name in HISTORY_OPTIONS}
    url = asked.pop("from_prometheus")
    if (path is None) == (url is None):
        raise click.UsageError("give a SCENARIO, or --from-prometheus URL")
    if url is None:
        _refuse_history_options()
    if url is not None:
        from spillway.cli.backtest_history import HistoryRequest, save_history  # noqa: PLC0415 - slow to import

        try:
            path = asyncio.run(save_history(HistoryRequest(url=url, **history)))
        except ScenarioError as error:
            raise click.ClickException(str(error)) from error
    assert path is not None  # noqa: S101 - one of the two is there
    return run_backtest(path, Request(**asked))


def _refuse_history_options() -> None:
    """An option without effect would mislead."""
    context = click.get_current_context()
    for option in context.command.params:
        given = context.get_parameter_source(option.name or "") is ParameterSource.COMMANDLINE
        if given and option.name in HISTORY_PARAMETERS:
            raise click.UsageError(f"{option.opts[0]} belongs to --from-prometheus; a SCENARIO has all of that in it")


def run_backtest(path: Path, request: Request) -> int:
    """Run one scenario; returns the exit status. Raises click.ClickException with one line."""
    if importlib.util.find_spec("numba") is None:
        raise click.ClickException(NUMBA_MISSING)
    try:
        names = _names(request)
        scenario = load_scenario(path)
        _check_outputs(request)
    except NameUnknownError as error:
        raise click.UsageError(str(error)) from error
    except ScenarioError as error:
        raise click.ClickException(str(error)) from error
    for warning in (*scenario.warnings, *_untuned(names)):
        click.echo(f"warning: {warning}", err=True)
    with _listening() as listener, _interruptible():
        try:
            return _run(scenario, names, request, listener)
        except (ScenarioError, BaselineError, WorkerLostError, report.ResultError) as error:
            raise click.ClickException(str(error)) from error
        except KeyboardInterrupt:
            listener.stop()
            click.echo(f"interrupted: {listener.kept()}", err=True)
            return EXIT_INTERRUPTED


def _check_outputs(request: Request) -> None:
    """What can't be written is said before anything is run. Raises click.ClickException."""
    for option, path in (("--to", request.to), ("--dump-requests", request.dump_requests)):
        if path is not None and (problem := _unwritable(path)):
            raise click.ClickException(f"{option} {path}: cannot be written: {problem}; name another file")
    try:
        request.cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=request.cache):
            pass
    except OSError as error:
        raise click.ClickException(
            f"--cache {request.cache}: cannot be written: {error.strerror or error}; name another folder with --cache"
        ) from error


def _unwritable(path: Path) -> str:
    if not path.parent.is_dir():
        return f"there is no folder {path.parent}"
    return "" if os.access(path if path.exists() else path.parent, os.W_OK) else "permission denied"


def _untuned(names: Sequence[PolicyName]) -> Iterator[str]:
    """Baselines that are asked for tuned, and never were."""
    missing = [
        f"{name.scaler}@tuned+{name.spill}"
        for name in names
        if name.tuning is Tuning.TUNED and name.spill is not None and not is_tuned(name.scaler, name.spill)
    ]
    if missing:
        yield f"never tuned, so run with their defaults: {', '.join(missing)}"


def _run(scenario: Scenario, names: Sequence[PolicyName], request: Request, listener: RunProgress) -> int:
    listener.folder = request.cache
    seeds = _seeds(scenario, request.seeds)
    with Session(scenario, seeds, request.jobs or cores(), Store(request.cache), listener) as session:
        session.exchange(Exchange(request.requests, request.dump_requests))
        if not names:
            listener.stop()
            for seed, value in session.hashes().items():
                click.echo(f"seed {seed}: requests {value}", err=True)
            return 0
        result = _finite(backtest(session, names, _command()))
    listener.stop()
    _write(result, request)
    for name, problem in result["failed"].items():
        click.echo(f"error: policy {name}: {problem}", err=True)
    return EXIT_FAILED if result["failed"] else 0


def _names(request: Request) -> list[PolicyName]:
    """The policies; none where only the requests are wanted."""
    spills = [part.strip() for part in request.spill.split(",") if part.strip()]
    for part in spills:
        if part not in tuple(Spill):
            raise NameUnknownError(f"--spill: {part!r} is unknown; known: {', '.join(Spill)}")
    if not spills:
        raise NameUnknownError(f"--spill: name one rule or more: {', '.join(Spill)}")
    if not request.policies and request.dump_requests is not None:
        return []
    policies = request.policies or ("spillway",)
    return parse_names(policies, [Spill(part) for part in spills], (*SCALERS, *VARIANTS))


def _seeds(scenario: Scenario, wanted: int | None) -> list[int]:
    """The first of the scenario's seeds; further ones count up from the highest."""
    seeds = list(scenario.seeds)
    if wanted is None:
        return seeds
    return (seeds + [max(seeds) + 1 + extra for extra in range(wanted)])[:wanted]


def _command() -> str:
    return shlex.join(["spillway", *sys.argv[1:]])


def _finite(value: Any) -> Any:
    """The same without what JSON can't say: an infinite ratio is null."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _write(result: dict[str, Any], request: Request) -> None:
    if request.output == "json":
        text = json.dumps(result, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    elif request.output == "html":
        text = report.html(result)
    else:
        colour = request.to is None and not request.no_color and Console().color_system is not None
        text = report.table(result, colour=colour and sys.stdout.isatty())
    if request.to is None:
        click.echo(text, nl=False)
    else:
        request.to.write_text(text, encoding="utf-8")


class RunProgress(Listener):
    """A bar on a terminal's standard error, else a line for each finished run."""

    def __init__(self) -> None:
        self.folder = Path()
        self._total = self._done = self._saved = 0
        self._started = time.monotonic()
        console = Console(stderr=True)
        self._bar: Progress | None = None
        if console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
            times = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
            self._bar = Progress(*columns, *times, console=console, transient=True)
            self._task = self._bar.add_task("runs", total=None)
            self._bar.start()

    def planned(self, runs: int, kept: int) -> None:
        """More runs."""
        self._total += runs
        self._done += kept
        if self._bar is not None:
            self._bar.update(self._task, total=self._total, completed=self._done)
        elif kept:
            click.echo(f"{kept} of {runs} runs are kept from before in {self.folder}", err=True)

    def note(self, text: str) -> None:
        """Shown while it lasts."""
        if self._bar is not None:
            self._bar.update(self._task, description=text)
        else:
            click.echo(text, err=True)

    def finished(self, label: str, error: str | None) -> None:
        """One run more."""
        self._done += 1
        self._saved += error is None
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done, description=label)
            return
        seconds = time.monotonic() - self._started
        outcome = "done" if error is None else f"failed: {error}"
        click.echo(f"{self._done}/{self._total} {label}: {outcome} ({seconds:.0f} s)", err=True)

    def stop(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()

    def kept(self) -> str:
        """What an interrupt leaves."""
        if not self._done:
            return "nothing is finished yet"
        return (
            f"{self._done} of {self._total} runs are finished, {self._saved} of them now, and kept in {self.folder}; "
            "the same command goes on from there"
        )


@contextmanager
def _listening() -> Iterator[RunProgress]:
    listener = RunProgress()
    try:
        yield listener
    finally:
        listener.stop()


@contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C and SIGTERM both end a backtest in order, also where the shell had them ignored."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before: dict[signal.Signals, Callable[[int, FrameType | None], Any] | int | None] = {
        number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
