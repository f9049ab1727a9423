"""Benchmark tables in Markdown: goal by goal, scenario by scenario, and where Spillway loses."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spillway.report.backtest.result import Comparison, Row, comparison_of, ratio
from spillway.report.backtest.text import MISSING, dollars, percent, times

LOSS = 1.0
"""Spillway loses where it costs more than this multiple of a policy that held the SLO."""


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure that is promised, and the one that came out."""

    what: str
    promised: str
    measured: str
    met: bool | None
    """None: not measured."""
    where: str = ""
    """The scenario behind a worst case, or what is missing."""


def goals(results: Iterable[Mapping[str, Any]], more: Sequence[Goal] = ()) -> str:
    """Every goal that scenarios can tell, with its figure, met or not; ``more`` are goals measured elsewhere."""
    found = [*_goals([comparison_of(result) for result in results]), *more]
    rows = [(goal.what, goal.promised, goal.measured, _word(goal.met), goal.where) for goal in found]
    return _table(("goal", "promised", "measured", "", "where"), rows, right=(1, 2))


def ratios(results: Iterable[Mapping[str, Any]]) -> str:
    """Scenario by policy: cost over Spillway's. Below 1 is cheaper than Spillway; a policy that missed the SLO is
    in parentheses.
    """
    comparisons = [comparison_of(result) for result in results]
    names = sorted({row.name for each in comparisons for row in each.rows if not row.own})
    rows = [_ratio_row(name, comparisons) for name in names]
    rows += [
        ("clairvoyant-replay", *(times(_over(each.replay_usd, each)) for each in comparisons)),
        ("bound", *(times(_over(each.bound_usd, each)) for each in comparisons)),
    ]
    own = ("**spillway**", *(_own_cell(each) for each in comparisons))
    return _table(
        ("policy", *(each.scenario for each in comparisons)), [own, *rows], right=range(1, len(comparisons) + 1)
    )


def losses(results: Iterable[Mapping[str, Any]]) -> str:
    """Every case in which Spillway missed the SLO, or another policy that held it was cheaper."""
    lines: list[str] = []
    for each in map(comparison_of, results):
        own = each.spillway
        if own is None:
            continue
        if not own.held:
            lines.append(f"- **{each.scenario}**: Spillway missed the SLO ({percent(own.attainment)} attained).")
        cheaper = [
            row for row in each.rows if row.held and not row.variant and row.usd > 0 and own.usd / row.usd > LOSS
        ]
        lines += [
            f"- **{each.scenario}**: {row.name} held the SLO for {dollars(row.usd)}, Spillway took {dollars(own.usd)} "
            f"({times(own.usd / row.usd)}){'; chosen in hindsight' if row.hindsight else ''}."
            for row in cheaper
        ]
    return "\n".join(lines or ["No policy that held the SLO was cheaper in any scenario."]) + "\n"


def document(results: Sequence[Mapping[str, Any]], more: Sequence[Goal] = ()) -> str:
    """The three tables with their headings (level 2)."""
    parts = (
        ("Goals", goals(results, more)),
        (
            "Costs by scenario",
            "Cost as a multiple of Spillway's; in parentheses: missed the SLO, so its cost compares to nothing.\n\n"
            + ratios(results),
        ),
        ("Where Spillway loses", losses(results)),
    )
    return "\n".join(f"## {heading}\n\n{body}" for heading, body in parts)


def _goals(comparisons: Sequence[Comparison]) -> list[Goal]:
    tuned = _tuning("tuned")
    return [
        _slo_goal(comparisons),
        _mean_goal("cost / best `@tuned` with queue overflow", 0.70, comparisons, _both(tuned, _spills("queue"))),
        _mean_goal("cost / best `@tuned` with queue or cap", 0.90, comparisons, _both(tuned, _spills("queue", "cap"))),
        _mean_goal("cost / best `@oracle`, any actuator", 0.97, comparisons, _tuning("oracle")),
        _worst_goal("cost / best `@tuned`", 1.02, comparisons, tuned),
        _worst_goal("cost / api-only", 1.0, comparisons, lambda row: row.scaler == "api-only"),
        _worst_goal("cost / static-best", 1.0, comparisons, lambda row: row.scaler == "static-best"),
        *_replay_goals(comparisons),
    ]


