"""Dynamo's load predictors over a window of 50 intervals: constant, and ARIMA (its default).

Dynamo takes pmdarima's auto_arima. Here the order is fixed at (1,1,1), with no seasonal part, and fitted by
Hannan-Rissanen: a long autoregression of the differences gives residuals, then the differences are regressed on their
last value and the last residual. Coefficients are kept inside the stationary and invertible range. It repeats the last
value until five points are there, and where all are equal.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from spillway.simulate.world import Floats

WINDOW = 50
MIN_POINTS = 5
_LONG = 4
_MOST = 0.98


class ConstantPredictor:
    """The last value."""

    def __init__(self) -> None:
        self._last = 0.0

    def add(self, value: float) -> None:
        """Take an interval's value in."""
        self._last = value

    def predict(self) -> float:
        """The next interval's."""
        return self._last


class ArimaPredictor:
    """ARIMA(1,1,1) over the window."""

    def __init__(self) -> None:
        self._values: deque[float] = deque(maxlen=WINDOW)

    def add(self, value: float) -> None:
        """Take an interval's value in."""
        if self._values or value > 0.0:  # Dynamo leaves out the idle time before the first load.
            self._values.append(value)

    def predict(self) -> float:
        """The next interval's, never negative."""
        if not self._values:
            return 0.0
        values = np.array(self._values)
        if len(values) < MIN_POINTS or float(np.ptp(values)) == 0.0:
            return float(values[-1])
        return max(0.0, float(values[-1]) + _next_difference(np.diff(values)))


def _next_difference(differences: Floats) -> float:
    count = len(differences)
    order = min(_LONG, (count - 1) // 3)
    if order < 1:
        return 0.0
    lagged = np.column_stack([differences[order - lag : count - lag] for lag in range(1, order + 1)])
    later = differences[order:]
    long = np.linalg.lstsq(lagged, later, rcond=None)[0]
    residuals: Floats = np.concatenate((np.zeros(order), later - lagged @ long))
    design = np.column_stack((differences[order:-1], residuals[order:-1]))
    if len(design) < 3:
        return float(long[0] * differences[-1]) if order == 1 else 0.0
    phi, theta = np.clip(np.linalg.lstsq(design, differences[order + 1 :], rcond=None)[0], -_MOST, _MOST)
    error = 0.0
    for index in range(1, count):
        error = float(differences[index] - phi * differences[index - 1] - theta * error)
    return float(phi * differences[-1] + theta * error)
