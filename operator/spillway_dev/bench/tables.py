"""The benchmark's tables in Markdown, each from results alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from spillway.simulate.backtest.names import SCALERS, Spill
from spillway.simulate.spillway import VARIANTS
from spillway_dev.bench.facts import Facts
from spillway_dev.bench.first_days import PRIORS, FirstDay
from spillway_dev.bench.goals import REPLAY, Entry, Figure, candidates
from spillway_dev.bench.regimes import Cell, Fleet
from spillway_dev.bench.speed import Speed

Result = Mapping[str, Any]
MISSING = "–"
LOSS = 1.005
"""Costs closer together than this are equal in lists of losses."""


def markdown(headings: Sequence[str], rows: Iterable[Sequence[str]], texts: int = 1) -> str:
    """A table; the first ``texts`` columns are left-aligned."""
    rule = ["---" if index < texts else "---:" for index in range(len(headings))]
    return "".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in (headings, rule, *rows)
    )


def scenarios(facts: Sequence[Facts]) -> str:
    """What each scenario is."""
    rows = [
        (
            each.scenario,
            f"{each.requests / 1e6:.2f}",
            f"{each.mean_input_tokens:,.0f} / {each.mean_output_tokens:,.0f}",
            f"{each.mean_replicas:.1f}",
            f"{each.peak_replicas:.1f}",
            f"{each.peak_minute_replicas:.1f}",
            f"${each.usd_per_replica_hour:.2f}",
            f"${each.hosted_usd_per_hour:,.0f}",
            f"{each.price_ratio:.2f}",
            f"{each.startup_s:g} s",
            f"{each.warmup_s / 3600:g} + {(each.duration_s - each.warmup_s) / 3600:g} h",
        )
        for each in facts
    ]
    headings = (
        "scenario", "requests, million", "tokens in / out", "replicas of work, mean", "peak (5 min)", "peak (1 min)",
        "replica-hour", "all hosted, an hour", "hosted / GPU price of the same work", "start-up", "warm-up + scored",
    )  # fmt: skip
    return markdown(headings, rows)


def goals(figures: Iterable[Figure]) -> str:
    """Promised and measured."""
    words = {None: "not measured", True: "met", False: "**missed**"}
    rows = [(f.goal, words[f.met], f.promised, f.measured, f.interval or MISSING, f.where) for f in figures]
    table = markdown(("goal", "", "promised", "measured", "95%", "where"), rows, texts=2)
    return table


def baselines(defaults: Result | None, whole: Result) -> str:
    """Scaler by spill rule: cost over Spillway's on the same seeds."""
    kinds: list[tuple[str, Result, str]] = [("@tuned", whole, "@tuned")]
    if defaults is not None:
        kinds.insert(0, ("default", defaults, ""))
    headings = ["scaler", *(f"{kind}, {rule}" for kind, _, _ in kinds for rule in Spill)]
    rows = []
    for scaler in SCALERS:
        cells = [_ratio_cell(result, _named(scaler, suffix, rule)) for _, result, suffix in kinds for rule in Spill]
        if set(cells) != {MISSING}:
            rows.append((scaler, *cells))
    return markdown(headings, rows)


def others(result: Result) -> str:
    """Spillway, the bound, the best tuned baseline of each spill rule, and what is found in hindsight."""
    own, ratios = result["policies"]["spillway"], result.get("ratios") or {}
    shown = [(name, e) for name, e in candidates(result).items() if e["spill"] is None or e["tuning"] == "oracle"]
    shown += [pair for rule in Spill if (pair := _best_tuned(result, rule)) is not None]
    rows = [_policy_row("**spillway**", own, own, None)]
    for name, entry in sorted(shown, key=lambda pair: float(pair[1]["cost_usd"])):
        rows.append(_policy_row(name, entry, own, (ratios.get(name) or {}).get("to_spillway_ci95")))
    bound = (result.get("bound") or {}).get("cost_usd")
    if bound is not None:
        rows.append(("bound", f"${bound:,.0f}", f"{bound / own['cost_usd']:.3f}", *[MISSING] * 6))
    headings = (
        "policy", "cost", "over Spillway's", "95%", "attained", "hosted tokens", "GPU-hours", "cost, misses x 3",
        "turns an hour",
    )  # fmt: skip
    return markdown(headings, rows)


