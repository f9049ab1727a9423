"""`python -m spillway_dev bench`: the benchmark, resumable, and the document that it writes."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import click

from spillway.cli.backtest import RunProgress
from spillway.report.backtest import ResultError
from spillway.simulate.backtest.names import NameUnknownError
from spillway.simulate.backtest.pool import WorkerLostError, cores
from spillway.simulate.backtest.store import Store
from spillway.simulate.baselines.catalogue import BaselineError
from spillway.simulate.scenario import ScenarioError
from spillway_dev.bench.document import Findings, write
from spillway_dev.bench.runs import Bench
from spillway_dev.bench.settings import FULL, QUICK, ROOT, SCENARIOS, SECTIONS
from spillway_dev.bench.speed import CommandFailedError
from spillway_dev.bench.stages import stages

FOLDER = ROOT / ".bench"


class StageProgress(RunProgress):
    """The progress of `spillway backtest`, with the stage before each line."""

    stage = ""

    def note(self, text: str) -> None:
        """Shown while it lasts."""
        super().note(f"{self.stage}: {text}")

    def finished(self, label: str, error: str | None) -> None:
        """One run more."""
        super().finished(f"{self.stage}: {label}", error)


@click.command()
@click.option("--quick", is_flag=True, help="One seed, two days, few policies; written into the output folder.")
@click.option("--section", "sections", multiple=True, type=click.Choice(SECTIONS), help="Default: all.")
@click.option("--scenario", "scenarios", multiple=True, type=click.Choice(SCENARIOS), help="Default: all.")
@click.option("--jobs", type=click.IntRange(1, 256), help="Runs side by side. Default: one for each core.")
@click.option("--cache", type=click.Path(path_type=Path), default=ROOT / ".spillway-backtest", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=FOLDER, show_default=True, help="Output folder.")
@click.option(
    "--to", type=click.Path(path_type=Path), help="The document. Default: docs/benchmarks.md; quick: in --out."
)
def bench(
    quick: bool,
    sections: tuple[str, ...],
    scenarios: tuple[str, ...],
    jobs: int | None,
    cache: Path,
    out: Path,
    to: Path | None,
) -> None:
    """Run the benchmark and write docs/benchmarks.md. After an interrupt the same command goes on where it stopped."""
    settings = QUICK if quick else FULL
    if scenarios:
        settings = replace(settings, scenarios=scenarios, timed=tuple(n for n in settings.timed if n in scenarios))
    partial = bool(scenarios or sections)
    target = to or (out / "benchmarks.md" if quick or partial else ROOT / "docs" / "benchmarks.md")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    listener = StageProgress()
    listener.folder = cache
    found = Findings(settings, sections or SECTIONS)
    try:
        plan = stages(Bench(Store(cache), jobs or cores(), listener, out), settings, found, target.with_suffix(""))
        for number, stage in enumerate(plan, start=1):
            listener.stage = f"{number}/{len(plan)} {stage.name}"
            listener.note("begins")
            stage.run()
            write(out / "so-far.md", found)
        write(target, found)
    except (
        NameUnknownError, ScenarioError, BaselineError, WorkerLostError, ResultError, CommandFailedError, OSError,
    ) as error:  # fmt: skip
        raise click.ClickException(" ".join(str(error).split())) from error
    except KeyboardInterrupt:
        listener.stop()
        raise click.ClickException(f"interrupted: {listener.kept()}") from None
    finally:
        listener.stop()
    click.echo(f"written: {target}")
