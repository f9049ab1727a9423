"""The first day of Spillway, with nothing learned, beside the same day when it has run for days.

Both see the same trace on the same day. The converged one is a block of the scenario's own run. The first day begins
with one replica, an empty memory, and a profile that is right, wrong by a factor of two either way, or not there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from spillway_dev.bench.derive import Change, derive
from spillway_dev.bench.runs import Bench, Result
from spillway_dev.bench.settings import DAY_S

PRIORS = {
    "spillway": "right",
    "spillway-prior-x2": "x2",
    "spillway-prior-x0.5": "x0.5",
    "spillway-no-prior": "none",
}
"""Policies by what is declared of the service."""
WRONG = tuple(name for name, prior in PRIORS.items() if prior != "right")


@dataclass(frozen=True, slots=True)
class FirstDay:
    """One scenario's day."""

    scenario: str
    day: int
    """Of the trace, from 1."""
    converged_usd: float
    converged_attainment: float
    result: Result
    """Of the policies in `PRIORS`."""

    def ratio(self, policy: str) -> float | None:
        """First day over converged day."""
        entry = self.result["policies"].get(policy)
        return None if entry is None or self.converged_usd <= 0 else float(entry["cost_usd"]) / self.converged_usd


def first_day(bench: Bench, source: Path, whole: Result, block: int) -> FirstDay | None:
    """Run the first day; None where the scenario has no such whole day. ``whole``: its result, with Spillway in it."""
    warmup_s, duration_s = whole["warmup_seconds"], whole["duration_seconds"]
    start_s = warmup_s + block * DAY_S
    if start_s + DAY_S > duration_s:
        return None
    seeds = whole["policies"]["spillway"]["seeds"]
    days = [seed["days"][block] for seed in seeds]
    change = Change(f"{whole['scenario']}-first-day", offset_s=start_s, warmup_s=0.0, duration_s=DAY_S)
    path = derive(source, change, bench.folder / "first-days")
    requests = sum(day["requests"] for day in days)
    return FirstDay(
        scenario=whole["scenario"],
        day=int(start_s // DAY_S) + 1,
        converged_usd=fmean(day["cost_usd"] for day in days),
        converged_attainment=1.0 - sum(day["misses"] for day in days) / max(requests, 1),
        result=bench.backtest(path, list(PRIORS), len(seeds)),
    )
