"""`python -m spillway_dev diffcheck`: how far a diff's predicted dollars are from the backtest of each side.

A prediction is one seed at a coarse tick, with the bindings of the plan. The backtest is `spillway backtest`'s own run
of the same side: a scenario on disk, a tick of 30 s, several seeds, and weights alone as the plan's gateway has them.
"""

from __future__ import annotations

import gzip
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import click
import yaml

from spillway.advise.review.effect import HOURS_PER_MONTH, Effect
from spillway.api import API_VERSION, CapacityLane
from spillway.cli.backtest import RunProgress
from spillway.cli.diff.prices import pinned
from spillway.cli.diff.sizes import measured
from spillway.simulate.backtest.jobs import Job, score_of
from spillway.simulate.backtest.pool import WorkerLostError, cores
from spillway.simulate.backtest.session import Session
from spillway.simulate.backtest.store import Store
from spillway.simulate.scenario import ScenarioError, load_scenario
from spillway.simulate.score import scored_seconds
from spillway.simulate.sides import Ask, replay
from spillway.simulate.sides.side import lanes_of, read_side
from spillway.simulate.sides.traffic import Source, source_of
from spillway.simulate.sides.truths import truths_of

PULL_REQUESTS = Path("examples/gitops/pull-requests")
POLICY = "spillway-no-cap"
HEADER = (
    "| pull request | head, predicted $ a month | backtested | off by | difference, predicted (95%) | backtested | "
    "off by, of the base | replay, s |\n|---|---|---|---|---|---|---|---|"
)
Document = dict[str, Any]
Lanes = Mapping[str, CapacityLane]


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is run, and where it is kept."""

    seeds: int
    jobs: int
    cache: Path
    keep: bool
    """Whether replays are kept, too."""


@dataclass(frozen=True, slots=True)
class Checked:
    """One pull request: dollars a month, predicted and backtested."""

    name: str
    effect: Effect
    base_usd: float
    head_usd: float

    @property
    def row(self) -> str:
        """A line of the table."""
        predicted, difference = self.effect.head.usd_per_month.value, self.effect.difference
        told = self.head_usd - self.base_usd
        return (
            f"| {self.name} | {predicted:,.0f} | {self.head_usd:,.0f} | {predicted / self.head_usd - 1:+.1%} | "
            f"{difference.value:+,.0f} ({difference.low:+,.0f} to {difference.high:+,.0f}) | {told:+,.0f} | "
            f"{(difference.value - told) / self.base_usd:+.1%} | {self.effect.replay_seconds:.0f} |"
        )


@click.command()
@click.option("--pull-requests", "folder", type=click.Path(path_type=Path), default=PULL_REQUESTS, show_default=True)
@click.option("--only", multiple=True, help="Names of pull requests. Default: all.")
@click.option("--seeds", type=click.IntRange(1, 100), default=3, show_default=True, help="Of the backtests.")
@click.option("--jobs", type=click.IntRange(1, 256), help="Runs side by side. Default: one for each core.")
@click.option("--days", type=click.IntRange(1, 365), help="The traffic's first days, warm-up included. Default: all.")
@click.option("--cache", type=click.Path(path_type=Path), default=".spillway-backtest", show_default=True)
@click.option("--keep-replays", is_flag=True, help="Keep replays as well: none is timed then that is kept.")
def diffcheck(folder: Path, only: tuple[str, ...], days: int | None, cache: Path, **asked: Any) -> None:
    """Replay each pull request as `spillway diff` does, backtest both of its sides, and print how far apart they are.

    Backtests are kept in the cache and go on where they stopped; replays are done anew, and timed.
    """
    names = sorted(path.parent.name for path in folder.glob("*/head"))
    if unknown := set(only) - set(names):
        raise click.UsageError(f"--only {', '.join(unknown)}: there is no such pull request in {folder}")
    click.echo(HEADER)
    extent = Extent(asked["seeds"], asked["jobs"] or cores(), cache, asked["keep_replays"])
    with tempfile.TemporaryDirectory(prefix="spillway-diffcheck-") as made:
        traffic = folder / "traffic.csv.gz" if days is None else _cut(folder / "traffic.csv.gz", days, Path(made))
        for name in only or names:
            try:
                checked = _check(folder / name, traffic, extent)
            except (ScenarioError, WorkerLostError) as error:
                raise click.ClickException(f"{name}: {error}") from error
            click.echo(checked.row)


def _cut(traffic: Path, days: int, folder: Path) -> Path:
    """The trace's first days, under the same name: a backtest draws requests by it, a replay as if it had it."""
    end = days * 86_400
    with gzip.open(traffic, "rt", encoding="utf-8") as lines:
        header, *rows = lines.readlines()
    path = folder / traffic.name
    with gzip.open(path, "wt", encoding="utf-8") as out:
        out.writelines([header, *(row for row in rows if float(row.partition(",")[0]) < end)])
    return path


