"""The error budget of a class: how many misses its objective still allows, and what that means for the in-flight cap.

Attainment is a long-run fraction, so a busy hour may miss more than a calm one. The allowance is the share of misses
that a replica at its full cap may have. It moves against the decayed average of all misses (hosted requests included):
d(log allowance)/dt = (target - missed/total)/target per `CORRECTION_SECONDS`. What the latency model gets wrong is
corrected by the same loop. Beside it an hour must stay within 5 points of its objective: where far more is missed now
than that, the allowance falls fast.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

MEMORY_SECONDS = 6 * 3600.0
"""Time constant of the averages."""
CORRECTION_SECONDS = 2 * 3600.0
TARGET_SHARE = 0.8
"""Share of the error budget that is meant to be used: the rest covers hosted errors and what isn't seen."""
UNCAPPED_TARGET_SHARE = 0.6
"""Without a cap at the gateway: whole minutes are missed, long requests more than short ones."""
LOWEST, HIGHEST = 0.1, 15.0
"""Bounds of the allowance, in error budgets."""
MOST_MISSES = 0.15
MOST_NOW = 0.035
"""More misses than this at a time, beyond the budget, are too many whatever the average."""
RETREAT_SECONDS = 900.0
SETTLING_SECONDS = 1800.0
"""What is missed so soon after the first look was admitted before any cap was set."""
WORST_SHARE = 4.0
"""Misses beyond so many error budgets at a time are not the cap's doing: a cold start, an outage."""
UNCAPPED_WORST_SHARE = 8.0
START_REQUESTS = 2000.0
"""Weight of the assumption that all is on target, in requests; few misses early say little."""
HOSTED_PART = 0.1
"""Part of the error budget that may go to requests which come late from hosted lanes, having been held before."""
MOST_LATE, LEAST_LATE = 0.01, 0.0005
"""Bounds on the share of hosted requests that may come late."""


@dataclass(frozen=True, slots=True)
class ErrorBudget:
    """What was served and missed lately, by decayed counts."""

    at: float
    total: float = 0.0
    missed: float = 0.0
    log_allowance: float = 0.0
    """Logarithm of the allowance in error budgets."""
    since: float = 0.0
    """When it was first looked at, Unix time in seconds."""
    hosted: float = 0.0
    """Of ``total``, what hosted lanes served."""

    def allowance(self, attainment: float) -> float:
        """Share of misses that a replica at its cap may have; ``attainment`` is the objective, 0 to 1."""
        return min(math.exp(self.log_allowance) * (1.0 - attainment), MOST_MISSES)

    def missed_share(self, attainment: float, capped: bool = True) -> float:
        """Decayed share of misses, on target where little was served."""
        expected = _target(attainment, capped)
        return (self.missed + START_REQUESTS * expected) / (self.total + START_REQUESTS)

    def late_share(self, attainment: float) -> float:
        """Share of the hosted requests that may come late: the less, the more of the traffic is hosted."""
        hosted = self.hosted / (self.total + START_REQUESTS)
        return max(min(HOSTED_PART * (1.0 - attainment) / max(hosted, 1e-9), MOST_LATE), LEAST_LATE)


def spent(
    budget: ErrorBudget | None,
    now: float,
    attainment: float,
    requests_per_second: float,
    missed_per_second: float,
    capped: bool = True,
    hosted_per_second: float = 0.0,
) -> ErrorBudget:
    """The budget after the time since it was last looked at, at these rates; the first look only takes the time.

    ``capped``: whether the gateway caps what is in flight. If not, all that is missed is the weights' doing.
    """
    if budget is None:
        return ErrorBudget(now, since=now)
    if now - budget.since < SETTLING_SECONDS:
        return replace(budget, at=now)
    elapsed = max(0.0, now - budget.at)
    decay = math.exp(-elapsed / MEMORY_SECONDS)
    now_missed = missed_per_second / requests_per_second if requests_per_second > 0 else 0.0
    worst = WORST_SHARE if capped else UNCAPPED_WORST_SHARE
    missed_per_second = min(missed_per_second, worst * (1.0 - attainment) * requests_per_second)
    total = budget.total * decay + requests_per_second * elapsed
    missed = budget.missed * decay + missed_per_second * elapsed
    hosted = budget.hosted * decay + hosted_per_second * elapsed
    moved = ErrorBudget(now, total, missed, budget.log_allowance, budget.since, hosted)
    target = _target(attainment, capped)
    error = max(-1.0, (target - moved.missed_share(attainment, capped)) / target)
    log_allowance = budget.log_allowance + error * min(elapsed, 600.0) / CORRECTION_SECONDS
    if now_missed > MOST_NOW + (1.0 - attainment):
        log_allowance -= min(elapsed, 600.0) / RETREAT_SECONDS
    return replace(moved, log_allowance=min(max(log_allowance, math.log(LOWEST)), math.log(HIGHEST)))


def _target(attainment: float, capped: bool) -> float:
    return (TARGET_SHARE if capped else UNCAPPED_TARGET_SHARE) * (1.0 - attainment)
