"""The result of a backtest as plain data for JSON, tables and pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from spillway.simulate.backtest.names import SPILLWAY, PolicyName
from spillway.simulate.bootstrap import cost_interval, day_costs, ratio_interval
from spillway.simulate.score import SeedScore

Document = dict[str, Any]
Scores = Mapping[int, SeedScore]
"""By seed."""


def policy_entry(scores: Scores, name: PolicyName, parameters: Mapping[str, float] | None) -> Document:
    """One policy over all seeds: means, the SLO held on every seed, and each seed by itself."""
    runs = list(scores.values())
    entry = _figures(runs)
    entry["ci95"] = list(cost_interval(day_costs(runs)))
    entry["seeds"] = [{"seed": seed, **_figures([run]), "days": _days(run)} for seed, run in scores.items()]
    entry |= {
        "scaler": name.scaler,
        "tuning": str(name.tuning),
        "spill": None if name.spill is None else str(name.spill),
    }
    if parameters is not None:
        entry["parameters"] = dict(parameters)
    return entry


def ratios(policies: Mapping[str, Scores], bound_usd: Mapping[int, float], replay: Scores) -> Document:
    """By policy: its cost over the bound's, the replay's and Spillway's, with the paired interval of the latter two."""
    own = policies.get(SPILLWAY, {})
    found: Document = {}
    for name, scores in policies.items():
        entry: Document = {}
        cost = fmean(run.cost_usd for run in scores.values())
        if bound_usd and (least := fmean(bound_usd.values())) > 0:
            entry["to_bound"] = cost / least
        for label, reference in (("to_clairvoyant_replay", replay), ("to_spillway", own)):
            if name == SPILLWAY and reference is own:
                continue
            if paired := _paired(scores, reference):
                entry[label], entry[f"{label}_ci95"] = paired
        found[name] = entry
    return found


def spill_matrix(policies: Mapping[PolicyName, Document]) -> Document:
    """Scaler x spill rule: cost and whether the SLO held."""
    matrix: Document = {}
    for name, entry in policies.items():
        if name.spill is not None:
            scaler = name.text.partition("+")[0]
            matrix.setdefault(scaler, {})[str(name.spill)] = {
                "cost_usd": entry["cost_usd"],
                "slo_held": entry["slo_held"],
                "slo_attainment": entry["slo_attainment"],
            }
    return matrix


def _paired(scores: Scores, reference: Scores) -> tuple[float, list[float]] | None:
    if not reference or list(reference) != list(scores):
        return None
    costs, others = day_costs(list(scores.values())), day_costs(list(reference.values()))
    if others.sum() <= 0:
        return None
    return float(costs.sum() / others.sum()), list(ratio_interval(costs, others))


def _figures(runs: Sequence[SeedScore]) -> Document:
    """Means over runs; held only if held in each."""
    return {
        "cost_usd": fmean(run.cost_usd for run in runs),
        "cost_with_misses_usd": {
            factor: fmean(run.cost_with_misses_usd[factor] for run in runs) for factor in runs[0].cost_with_misses_usd
        },
        "gpu_cost_usd": fmean(run.gpu_cost_usd for run in runs),
        "hosted_cost_usd": fmean(run.hosted_cost_usd for run in runs),
        "gpu_hours": fmean(run.gpu_hours for run in runs),
        "slo_held": all(run.slo_held for run in runs),
        "slo_attainment": fmean(run.slo_attainment for run in runs),
        "slo_attainment_by_class": {
            key: fmean(run.slo_attainment_by_class[key].attainment_requests for run in runs)
            for key in runs[0].slo_attainment_by_class
        },
        "slo_attainment_tokens_by_class": {
            key: fmean(run.slo_attainment_by_class[key].attainment_tokens for run in runs)
            for key in runs[0].slo_attainment_by_class
        },
        "slo_hours_held_by_class": {
            key: _hours_held([run.slo_attainment_by_class[key] for run in runs])
            for key in runs[0].slo_attainment_by_class
        },
        "spilled_token_share": fmean(run.spilled_token_share for run in runs),
        "scale_ups": fmean(run.scale_ups for run in runs),
        "scale_downs": fmean(run.scale_downs for run in runs),
        "direction_changes_per_hour": fmean(run.direction_changes_per_hour for run in runs),
        "deadline_misses": fmean(run.deadline_misses for run in runs),
        "decide_ms": {
            "p50": fmean(run.decide_ms_p50 for run in runs),
            "p99": max(run.decide_ms_p99 for run in runs),
        },
    }


def _days(run: SeedScore) -> list[Document]:
    """The blocks of the paired bootstrap."""
    return [
        {"cost_usd": day.cost_usd, "requests": day.requests, "misses": day.misses, "miss_price_usd": day.miss_price_usd}
        for day in run.days
    ]


def _hours_held(classes: Sequence[Any]) -> float:
    """Share of the class-hours that were looked at in which attainment stayed near the target; 1 without any."""
    hours = sum(item.hours for item in classes)
    return sum(item.hours_held for item in classes) / hours if hours else 1.0