def _slo_goal(comparisons: Sequence[Comparison]) -> Goal:
    own = [(each.scenario, each.spillway) for each in comparisons]
    missed = [name for name, row in own if row is None or not row.held]
    measured = f"{len(own) - len(missed)} of {len(own)}"
    return Goal("SLO held, every scenario", "all", measured, not missed if own else None, ", ".join(missed))


def _mean_goal(what: str, promised: float, comparisons: Sequence[Comparison], among: Callable[[Row], bool]) -> Goal:
    found = _against(comparisons, among)
    values = [value for _, value in found]
    return _judged(f"geometric mean of {what}", promised, _geometric(values), _lacking(comparisons, found))


def _worst_goal(what: str, promised: float, comparisons: Sequence[Comparison], among: Callable[[Row], bool]) -> Goal:
    found = _against(comparisons, among)
    name, value = max(found, key=lambda pair: pair[1], default=("", None))
    return _judged(f"worst of {what}", promised, value, "; ".join(filter(None, (name, _lacking(comparisons, found)))))


def _replay_goals(comparisons: Sequence[Comparison]) -> list[Goal]:
    found = [
        (each.scenario, value)
        for each in comparisons
        if each.spillway is not None and (value := ratio(each.spillway.usd, each.replay_usd)) is not None
    ]
    name, worst = max(found, key=lambda pair: pair[1], default=("", None))
    what, lacking = "cost / clairvoyant-replay", _lacking(comparisons, found)
    mean = _geometric([value for _, value in found])
    return [
        _judged(f"geometric mean of {what}", 1.05, mean, lacking),
        _judged(f"worst of {what}", 1.12, worst, "; ".join(filter(None, (name, lacking)))),
    ]


def _judged(what: str, promised: float, value: float | None, where: str) -> Goal:
    met = None if value is None else value <= promised
    return Goal(what, f"≤ {promised:.2f}", MISSING if value is None else f"{value:.3f}", met, where)


def _against(comparisons: Sequence[Comparison], among: Callable[[Row], bool]) -> list[tuple[str, float]]:
    """Spillway's cost over the cheapest of those, that held the SLO, by scenario."""
    found = []
    for each in comparisons:
        rows = [row for row in each.rows if not row.variant and among(row) and row.held]
        best = min((row.usd for row in rows), default=None)
        value = None if each.spillway is None else ratio(each.spillway.usd, best)
        if value is not None:
            found.append((each.scenario, value))
    return found


def _lacking(comparisons: Sequence[Comparison], found: Sequence[tuple[str, float]]) -> str:
    """Scenarios that could not be compared must be seen."""
    names = {name for name, _ in found}
    missing = [each.scenario for each in comparisons if each.scenario not in names]
    return f"nothing to compare in {', '.join(missing)}" if missing else ""


def _tuning(tuning: str) -> Callable[[Row], bool]:
    return lambda row: row.tuning == tuning


def _spills(*rules: str) -> Callable[[Row], bool]:
    return lambda row: row.spill in rules


def _both(one: Callable[[Row], bool], other: Callable[[Row], bool]) -> Callable[[Row], bool]:
    return lambda row: one(row) and other(row)


def _geometric(values: Sequence[float]) -> float | None:
    return math.exp(sum(map(math.log, values)) / len(values)) if values else None


def _over(usd: float | None, comparison: Comparison) -> float | None:
    return ratio(usd, None if comparison.spillway is None else comparison.spillway.usd)


def _ratio_row(name: str, comparisons: Sequence[Comparison]) -> tuple[str, ...]:
    cells = []
    for each in comparisons:
        row = next((row for row in each.rows if row.name == name), None)
        text = MISSING if row is None else times(_over(row.usd, each))
        cells.append(text if row is None or row.held else f"({text})")
    return (name, *cells)


def _own_cell(comparison: Comparison) -> str:
    own = comparison.spillway
    if own is None:
        return MISSING
    return dollars(own.usd) if own.held else f"({dollars(own.usd)})"


def _word(met: bool | None) -> str:
    return "not measured" if met is None else "met" if met else "**missed**"


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[int] = ()) -> str:
    aligned = set(right)
    rule = ["---:" if index in aligned else "---" for index in range(len(headings))]
    lines = [headings, rule, *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)
