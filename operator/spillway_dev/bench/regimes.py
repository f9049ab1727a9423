"""The regime map: one day of a trace at other prices, start-ups and sizes of the fleet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from spillway.simulate.scenario import load_scenario
from spillway_dev.bench.derive import Change, derive
from spillway_dev.bench.facts import facts_of
from spillway_dev.bench.runs import Bench, Result
from spillway_dev.bench.settings import EXAMPLES, Map

MAX_REPLICAS = 400
"""Large fleets at 15 times the price host nothing."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One point of the map."""

    trace: str
    fleet: str
    startup_s: float
    ratio: float
    result: Result

    @property
    def where(self) -> str:
        """For lists."""
        return f"{self.trace}, {self.fleet} fleet, start-up {self.startup_s:g} s, price ratio {self.ratio:g}"


@dataclass(frozen=True, slots=True)
class Fleet:
    """A trace at one size."""

    trace: str
    name: str
    mean_replicas: float
    peak_replicas: float
    requests: int
    cells: tuple[Cell, ...]

    def at(self, startup_s: float, ratio: float) -> Cell:
        """The cell there."""
        return next(cell for cell in self.cells if (cell.startup_s, cell.ratio) == (startup_s, ratio))


def fleets(bench: Bench, regimes: Sequence[Map]) -> Iterator[Fleet]:
    """Run the map, fleet by fleet."""
    for each in regimes:
        for name, factor in each.fleets:
            yield _fleet(bench, each, name, factor)


def count(regimes: Sequence[Map]) -> int:
    """Fleets of the map."""
    return sum(len(each.fleets) for each in regimes)


def change(regime: Map, fleet: str, factor: float, startup_s: float, ratio: float | None, price: float) -> Change:
    """The scenario of a cell; ``price``: factor on the hosted price that makes the ratio."""
    at = "as priced" if ratio is None else f"{ratio:g}x"
    return Change(
        name=f"{regime.scenario}-{fleet}-{startup_s:g}s-{at.replace(' ', '-')}",
        offset_s=regime.offset_s,
        warmup_s=regime.warmup_s,
        duration_s=regime.duration_s,
        demand_factor=factor,
        hosted_price_factor=price,
        startup_s=startup_s,
        max_replicas=MAX_REPLICAS,
    )


def _fleet(bench: Bench, regime: Map, name: str, factor: float) -> Fleet:
    source, folder = EXAMPLES / f"{regime.scenario}.yaml", bench.folder / "regimes"
    plain = derive(source, change(regime, name, factor, regime.startups_s[0], None, 1.0), folder)
    scenario = load_scenario(plain)
    facts = facts_of(scenario, scenario.seeds[0], bench.store)
    cells = []
    for startup_s in regime.startups_s:
        for ratio in regime.ratios:
            price = ratio / facts.price_ratio
            path = derive(source, change(regime, name, factor, startup_s, ratio, price), folder)
            cells.append(Cell(regime.scenario, name, startup_s, ratio, bench.backtest(path, regime.policies, 1)))
    return Fleet(regime.scenario, name, facts.mean_replicas, facts.peak_replicas, facts.requests, tuple(cells))
