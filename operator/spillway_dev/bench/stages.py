"""The stages of a benchmark, one after another; each adds to what is found."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from spillway.report import backtest as report
from spillway.simulate.baselines.tuned import is_tuned
from spillway.simulate.scenario import load_scenario
from spillway_dev.bench.derive import Change, derive
from spillway_dev.bench.document import Findings
from spillway_dev.bench.facts import facts_of
from spillway_dev.bench.first_days import first_day
from spillway_dev.bench.goals import candidates
from spillway_dev.bench.regimes import fleets
from spillway_dev.bench.runs import Bench, Result
from spillway_dev.bench.settings import EXAMPLES, Map, Settings
from spillway_dev.bench.speed import speed_of

PAGE_BYTES = 300_000
"""Larger pages stay out of the repository."""
PAGE_TIMELINES = 3


@dataclass(frozen=True, slots=True)
class Stage:
    """Something to run; its name is shown while it lasts."""

    name: str
    run: Callable[[], None]


def stages(bench: Bench, settings: Settings, found: Findings, pages: Path) -> list[Stage]:
    """What is to be done, in order; `pages` is the folder of pages beside the document."""
    made = list(_scenario_stages(bench, settings, found, pages))
    if "faults" in found.sections:
        made += [_fault_stage(bench, settings, name, found) for name in settings.faults]
    if "speed" in found.sections:
        made += [_speed_stage(bench, name, found) for name in settings.timed]
    if "map" in found.sections:
        made += [_map_stage(bench, regime, found) for regime in settings.maps]
    return made


def scenario_path(bench: Bench, settings: Settings, name: str) -> Path:
    """The scenario's file, or one that is cut to the settings' span."""
    source = EXAMPLES / f"{name}.yaml"
    if settings.span_s is None:
        return source
    warmup_s, duration_s = settings.span_s
    if load_scenario(source).world.duration_s <= duration_s:
        return source
    return derive(source, Change(name, warmup_s=warmup_s, duration_s=duration_s), bench.folder / settings.name)


def _scenario_stages(bench: Bench, settings: Settings, found: Findings, pages: Path) -> Iterator[Stage]:
    wanted = {"scenarios", "variants", "first-day"} & set(found.sections)
    for name in settings.scenarios if wanted else ():
        yield Stage(name, lambda name=name: _scenario(bench, settings, name, found, pages))  # type: ignore[misc]


def _scenario(bench: Bench, settings: Settings, name: str, found: Findings, pages: Path) -> None:
    path = scenario_path(bench, settings, name)
    scenario = load_scenario(path)
    found.facts.append(facts_of(scenario, scenario.seeds[0], bench.store))
    whole: Result | None = None
    if "scenarios" in found.sections:
        whole = bench.compare(path, ["spillway", *settings.hindsight], settings.tuned, settings.seeds)
        whole = bench.with_oracles(path, whole, settings.oracles)
        found.results.append(whole)
        found.untuned = sorted({*found.untuned, *untuned(whole)})
        _save(bench, whole, found, pages)
    defaults = settings.defaults if "scenarios" in found.sections else ()
    varied = "variants" in found.sections and name in settings.variant_scenarios
    variants = settings.variants if varied else ()
    if defaults or variants:
        found.first_seed.append(bench.backtest(path, ["spillway", *defaults, *variants], 1))
    if "first-day" in found.sections and settings.first_day is not None:
        whole = whole or bench.backtest(path, ["spillway"], settings.seeds)
        day = first_day(bench, path, whole, settings.first_day)
        found.first_days += [] if day is None else [day]


def untuned(result: Result) -> list[str]:
    """Its tuned baselines for which no search has been written down."""
    entries = {name: e for name, e in result["policies"].items() if e["tuning"] == "tuned"}
    return [name for name, entry in entries.items() if not is_tuned(entry["scaler"], entry["spill"])]


def _map_stage(bench: Bench, regime: Map, found: Findings) -> Stage:
    return Stage(f"regime map of {regime.scenario}", lambda: found.fleets.extend(fleets(bench, [regime])))


def _fault_stage(bench: Bench, settings: Settings, name: str, found: Findings) -> Stage:
    path = EXAMPLES / "faults" / f"{name}.yaml"

    def run() -> None:
        found.faults.append(bench.backtest(path, settings.fault_policies, settings.seeds))

    return Stage(f"fault {name}", run)


def _speed_stage(bench: Bench, name: str, found: Findings) -> Stage:
    def run() -> None:
        found.speeds.append(speed_of(EXAMPLES / f"{name}.yaml", bench.store))

    return Stage(f"time of {name}", run)


def _save(bench: Bench, result: Result, found: Findings, pages: Path) -> None:
    """The result as JSON in the output folder, and as a page beside the document where it is small enough."""
    bench.folder.mkdir(parents=True, exist_ok=True)
    name = result["scenario"]
    text = json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False)
    (bench.folder / f"{name}.json").write_text(text, encoding="utf-8")
    page = report.html({**result, "timelines": _shown(result)})
    if len(page.encode()) <= PAGE_BYTES:
        pages.mkdir(parents=True, exist_ok=True)
        (pages / f"{name}.html").write_text(page, encoding="utf-8")
        found.pages[name] = f"{pages.name}/{name}.html"
    else:
        (bench.folder / f"{name}.html").write_text(page, encoding="utf-8")


def _shown(result: Result) -> dict[str, object]:
    """Time lines of Spillway and of the cheapest that held the SLO."""
    held = [(entry["cost_usd"], name) for name, entry in candidates(result).items() if entry["slo_held"]]
    wanted: Sequence[str] = ["spillway", *(name for _, name in sorted(held))]
    lines = result["timelines"]
    return {name: lines[name] for name in [name for name in wanted if name in lines][:PAGE_TIMELINES]}
