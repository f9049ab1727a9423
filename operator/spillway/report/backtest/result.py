"""A backtest's result as rows that tables and pages are made from.

The result is the JSON of `spillway backtest -o json`; figures that it lacks are None here, and a dash where they are
shown.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

SPILLWAY = "spillway"
SPILL_RULES = ("queue", "cap", "hold")
HINDSIGHT = frozenset({"static-best", "cron-best"})
"""Chosen on the scored window itself."""
DEFAULT_TUNING = "default"


class ResultError(ValueError):
    """A result that can't be shown; one sentence."""


@dataclass(frozen=True, slots=True)
class Row:
    """One policy. Shares are 0 to 1, money is US dollars over the scored window."""

    name: str
    scaler: str
    spill: str
    """"queue", "cap" or "hold"; "" where the policy has its own rule or none."""
    tuning: str
    """"default", "tuned" (on the development traces) or "oracle" (on the scored window)."""
    usd: float
    held: bool
    attainment: float | None
    """Share of requests within the SLO; the lower one where the result has one by requests and one by tokens."""
    attainment_by_class: Mapping[str, float] = field(default_factory=dict)
    token_attainment: float | None = None
    """Of the class that has the lowest."""
    hours_held: float | None = None
    """Share of the class-hours near the target, of the class that has the lowest."""
    usd_with_misses: Mapping[str, float] = field(default_factory=dict)
    gpu_usd: float | None = None
    hosted_usd: float | None = None
    gpu_hours: float | None = None
    spilled_token_share: float | None = None
    scale_ups: float | None = None
    scale_downs: float | None = None
    direction_changes_per_hour: float | None = None
    deadline_misses: float | None = None
    decide_p50_ms: float | None = None
    decide_p99_ms: float | None = None
    ci95: tuple[float, float] | None = None
    """Of ``usd``."""

    @property
    def setting(self) -> str:
        """The name without its spill rule, such as "hpa@tuned"."""
        return self.scaler if self.tuning == DEFAULT_TUNING else f"{self.scaler}@{self.tuning}"

    @property
    def own(self) -> bool:
        """Whether this is Spillway as it ships; an ablation ("spillway-no-spill") is not."""
        return self.name == SPILLWAY

    @property
    def variant(self) -> bool:
        """Whether it is Spillway at all, ablations included."""
        return self.scaler == SPILLWAY or self.scaler.startswith(f"{SPILLWAY}-")

    @property
    def hindsight(self) -> bool:
        """Whether it was chosen with the scored window in sight."""
        return self.tuning == "oracle" or self.scaler in HINDSIGHT


@dataclass(frozen=True, slots=True)
class Comparison:
    """All policies of one scenario: by cost, first those that held the SLO, then those that missed it."""

    scenario: str
    rows: tuple[Row, ...]
    bound_usd: float | None = None
    replay_usd: float | None = None
    """Of clairvoyant-replay."""
    replay_held: bool = True
    requests_hash: str = ""

    @property
    def spillway(self) -> Row | None:
        """Spillway's own row."""
        return next((row for row in self.rows if row.own), None)

    def cheapest(self, rows: Iterable[Row] | None = None) -> Row | None:
        """The cheapest of ``rows`` (all, where not given) that held the SLO."""
        held = [row for row in (self.rows if rows is None else rows) if row.held]
        return min(held, key=lambda row: row.usd, default=None)

    def rivals(self, *, hindsight: bool) -> list[Row]:
        """Every policy but Spillway and its ablations."""
        return [row for row in self.rows if not row.variant and row.hindsight is hindsight]


def ratio(usd: float | None, other: float | None) -> float | None:
    """``usd`` as a multiple of ``other``; None where either is unknown or the other is free."""
    return None if usd is None or not other else usd / other


