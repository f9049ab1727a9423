"""What Spillway forecast in a run, noted as it went along, for the time lines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from spillway.simulate.backtest.timeline import DIGITS
from spillway.simulate.policy import Action, Known, Observation
from spillway.simulate.spillway import SpillwayPolicy
from spillway.simulate.spillway.readings import EPOCH
from spillway.simulate.world import Floats

EVERY_SECONDS = 600.0
"""The forecast is of ten-minute means."""
QUANTILES = (("q10", "0.1"), ("q50", "0.5"), ("q90", "0.9"))
LONGEST_GAP_SECONDS = 3 * EVERY_SECONDS
"""Between forecasts further apart than this nothing is drawn."""


class Watched:
    """A run of Spillway, left as it is; its forecast is noted every ten minutes."""

    def __init__(self, policy: SpillwayPolicy) -> None:
        """``policy`` has not been started."""
        self.name = policy.name
        self.tick_seconds = policy.tick_seconds
        self.lead_s = 0.0
        """From a forecast to the moment that it is for: the shortest start-up and a tick."""
        self._policy = policy
        self._keys: tuple[str, ...] = ()
        self._for_s: list[float] = []
        self._values: list[list[list[float]]] = []
        self._next_s = 0.0

    def start(self, known: Known) -> Action:
        """See `Policy`."""
        self._keys = tuple(item.metadata.key for item in known.classes)
        self.lead_s = min((lane.startup_mean_s for lane in known.own), default=0.0) + self.tick_seconds
        return self._policy.start(known)

    def act(self, seen: Observation) -> Action:
        """See `Policy`."""
        action = self._policy.act(seen)
        planned = self._policy.memory.planned
        if planned is not None and planned.quantiles and planned.at - EPOCH >= self._next_s:
            made_s = planned.at - EPOCH
            self._next_s = made_s + EVERY_SECONDS
            self._for_s.append(made_s + self.lead_s)
            by_class = [planned.quantiles.get(key, {}) for key in self._keys]
            self._values.append([[each.get(q, math.nan) for _, q in QUANTILES] for each in by_class])
        return action

    def lines(self, at_s: Sequence[float]) -> dict[str, dict[str, Any]]:
        """By class: ``lead_s``, and ``q10``, ``q50``, ``q90`` of the requests a second that were forecast for the
        buckets that begin at ``at_s``; None where there was no forecast.
        """
        if not self._for_s:
            return {}
        middle_s = np.array(at_s) + (at_s[1] - at_s[0] if len(at_s) > 1 else 0.0) / 2
        for_s, values = np.array(self._for_s), np.array(self._values)
        return {
            key: {"lead_s": self.lead_s}
            | {name: _between(middle_s, for_s, values[:, column, row]) for row, (name, _) in enumerate(QUANTILES)}
            for column, key in enumerate(self._keys)
        }


def _between(at_s: Floats, for_s: Floats, values: Floats) -> list[float | None]:
    """Straight lines between the forecasts; nothing before the first, after the last and in long gaps."""
    found = np.interp(at_s, for_s, values, left=math.nan, right=math.nan)
    if len(for_s) > 1:
        after = np.clip(np.searchsorted(for_s, at_s), 1, len(for_s) - 1)
        found[for_s[after] - for_s[after - 1] > LONGEST_GAP_SECONDS] = math.nan
    return [None if math.isnan(value) else round(value, DIGITS) for value in found.tolist()]
