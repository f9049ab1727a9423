"""Runs of both sides, in processes of their own; finished ones may be kept on disk."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from spillway.simulate.backtest import shared_requests
from spillway.simulate.backtest.pool import WorkerLostError, cores, run_each
from spillway.simulate.backtest.store import Code, Store, run_key
from spillway.simulate.policy import Known
from spillway.simulate.scenario.errors import ScenarioError
from spillway.simulate.scenario.exchange import workload_hash
from spillway.simulate.sides.ask import Ask, tick_of
from spillway.simulate.sides.figures import RunFigures, figures_of
from spillway.simulate.sides.gateway import Gateway, PlanPolicy
from spillway.simulate.sides.side import Side
from spillway.simulate.sides.traffic import Traffic, part_of
from spillway.simulate.world import Workload, World

Told = Callable[[str], None]
TOLD_SHARE = 0.1
"""Progress is told about this often."""


@dataclass(frozen=True, slots=True)
class Run:
    """One side on the requests of one seed."""

    side: str
    seed: int
    world: World
    known: Known
    gateway: Gateway
    tick_seconds: float
    numbers: dict[int, int]
    """Class of the requests' file to class of the world."""
    folder: Path

    @property
    def mark(self) -> Path:
        """Where it writes how far it is."""
        return self.folder / f"{self.side}-{self.seed}.done"


@dataclass(frozen=True, slots=True)
class Results:
    """By side's name, one for each seed."""

    runs: dict[str, list[RunFigures]]
    requests: int
    """Scored ones of all seeds that either side has."""


def run_all(sides: Sequence[Side], traffic: Traffic, seeds: Sequence[int], ask: Ask, progress: Told) -> Results:
    """Run every side on every seed; sides that are alike once. Raises ScenarioError."""
    store = None if ask.cache is None else Store(ask.cache)
    keys: dict[tuple[str, int], str] = {}
    of_key: dict[str, RunFigures] = {}
    scored = 0
    with tempfile.TemporaryDirectory(prefix="spillway-sides-") as name:
        folder, runs = Path(name), []
        for seed in seeds:
            workload = traffic.demand.workload(seed)
            shared_requests.save(folder, seed, workload)
            scored += int(np.count_nonzero(sides[0].world.scored(workload.arrival_s)))
            for side in sides:
                run = _run_of(side, traffic, seed, ask, folder)
                key = _key(run, part_of(workload, run.numbers))
                kept = None if store is None else store.get(key)
                if kept is not None:
                    of_key[key] = RunFigures.parse(kept)
                elif key not in keys.values():
                    runs.append(run)
                keys[side.name, seed] = key
            progress(f"seed {seed}: {workload.size:,} requests over {traffic.demand.duration_s / 86_400:.1f} days")
        watch = _Watch(runs, progress)
        try:
            for run, figures in run_each(do, runs, ask.jobs or cores(), watch=watch):
                of_key[keys[run.side, run.seed]] = figures
                if store is not None:
                    store.put(keys[run.side, run.seed], asdict(figures))
        except WorkerLostError as error:
            raise ScenarioError(f"replay: {error}") from error
        except OSError as error:
            raise ScenarioError(f"replay: {error.filename or name}: {error.strerror or error}") from error
    return Results({side.name: [of_key[keys[side.name, seed]] for seed in seeds] for side in sides}, scored)


def do(run: Run) -> tuple[Run, RunFigures]:
    """One run, in a worker."""
    from spillway.simulate import fleet  # noqa: PLC0415 - the compiled simulator is slow to import

    workload = part_of(shared_requests.load(run.folder, run.seed), run.numbers)
    policy = PlanPolicy(run.tick_seconds, run.gateway, run.world)
    mark = run.mark

    def tell(share: float) -> None:
        mark.write_text(f"{share:.3f}", encoding="ascii")

    outcome = fleet.simulate(run.world, workload, run.known, policy, run.seed, tell)
    return run, figures_of(run.world, workload, outcome, policy)


def _run_of(side: Side, traffic: Traffic, seed: int, ask: Ask, folder: Path) -> Run:
    numbers = {traffic.keys.index(key): index for index, key in enumerate(side.keys)}
    known = replace(side.known, seed=seed)
    tick = tick_of(ask, side.world.duration_s)
    return Run(side.name, seed, side.world, known, side.gateway, tick, numbers, folder)


def _key(run: Run, workload: Workload) -> str:
    """Of what a run depends on: requests, world, and what the policy is told. The side's name is not part of it."""
    world = {field: repr(getattr(run.world, field)) for field in run.world.__dataclass_fields__}
    requests = workload_hash(workload, [truth.key for truth in run.world.classes])
    return run_key("sides", requests, world, _told(run.known), repr(run.gateway), run.tick_seconds, code=Code.SPILLWAY)


def _told(known: Known) -> list[Any]:
    resources = [known.plan, *known.classes, *(lane.resource for lane in known.own), *known.hosted]
    return [
        *(each.model_dump_json(by_alias=True) for each in resources),
        [lane.startup_mean_s for lane in known.own],
        known.metrics_lag_s,
        sorted(known.gpu_pools.items()),
        known.seed,
    ]


class _Watch:
    """Tells how far the runs are together."""

    def __init__(self, runs: Sequence[Run], progress: Told) -> None:
        self._runs, self._progress, self._next = runs, progress, TOLD_SHARE

    def __call__(self) -> None:
        shares = [_share(run.mark) for run in self._runs]
        share = sum(shares) / len(shares)
        if self._next <= share < 1.0:
            self._progress(f"replayed {share:.0%} of both sides")
            self._next = (math.floor(share / TOLD_SHARE) + 1) * TOLD_SHARE


def _share(mark: Path) -> float:
    try:
        return float(mark.read_text(encoding="ascii") or 0)
    except (OSError, ValueError):
        return 0.0
