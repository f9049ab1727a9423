"""Long-run goals as prices: a class's error budget as one on misses, a month's budget as one on hosted dollars.

Attainment is a fraction over a long time, not a constraint per period. The price on misses is the multiplier of
"misses <= budget share x requests", found by dual ascent on the measured misses with a decay over a day:

    log m <- bounded(log m + GAIN * (misses - b * requests) / (b * requests of the day))
    price  = usd * m * bounded(sqrt(day's misses / (b * day's requests)))

with b = 1 - attainment. A budget that is being spent as fast as it comes leaves the multiplier where it is; one that
stays untouched lowers it, one overspent by a whole day's budget raises it by e**GAIN. The second factor acts at once,
the first one remembers.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

DAY_SECONDS = 86_400.0
GAIN = 2.0
MULTIPLIER_BOUNDS = (1 / 8, 64.0)
BURN_BOUNDS = (1 / 4, 16.0)
PRIOR_MISSES = 5.0
"""Misses of a day that was exactly on budget, taken as seen at the start: a first miss says little."""
PACING_MOST = 8.0
PACING_PRIOR = 1 / 30
"""Share of the month taken as spent on plan, so that its first hours say little."""


@dataclass(frozen=True, slots=True)
class MissPrice:
    """The error budget of one class, as it is remembered: plain bounded numbers."""

    log_multiplier: float = 0.0
    requests: float = 0.0
    """Of about the last day: decayed by e a day."""
    misses: float = 0.0

    def as_json(self) -> dict[str, float]:
        """Plain numbers."""
        return asdict(self)

    @staticmethod
    def from_json(value: Any) -> MissPrice:
        """The inverse; what is not a finite number falls back to the default, out of bounds to the bound."""
        source = value if isinstance(value, dict) else {}
        found = {}
        for field in fields(MissPrice):
            number = source.get(field.name)
            if isinstance(number, int | float) and math.isfinite(number):
                found[field.name] = float(number)
        low, high = (math.log(bound) for bound in MULTIPLIER_BOUNDS)
        requests = max(found.get("requests", 0.0), 0.0)
        misses = min(max(found.get("misses", 0.0), 0.0), requests)
        return MissPrice(min(max(found.get("log_multiplier", 0.0), low), high), requests, misses)

    def after(self, requests: float, misses: float, elapsed_seconds: float, attainment: float) -> MissPrice:
        """With what was counted since the last call; ``attainment`` is the target, 0 to 1."""
        share = _budget(attainment)
        decay = math.exp(-max(elapsed_seconds, 0.0) / DAY_SECONDS)
        requests, misses = max(requests, 0.0), min(max(misses, 0.0), max(requests, 0.0))
        day, missed = self.requests * decay + requests, self.misses * decay + misses
        step = GAIN * (misses - share * requests) / (share * day + PRIOR_MISSES)
        low, high = (math.log(bound) for bound in MULTIPLIER_BOUNDS)
        return MissPrice(min(max(self.log_multiplier + step, low), high), day, missed)

    def usd(self, usd_per_miss: float, attainment: float) -> float:
        """Dollars a miss for allocation, from what a miss is worth on budget."""
        low, high = BURN_BOUNDS
        burn = min(max(math.sqrt(self.burn(attainment)), low), high)
        return usd_per_miss * math.exp(self.log_multiplier) * burn

    def burn(self, attainment: float) -> float:
        """The day's misses over its error budget: 1 is exactly on budget."""
        return (self.misses + PRIOR_MISSES) / (_budget(attainment) * self.requests + PRIOR_MISSES)


def _budget(attainment: float) -> float:
    return max(1.0 - min(max(attainment, 0.0), 1.0), 1e-5)


def pacing_factor(spent_usd: float, budget_usd: float, elapsed_share: float) -> float:
    """Price factor on hosted dollars from a month's budget, at least 1: hosted dollars as scarce as they are.

    (spent per elapsed time) / (left per time left), both with a day's plan added: 1 or less on plan, the rate at which
    spending has to slow down where the budget runs out early, and the most once it is gone.
    """
    if not budget_usd > 0:
        return PACING_MOST
    if math.isinf(budget_usd):
        return 1.0
    elapsed = min(max(elapsed_share, 0.0), 1.0)
    spent = max(spent_usd, 0.0) / budget_usd
    left = 1.0 - spent
    if left <= 0:
        return PACING_MOST
    so_far = (spent + PACING_PRIOR) / (elapsed + PACING_PRIOR)
    possible = left / (1.0 - elapsed) if elapsed < 1.0 else math.inf
    return min(max(so_far / possible, 1.0), PACING_MOST)