def _check(path: Path, traffic: Path, extent: Extent) -> Checked:
    now = time.time()
    base, head = (pinned(_documents(path / side), now) for side in ("base", "head"))
    ask = Ask(traffic=traffic, measured=measured, jobs=extent.jobs, cache=extent.cache if extent.keep else None)
    effect = replay(base, head, ask, lambda line: click.echo(f"{path.name}: {line}", err=True))
    source = source_of(ask)
    lanes = lanes_of(read_side("base", base)), lanes_of(read_side("head", head))
    usd = [
        _backtested(f"{path.name} {side}", _scenario(documents, lanes, source), documents, extent)
        for side, documents in (("base", base), ("head", head))
    ]
    return Checked(path.name, effect, usd[0], usd[1])


def _documents(folder: Path) -> list[Document]:
    return [
        document
        for path in sorted(folder.glob("*.yaml"))
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
        if document is not None and document.get("apiVersion") == API_VERSION
    ]


def _scenario(documents: Sequence[Document], both: tuple[Lanes, Lanes], source: Source) -> Document:
    """A scenario file with the truths that the replay takes."""
    resources = read_side("side", documents)
    truths = truths_of(resources.own, resources.hosted, both, source, measured)
    (entry,) = source.file.traces
    return {
        "apiVersion": API_VERSION,
        "kind": "Scenario",
        "metadata": {"name": "side"},
        "manifests": ["manifests.yaml"],
        "traces": [{"file": str(entry.file), "classes": dict(entry.classes)}],
        "truth": {name: _plain(truth) for name, truth in truths.own.items()},
        "hosted": {name: _plain(truth) for name, truth in truths.hosted.items()},
        "time": _plain(source.file.time),
    }


def _plain(model: Any) -> Document:
    found: Document = model.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return found


def _backtested(label: str, scenario: Document, documents: Sequence[Document], extent: Extent) -> float:
    """Mean dollars a month over the seeds."""
    folder = Path(tempfile.mkdtemp(prefix="spillway-diffcheck-"))
    listener = RunProgress()
    try:
        (folder / "manifests.yaml").write_text(yaml.safe_dump_all(documents), encoding="utf-8")
        (folder / "scenario.yaml").write_text(yaml.safe_dump(scenario), encoding="utf-8")
        loaded = load_scenario(folder / "scenario.yaml")
        listener.note(f"{label}: backtest of {extent.seeds} seeds")
        wanted = [Job(POLICY, seed) for seed in range(1, extent.seeds + 1)]
        seeds = [job.seed for job in wanted]
        with Session(loaded, seeds, extent.jobs, Store(extent.cache), listener) as session:
            scores = [score_of(document) for document in session.documents(wanted).values()]
        return fmean(score.cost_usd for score in scores) * HOURS_PER_MONTH * 3600.0 / scored_seconds(loaded.world)
    finally:
        listener.stop()
        shutil.rmtree(folder, ignore_errors=True)