def variants(results: Sequence[Result]) -> str:
    """What each part is worth: cost over Spillway's."""
    results = [
        result for result in results if any(name != "spillway" and name in VARIANTS for name in result["policies"])
    ]
    rows = []
    for name, variant in VARIANTS.items():
        cells = [_ratio_cell(result, name) for result in results]
        if name != "spillway" and set(cells) != {MISSING}:
            rows.append((name, variant.what, *cells))
    return markdown(("variant", "", *(result["scenario"] for result in results)), rows, texts=2)


def first_days(days: Sequence[FirstDay]) -> str:
    """First day over converged day, by what is declared."""
    rows = []
    for day in days:
        converged = f"${day.converged_usd:,.0f}, {_percent(day.converged_attainment)}"
        rows.append((f"{day.scenario}, day {day.day}", converged, *(_first_cell(day, name) for name in PRIORS)))
    return markdown(("scenario", "converged", *(f"profile {prior}" for prior in PRIORS.values())), rows)


def regimes(fleet: Fleet) -> str:
    """Spillway's cost over each other's, by start-up and price ratio."""
    ratios = sorted({cell.ratio for cell in fleet.cells})
    names = list(dict.fromkeys(name for cell in fleet.cells for name in candidates(cell.result)))
    rows = [
        (f"{startup:g} s", name, *(_regime_cell(fleet.at(startup, ratio), name) for ratio in ratios))
        for startup in sorted({cell.startup_s for cell in fleet.cells})
        for name in names
    ]
    return markdown(("start-up", "Spillway's cost over that of", *(f"{ratio:g} x" for ratio in ratios)), rows, texts=2)


def faults(results: Sequence[Result]) -> str:
    """Every policy under every fault."""
    rows = [
        (
            result["scenario"],
            name,
            _dollars(entry),
            f"${entry['cost_with_misses_usd']['3']:,.0f}",
            f"${entry['cost_with_misses_usd']['10']:,.0f}",
            _percent(entry["slo_attainment"]),
            _percent(entry["spilled_token_share"]),
        )
        for result in results
        for name, entry in {"spillway": result["policies"]["spillway"], **candidates(result)}.items()
    ]
    headings = ("fault", "policy", "cost", "misses x 3", "misses x 10", "attained", "hosted tokens")
    return markdown(headings, rows, texts=2)


def speeds(found: Sequence[Speed]) -> str:
    """Seconds of the command."""
    rows = [(each.scenario, f"{each.cpu_s:.0f}", f"{each.wall_s:.0f}") for each in found]
    return markdown(("scenario", "CPU seconds", "wall seconds"), rows)


def losses(results: Iterable[Result], cells: Iterable[Cell] = (), days: Iterable[FirstDay] = ()) -> str:
    """Every case in which Spillway missed the SLO, or in which another policy that held it cost less."""
    lines = [line for result in results for line in _losses(result["scenario"], result)]
    for cell in cells:
        lines += _losses(cell.where, cell.result)
    for day in days:
        for name, prior in PRIORS.items():
            entry = day.result["policies"].get(name)
            if entry is not None and not entry["slo_held"]:
                text = f"on its first day (profile {prior}) Spillway missed the SLO ({_attained(entry)})"
                lines.append(f"- **{day.scenario}**: {text}.")
    return "\n".join(lines or ["None: no policy that held the SLO cost less in any case above."]) + "\n"


