"""How uneven a class's arrivals are from one minute to the next: the index of dispersion of counts.

With r the rate over a minute, dispersion = 60 s * E[(r_t - r_(t-1))^2/2] / E[r]: 1 for a Poisson stream, the squared
coefficient of variation of inter-arrival times for a renewal stream, more where the rate itself jumps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

WINDOW_SECONDS = 60.0
MEMORY_SECONDS = 3 * 3600.0
LOWEST, HIGHEST = 1.0, 40.0
START_WINDOWS = 10.0
"""Weight of the assumption of a Poisson stream, in windows."""


@dataclass(frozen=True, slots=True)
class Burst:
    """Decayed sums over windows."""

    at: float
    rate: float
    """Requests a second in the last window looked at."""
    windows: float = 0.0
    rates: float = 0.0
    squares: float = 0.0

    @property
    def dispersion(self) -> float:
        """Index of dispersion of counts over a window, 1 for Poisson."""
        mean = (self.rates + START_WINDOWS * self.rate) / (self.windows + START_WINDOWS)
        if mean <= 0:
            return LOWEST
        square = (self.squares + START_WINDOWS * mean / WINDOW_SECONDS) / (self.windows + START_WINDOWS)
        return min(HIGHEST, max(LOWEST, WINDOW_SECONDS * square / mean))


def seen(burst: Burst | None, at: float, rate: float) -> Burst:
    """With the rate of the window that ends at ``at``, if a whole one has passed since the last."""
    if burst is None or at - burst.at > 3 * WINDOW_SECONDS:
        kept = Burst(at, rate) if burst is None else Burst(at, rate, burst.windows, burst.rates, burst.squares)
        return kept
    if at - burst.at < WINDOW_SECONDS:
        return burst
    decay = math.exp(-(at - burst.at) / MEMORY_SECONDS)
    change = (rate - burst.rate) ** 2 / 2
    return Burst(at, rate, decay * burst.windows + 1, decay * burst.rates + rate, decay * burst.squares + change)