def verdict(comparison: Comparison) -> str:
    """One honest sentence."""
    own = comparison.spillway
    rival = comparison.cheapest(comparison.rivals(hindsight=False)) or comparison.cheapest(
        comparison.rivals(hindsight=True)
    )
    if not comparison.rows:
        return "No policy was run beside the schedule with foresight."
    if own is None:
        best = comparison.cheapest()
        return "No policy held the SLO." if best is None else f"{best.name} is the cheapest policy that held the SLO."
    if not own.held:
        attained = "" if own.attainment is None else f" ({own.attainment:.2%} attained)"
        return f"Spillway did NOT hold the SLO{attained}: its cost is no match for that of a policy that did."
    if rival is None:
        return "Spillway held the SLO; no other policy did." if len(comparison.rows) > 1 else "Spillway held the SLO."
    share = own.usd / rival.usd - 1.0 if rival.usd else 0.0
    if share > 0:
        return f"Spillway held the SLO and cost {share:.0%} MORE than {rival.name}, the cheapest other policy that did."
    return f"Spillway held the SLO at {-share:.0%} less than {rival.name}, the cheapest other policy that did."


def comparison_of(result: Mapping[str, Any]) -> Comparison:
    """Read a result. Raises ``ResultError``."""
    policies, replay = result.get("policies"), result.get("clairvoyant_replay") or {}
    if not isinstance(policies, Mapping) or not (policies or _number(replay.get("cost_usd"))):
        raise ResultError("the result has no policies; make one with `spillway backtest -o json`")
    rows = [_row(name, entry) for name, entry in policies.items()]
    scenario = result.get("scenario", "")
    return Comparison(
        scenario=str(scenario.get("name", "") if isinstance(scenario, Mapping) else scenario),
        rows=tuple(sorted(rows, key=lambda row: (not row.held, row.usd, not row.own, row.name))),
        bound_usd=_number((result.get("bound") or {}).get("cost_usd")),
        replay_usd=_number(replay.get("cost_usd")),
        replay_held=bool(replay.get("slo_held", True)),
        requests_hash=str(result.get("requests_hash", "")),
    )


def parts_of(name: str) -> tuple[str, str, str]:
    """Scaler, spill rule and tuning of a policy's name, such as "hpa@tuned+cap"."""
    scaler, *suffixes = re.split(r"(?=[@+])", name)
    found = {suffix[0]: suffix[1:] for suffix in suffixes}
    return scaler, found.get("+", ""), found.get("@", DEFAULT_TUNING)


def _row(name: str, entry: Mapping[str, Any]) -> Row:
    usd = _number(entry.get("cost_usd"))
    if usd is None:
        raise ResultError(f"policy {name} of the result has no cost_usd")
    scaler, spill, tuning = parts_of(name)
    decide = entry.get("decide_ms") or {}
    return Row(
        name=name,
        scaler=str(entry.get("scaler", scaler)),
        spill=str(entry.get("spill") or spill),
        tuning=str(entry.get("tuning", tuning)),
        usd=usd,
        held=bool(entry.get("slo_held")),
        attainment=_least(entry.get("slo_attainment")),
        attainment_by_class={
            key: share
            for key, value in (entry.get("slo_attainment_by_class") or {}).items()
            if (share := _least(value)) is not None
        },
        token_attainment=_least(entry.get("slo_attainment_tokens_by_class")),
        hours_held=_least(entry.get("slo_hours_held_by_class")),
        usd_with_misses=entry.get("cost_with_misses_usd") or {},
        gpu_usd=_number(entry.get("gpu_cost_usd")),
        hosted_usd=_number(entry.get("hosted_cost_usd")),
        gpu_hours=_number(entry.get("gpu_hours")),
        spilled_token_share=_number(entry.get("spilled_token_share")),
        scale_ups=_number(entry.get("scale_ups")),
        scale_downs=_number(entry.get("scale_downs")),
        direction_changes_per_hour=_number(entry.get("direction_changes_per_hour")),
        deadline_misses=_number(entry.get("deadline_misses")),
        decide_p50_ms=_number(decide.get("p50")),
        decide_p99_ms=_number(decide.get("p99")),
        ci95=_interval(entry.get("ci95")),
    )


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _least(value: Any) -> float | None:
    """An attainment may be one number, or one by requests and one by tokens."""
    if isinstance(value, Mapping):
        found = [number for each in value.values() if (number := _number(each)) is not None]
        return min(found, default=None)
    return _number(value)


def _interval(value: Any) -> tuple[float, float] | None:
    if not isinstance(value, list | tuple) or len(value) != 2:
        return None
    low, high = map(_number, value)
    # One block has no spread to tell of.
    return None if low is None or high is None or low == high else (low, high)
