"""What is asked of a replay of both sides of a change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from spillway.api import CapacityLane
from spillway.simulate.scenario.model import OwnLaneTruth

TICK_SECONDS = (30.0, 60.0, 120.0, 180.0)
"""The operator's own tick first. Deciding takes nearly all of a replay's time."""
MOST_TICKS = 4_000


@dataclass(frozen=True, slots=True)
class Measured:
    """What measurements elsewhere say of a lane's GPU type and model."""

    truth: OwnLaneTruth
    largest_batch: int
    """Sequences in a batch up to which was measured."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Traffic and settings. `scenario` goes before `traffic`."""

    traffic: Path | None = None
    """Trace, CSV or CSV.gz, of bins or requests; its classes are named as the WorkloadClasses."""
    scenario: Path | None = None
    """A backtest's scenario: traces, truths and time are taken from it, its manifests are not."""
    prometheus_url: str | None = None
    """Of `spillway.cli.diff.history.save`, whose answer is a `scenario`."""
    days: float = 7
    """Scored days out of Prometheus."""
    config: Path | None = None
    """The operator's configuration, for Prometheus."""
    seeds: int = 1
    jobs: int | None = None
    """Processes; None: one for each core."""
    elsewhere: frozenset[str] = frozenset()
    """Keys of WorkloadClasses of other plans: their traffic is not missing here."""
    cache: Path | None = None
    """Folder of finished runs; None: nothing is kept."""
    measured: Callable[[CapacityLane], Measured | None] | None = None
    """Looks a lane up in measurements, where nothing else says what a replica does."""
    tick_seconds: float | None = None
    """Between decisions; None: as `tick_of` has it."""


def tick_of(ask: Ask, duration_s: float) -> float:
    """Seconds between decisions: the shortest that keeps a replay of a week under a minute."""
    if ask.tick_seconds is not None:
        return ask.tick_seconds
    return next((tick for tick in TICK_SECONDS if duration_s / tick <= MOST_TICKS), TICK_SECONDS[-1])
