"""The summary as the backtest's page: the same result, from what the demo saw. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from spillway import __version__
from spillway.report.backtest import html
from spillway_dev.demo.samples import Sample
from spillway_dev.demo.summary import Result, Summary

COMMAND = "make demo"


def page(summary: Summary, samples: Sequence[Sample], lane: str, facts: Mapping[str, str]) -> str:
    """The whole page; ``samples`` are Spillway's looks at its own day."""
    return html(page_result(summary, samples, lane, facts))


def page_result(summary: Summary, samples: Sequence[Sample], lane: str, facts: Mapping[str, str]) -> dict[str, Any]:
    """What `report.backtest.html` takes: Spillway and the constant fleets as policies."""
    constant = [each for each in (summary.static, summary.as_good) if each is not None]
    looks = [sample for sample in samples if 0 <= sample.at_s <= summary.day_seconds]
    policies = {"spillway": _policy(summary.spillway)} | {each.name: _policy(each) for each in constant}
    return {
        "title": "Spillway demo: one day of demand",
        "subtitle": f"A real trace's day in {summary.day_seconds:.0f} s, the same requests for all.",
        "scenario": "demo",
        "policies": policies,
        "target": summary.target,
        "version": __version__,
        "command": COMMAND,
        "facts": {**facts, **_roles(summary)},
        "timelines": _timelines(looks, lane, constant, summary.day_seconds),
    }


def _policy(result: Result) -> dict[str, Any]:
    return {
        "cost_usd": result.usd,
        "gpu_cost_usd": result.gpu_usd,
        "hosted_cost_usd": result.hosted_usd,
        "gpu_hours": result.gpu_hours,
        "slo_held": result.held,
        "slo_attainment": {"requests": result.attainment, "tokens": result.token_attainment},
        "spilled_token_share": result.spilled_token_share,
    }


def _roles(summary: Summary) -> dict[str, str]:
    """What the constant fleets are beside Spillway; one may be both."""
    found: dict[str, str] = {}
    for each, role in ((summary.static, "smallest that holds the SLO"), (summary.as_good, "smallest that is as good")):
        if each is not None:
            found[each.name] = f"{found[each.name]}; {role}" if each.name in found else role
    return found


def _timelines(
    looks: Sequence[Sample], lane: str, constant: Sequence[Result], day_seconds: float
) -> dict[str, dict[str, Any]]:
    if not looks:
        return {}
    at = [look.at_s for look in looks]
    demand = {"all": [look.requests_per_second for look in looks]}
    hosted = [look.requests_per_second * look.spilled_share for look in looks]
    own = {
        "at_s": at,
        "arrived_per_s": demand,
        "hosted_per_s": {"all": hosted},
        "ready": {lane: [look.ready for look in looks]},
        "desired": {lane: [look.recommended for look in looks]},
        "usd_per_hour": _rates(looks),
    }
    still = {
        each.name: {
            "at_s": at,
            "arrived_per_s": demand,
            "hosted_per_s": {"all": [0.0] * len(at)},
            "ready": {lane: [_replicas(each, day_seconds)] * len(at)},
            "usd_per_hour": [each.usd / day_seconds * 3600.0] * len(at),
        }
        for each in constant
    }
    return {"spillway": own} | still


def _replicas(fleet: Result, day_seconds: float) -> float:
    return round(fleet.gpu_hours * 3600.0 / day_seconds)


def _rates(looks: Sequence[Sample]) -> list[float | None]:
    """Dollars an hour: GPUs as they stand, hosted as its bill grew since the look before."""
    rates: list[float | None] = [looks[0].gpu_usd_per_hour]
    for before, look in pairwise(looks):
        seconds = look.at_s - before.at_s
        hosted = (look.hosted_usd - before.hosted_usd) / seconds * 3600.0 if seconds > 0 else 0.0
        rates.append(look.gpu_usd_per_hour + hosted)
    return rates
