"""docs/benchmarks.md, from what has been run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import spillway
from spillway_dev.bench import tables
from spillway_dev.bench.facts import ITL_SHARE, Facts
from spillway_dev.bench.first_days import FirstDay
from spillway_dev.bench.goals import goals
from spillway_dev.bench.regimes import Fleet
from spillway_dev.bench.settings import SECTIONS, Settings
from spillway_dev.bench.speed import Speed

Result = Mapping[str, Any]


@dataclass(slots=True)
class Findings:
    """All that a benchmark has found; what was not run is empty."""

    settings: Settings
    sections: Sequence[str]
    facts: list[Facts] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    """Scenario by scenario: Spillway, tuned baselines, what is found in hindsight."""
    first_seed: list[Result] = field(default_factory=list)
    """The same scenarios on the first seed: Spillway, baselines at their defaults, variants."""
    fleets: list[Fleet] = field(default_factory=list)
    faults: list[Result] = field(default_factory=list)
    first_days: list[FirstDay] = field(default_factory=list)
    speeds: list[Speed] = field(default_factory=list)
    untuned: Sequence[str] = ()
    """Tuned baselines for which no search has been written down."""
    pages: dict[str, str] = field(default_factory=dict)
    """Scenario to the page beside the document."""


def document(found: Findings) -> str:
    """The whole page."""
    parts = [_head(found), _scenarios(found), _goals(found), _costs(found), _variants(found)]
    parts += [_first_days(found), _regimes(found), _faults(found), _losses(found), _speed(found), _commands(found)]
    return "\n".join(part for part in parts if part)


def _head(found: Findings) -> str:
    quick = found.settings.name == "quick"
    made = "python -m spillway_dev bench --quick" if quick else "make bench"
    left_out = [name for name in SECTIONS if name not in found.sections]
    lines = [
        "# Benchmarks",
        "",
        f"Written by `{made}` (Spillway {spillway.__version__}); every figure is from a run, none by hand.",
        f"Costs are dollars of the scored time, means over {_seeds(found.settings.seeds)}; only costs of policies that "
        "hold the SLO compare, and a cost in (parentheses) is of one that did not, with the attainment of its worst "
        "class, by requests or by tokens. Spillway runs with one configuration everywhere, its defaults. What "
        "scenarios, truth and score are: [backtest.md](backtest.md).",
        "",
        "`@tuned` baselines have the thresholds that `python -m spillway_dev tune` found on "
        "[other, shorter scenarios](../examples/scenarios/tuning) of three of the traces. `static-best`, `cron-best` "
        f"and `clairvoyant-replay` know the whole scored time.{_oracles(found.settings.oracles)}",
    ]
    if found.untuned:
        lines += ["", f"**Not tuned yet, so run with their defaults**: {', '.join(found.untuned)}."]
    if quick:
        lines += ["", "**A quick look**: scenarios are cut short and few policies run; these are no benchmark figures."]
    if left_out:
        lines += ["", f"**Not run this time**: {', '.join(left_out)}."]
    return "\n".join(lines) + "\n"


def _oracles(most: int) -> str:
    if not most:
        return ""
    return (
        f" `@oracle` baselines are tuned in hindsight on the scored time itself: the {most} best tuned pairs of scaler "
        "and spill rule of each scenario, searched on the first seed and run on all."
    )


def _seeds(count: int) -> str:
    return "seed 1" if count == 1 else f"seeds 1 to {count}"


def _scenarios(found: Findings) -> str:
    note = (
        "Figures of the first seed. A replica's work is counted at the cap whose iterations take "
        f"{ITL_SHARE:.0%} of the strictest inter-token objective."
    )
    return f"## Scenarios\n\n{tables.scenarios(found.facts)}\n{note}\n" if found.facts else ""


def _goals(found: Findings) -> str:
    if not found.results:
        return ""
    table = tables.goals(goals(found.results, found.first_days, found.speeds))
    note = "Intervals: paired bootstrap over seeds and days. Met or missed goes by the figure itself."
    return f"## Goals\n\n{table}\n{note}\n"


def _costs(found: Findings) -> str:
    if not found.results:
        return ""
    parts = [
        "## Costs by scenario\n\nBaselines: cost over Spillway's on the same seeds (defaults: the first seed), by "
        "scaler and by the rule by which they spill: the engines' queue limit, an in-flight cap, or a cap and a hold. "
        "Tuned ones that miss the SLO on the first seed are not run on the others.\n"
    ]
    first = {result["scenario"]: result for result in found.first_seed}
    for result in found.results:
        name = result["scenario"]
        page = f" ([page]({found.pages[name]}))" if name in found.pages else ""
        parts.append(f"### {name}{page}\n\n{tables.others(result)}\n{tables.baselines(first.get(name), result)}")
        parts += [f"{policy}: not run, {problem}\n" for policy, problem in (result.get("failed") or {}).items()]
    return "\n".join(parts)


def _variants(found: Findings) -> str:
    if "variants" not in found.sections or not found.first_seed:
        return ""
    note = "Cost over Spillway's as it ships, on the first seed: above 1 is what a part saves."
    return f"## What each part is worth\n\n{note}\n\n{tables.variants(found.first_seed)}"


def _first_days(found: Findings) -> str:
    if not found.first_days:
        return ""
    note = (
        "Cost of a day that begins with an empty memory and one replica, over that of the same day of the trace in "
        "Spillway's own run of the scenario. The declared profile is right, twice as slow, twice as fast, or not there."
    )
    return f"## The first day\n\n{note}\n\n{tables.first_days(found.first_days)}"


def _regimes(found: Findings) -> str:
    if not found.fleets:
        return ""
    note = (
        "One day of a trace (6 hours of warm-up before it, one seed) at other hosted prices (as multiples of the GPU "
        "price of the same work), start-up times and sizes. Spillway's cost over another's: below 1, Spillway is "
        "cheaper. (In parentheses): Spillway missed the SLO; *: the other one did."
    )
    parts = [f"## Regime map\n\n{note}\n"]
    for fleet in found.fleets:
        size = f"{fleet.mean_replicas:.1f} replicas of work in the mean, {fleet.peak_replicas:.1f} at the peak"
        parts.append(f"### {fleet.trace}, {fleet.name} fleet: {size}\n\n{tables.regimes(fleet)}")
    return "\n".join(parts)


def _faults(found: Findings) -> str:
    if not found.faults:
        return ""
    note = "[Two days each](../examples/scenarios/faults). Misses are charged at 3 and 10 times their hosted price."
    return f"## Faults\n\n{note}\n\n{tables.faults(found.faults)}"


def _losses(found: Findings) -> str:
    cells = [cell for fleet in found.fleets for cell in fleet.cells]
    if not found.results and not cells and not found.faults:
        return ""
    note = (
        "Every case above in which Spillway missed the SLO, or in which a policy that held it cost less (by 0.5% or "
        "more; the clairvoyant replay is left out, it stands in the tables)."
    )
    listed = tables.losses([*found.results, *found.faults], cells, found.first_days)
    return f"## Where Spillway loses\n\n{note}\n\n{listed}"


def _speed(found: Findings) -> str:
    if not found.speeds:
        return ""
    note = (
        "`spillway backtest SCENARIO --policy spillway --seeds 1 --jobs 1`, from reading the scenario to the JSON, "
        "requests and bound included. Wall seconds depend on what else the machine does."
    )
    return f"## Speed\n\n{note}\n\n{tables.speeds(found.speeds)}"


def _commands(found: Findings) -> str:
    everything = [*found.results, *found.first_seed, *found.faults]
    if not everything:
        return ""
    generated = "Scenarios that are cut, mapped or of a first day are written into the output folder by the same run."
    listed = "\n".join(result["command"] for result in everything)
    return f"## Commands\n\nEach table is also one of these, on any machine. {generated}\n\n```\n{listed}\n```\n"


def write(path: Path, found: Findings) -> None:
    """Write the document. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document(found), encoding="utf-8")
