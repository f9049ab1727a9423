"""Whether to follow every minute of demand or to wait: forecasts smoothed over time, chosen by their record.

Where a rate jumps from minute to minute, a forecast that starts from the last minutes jumps with it, and replicas
would follow noise at a start-up's price. So the forecast at the lead is also smoothed with a few time constants; each
candidate is judged, a lead later, by the demand of the ten minutes that it was for, and they are mixed by their recent
errors. On demand without such noise the plain forecast wins and nothing changes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

SMOOTHING_SECONDS = (0.0, 300.0, 900.0, 2100.0)
"""Time constants of the candidates; the first is the forecast as it is."""
TARGET_SECONDS = 600.0
MEMORY_SECONDS = 12 * 3600.0
POWER = 16.0
"""Weights are errors to the power of minus this."""
PATIENCE = 12.0
"""Judgements before anything but the plain forecast counts."""
HEAD_START = 0.97
"""The plain forecast's error counts a little less: without a difference nothing is smoothed."""
SURPRISE = 0.5
"""A logarithmic distance beyond this is a change, not noise: smoothing starts anew."""
TINY = 1e-6


@dataclass(frozen=True, slots=True)
class Steady:
    """The candidates of one class and their record."""

    at: float
    integral: float
    """Requests since the first look."""
    smoothed: tuple[float, ...]
    """Logarithm of each candidate, requests a second."""
    marks: tuple[tuple[float, float], ...] = ()
    """(time, integral) of past looks, oldest first."""
    promises: tuple[tuple[float, tuple[float, ...]], ...] = ()
    """(start of the ten minutes, logarithm of each candidate), oldest first."""
    errors: tuple[float, ...] = ()
    """Decayed sums of absolute errors, requests a second."""
    judged: float = 0.0

    @property
    def shift(self) -> float:
        """What to add to the logarithm of the plain forecast."""
        if self.judged < PATIENCE:
            return 0.0
        errors = [HEAD_START * self.errors[0], *self.errors[1:]]
        least = max(min(errors), TINY)
        weights = [math.pow(max(error, TINY) / least, -POWER) for error in errors]
        mixed = sum(w * s for w, s in zip(weights, self.smoothed, strict=True)) / sum(weights)
        return mixed - self.smoothed[0]


def steadied(steady: Steady | None, at: float, rate: float, forecast: float, lead_seconds: float) -> Steady:
    """With the rate (requests a second) since the last look and the forecast at the lead as it is now."""
    plain = math.log(max(forecast, TINY))
    candidates = len(SMOOTHING_SECONDS)
    if steady is None or at - steady.at > TARGET_SECONDS or at <= steady.at:
        errors, judged = ((0.0,) * candidates, 0.0) if steady is None else (steady.errors, steady.judged)
        return Steady(at, 0.0, (plain,) * candidates, ((at, 0.0),), (), errors, judged)
    elapsed = at - steady.at
    integral = steady.integral + rate * elapsed
    smoothed = tuple(
        plain if seconds <= 0 or abs(plain - before) > SURPRISE else before + (plain - before) * _gain(elapsed, seconds)
        for seconds, before in zip(SMOOTHING_SECONDS, steady.smoothed, strict=True)
    )
    marks = (*steady.marks, (at, integral))
    promises = (*steady.promises, (at + lead_seconds, smoothed))
    return _judged(Steady(at, integral, smoothed, marks, promises, steady.errors, steady.judged))


def _gain(elapsed: float, seconds: float) -> float:
    return 1.0 - math.exp(-elapsed / seconds)


def _judged(steady: Steady) -> Steady:
    """Hold the promises whose ten minutes are over against what came, and forget what is no longer needed."""
    due = [p for p in steady.promises if p[0] + TARGET_SECONDS <= steady.at]
    errors, judged = list(steady.errors), steady.judged
    for start, promised in due:
        actual = (_integral(steady, start + TARGET_SECONDS) - _integral(steady, start)) / TARGET_SECONDS
        decay = math.exp(-TARGET_SECONDS / 10 / MEMORY_SECONDS)
        errors = [decay * e + abs(math.exp(p) - actual) for e, p in zip(errors, promised, strict=True)]
        judged = decay * judged + 1.0
    promises = steady.promises[len(due) :]
    oldest = promises[0][0] if promises else steady.at
    keep = max(0, sum(1 for time, _ in steady.marks if time <= oldest) - 1)
    return replace(steady, promises=promises, errors=tuple(errors), judged=judged, marks=steady.marks[keep:])


def _integral(steady: Steady, moment: float) -> float:
    """Requests up to a moment, linear between looks."""
    before = steady.marks[0]
    for mark in steady.marks:
        if mark[0] >= moment:
            span = mark[0] - before[0]
            share = (moment - before[0]) / span if span > 0 else 0.0
            return before[1] + share * (mark[1] - before[1])
        before = mark
    return before[1]