def _losses(where: str, result: Result) -> list[str]:
    own = result["policies"].get("spillway")
    if own is None:
        return []
    lines = [] if own["slo_held"] else [f"- **{where}**: Spillway missed the SLO ({_attained(own)})."]
    cheaper = [
        (own["cost_usd"] / entry["cost_usd"], name)
        for name, entry in candidates(result).items()
        if name != REPLAY and entry["slo_held"] and entry["cost_usd"] and own["cost_usd"] / entry["cost_usd"] > LOSS
    ]
    if cheaper:
        told = ", ".join(f"{name} (by {ratio:.3f})" for ratio, name in sorted(cheaper, reverse=True))
        lines.append(f"- **{where}**: cheaper than Spillway: {told}.")
    return lines


def _named(scaler: str, suffix: str, rule: Spill) -> str:
    return f"{scaler}{suffix}" if rule is Spill.QUEUE else f"{scaler}{suffix}+{rule}"


def _best_tuned(result: Result, rule: Spill) -> tuple[str, Entry] | None:
    """The cheapest tuned baseline with this spill rule that held the SLO."""
    found = [
        (name, e)
        for name, e in candidates(result).items()
        if e["tuning"] == "tuned" and e["spill"] == rule and e["slo_held"]
    ]
    return min(found, key=lambda pair: float(pair[1]["cost_usd"]), default=None)


def _over(entry: Entry, own: Entry) -> float:
    """Cost over Spillway's on the same seeds."""
    seeds = {seed["seed"] for seed in entry["seeds"]}
    mine = fmean(seed["cost_usd"] for seed in own["seeds"] if seed["seed"] in seeds)
    return float(entry["cost_usd"]) / mine


def _ratio_cell(result: Result, name: str) -> str:
    own, entry = result["policies"]["spillway"], result["policies"].get(name)
    if entry is None:
        return MISSING
    ratio = f"{_over(entry, own):.3f}"
    return ratio if entry["slo_held"] else f"({ratio}, {_attained(entry)})"


def _policy_row(name: str, entry: Entry, own: Entry, interval: Sequence[float] | None) -> tuple[str, ...]:
    ratio = f"{_over(entry, own):.3f}"
    return (
        name,
        _dollars(entry),
        ratio if entry["slo_held"] else f"({ratio})",
        MISSING if interval is None else f"{interval[0]:.3f}–{interval[1]:.3f}",
        _attained(entry),
        _percent(entry["spilled_token_share"]),
        f"{entry['gpu_hours']:,.0f}",
        f"${entry['cost_with_misses_usd']['3']:,.0f}",
        f"{entry['direction_changes_per_hour']:.2f}",
    )


def _first_cell(day: FirstDay, name: str) -> str:
    ratio, entry = day.ratio(name), day.result["policies"].get(name)
    if ratio is None or entry is None:
        return MISSING
    return f"{ratio:.3f}" if entry["slo_held"] else f"({ratio:.3f}, {_attained(entry)})"


def _regime_cell(cell: Cell, name: str) -> str:
    own, other = cell.result["policies"]["spillway"], candidates(cell.result).get(name)
    if other is None or not other["cost_usd"]:
        return MISSING
    ratio = f"{own['cost_usd'] / other['cost_usd']:.2f}"
    return f"{f'({ratio})' if not own['slo_held'] else ratio}{'' if other['slo_held'] else '*'}"


def _dollars(entry: Entry) -> str:
    text = f"${entry['cost_usd']:,.0f}"
    return text if entry["slo_held"] else f"({text})"


def _attained(entry: Entry) -> str:
    """The class, and the count by requests or by tokens, that is lowest."""
    shares = [entry["slo_attainment"]]
    for field in ("slo_attainment_by_class", "slo_attainment_tokens_by_class"):
        shares += (entry.get(field) or {}).values()
    return _percent(min(shares))


def _percent(share: float) -> str:
    return f"{100 * share:.2f}%" if share < 0.99995 or share == 1.0 else ">99.99%"
