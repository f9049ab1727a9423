"""Quantile forecast of one class's demand, in requests a second.

Candidates (persistence, damped trend, seasonal values moved to today's level) are all forecast from every past
moment of the history at once ("rolling origins"); their recent errors weigh them, and the residuals of the weighted
forecast, relative to its level, are its error distribution. So the forecast needs no tuning, beats persistence where
there is a rhythm, and falls back to it where there is none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from spillway.decide.snapshot import Series

Floats = NDArray[np.float64]

SAMPLES = 128
"""Equally likely outcomes that a forecast is made of."""
MIN_RESIDUALS = 24
"""Fewer rolling origins than this say too little of the error."""
SMOOTHED_SECONDS = 45.0
"""Points closer than this are averaged, as they are noisy counts; coarser ones are means already."""
WIDE_LOG_SIGMA = 0.35
"""Error of a forecast without history: 90% of outcomes within about +-75%."""
FLOOR_SHARE = 0.2
"""Residuals are relative to the forecast, but to no less than this share of the mean level."""
MAX_FINE_ORIGINS = 480
MAX_COARSE_ORIGINS = 2016
"""A week of 5-minute points."""


@dataclass(frozen=True, slots=True, eq=False)
class Forecast:
    """Demand at one horizon as equally likely outcomes, in requests a second."""

    horizon_seconds: float
    samples: Floats
    """In the order of the origins that their errors come from, so that classes keep their dependence."""
    origins: tuple[float, float, int] | None
    """(first, last, number) of those origins; None where the samples carry no order. Equal ones may be added."""
    method: str
    """The candidate with the smallest recent error."""

    def quantile(self, probability: float) -> float:
        """Demand that is not exceeded with this probability."""
        return float(np.quantile(self.samples, probability))

    @property
    def mean(self) -> float:
        """Expected demand."""
        return float(self.samples.mean())


@dataclass(frozen=True, slots=True, eq=False)
class _Grid:
    """A series prepared for rolling origins: levels and smoothed values by index; gaps are NaN."""

    end: float
    step: float
    level: Floats
    """Mean of the last points at each: what is known then."""
    calm: Floats
    """Mean over more of them: less noise, more lag."""
    actual: Floats
    """What really came."""
    smooth: Floats
    """Mean around each point, for looking back a season."""

    @property
    def size(self) -> int:
        return len(self.level)

    @property
    def span(self) -> float:
        return self.step * (self.size - 1)


class Forecaster:
    """Forecasts one class's demand from its history; prepared once for all horizons of a tick."""

    def __init__(
        self,
        history: Sequence[Series],
        seasonality_seconds: Sequence[int],
        now: float,
        current: float | None = None,
        lag_seconds: float = 0.0,
    ):
        """``current`` is the demand now where history has none; ``lag_seconds`` how far the points lag behind."""
        self._now = now
        self._lag = lag_seconds
        self._grids = [grid for series in history if (grid := _prepare(series)) is not None]
        self._seasons = tuple(seasonality_seconds)
        self._current = current
        self._rolled: dict[tuple[int, int], _Rolled | None] = {}

    @property
    def known(self) -> bool:
        """Whether there is anything to forecast from."""
        return bool(self._grids) or self._current is not None

    def at(self, horizon_seconds: float) -> Forecast:
        """Demand ``horizon_seconds`` from now; raises ``ValueError`` where nothing is known."""
        if not self._grids:
            if self._current is None:
                raise ValueError("no history and no current demand: nothing to forecast from")
            return _wide(self._current, horizon_seconds)
        fine = self._grids[0]
        ahead = horizon_seconds + self._lag + max(0.0, self._now - fine.end)
        seasons = [p for p in self._seasons if _fits(fine, p, ahead)]
        coarse = None if seasons else self._coarse_grid(fine, ahead)
        grid = fine if coarse is None else coarse
        if coarse is not None:
            seasons = [p for p in self._seasons if _fits(coarse, p, ahead)]
        steps = max(1, math.ceil(ahead / grid.step - 0.25))
        if (id(grid), steps) not in self._rolled:
            self._rolled[id(grid), steps] = _roll(grid, steps, seasons)
        rolled = self._rolled[id(grid), steps]
        level = _last(fine.level)
        if rolled is None:
            return _wide(level if self._current is None else self._current, horizon_seconds)
        return _outcomes(rolled, grid, level if coarse is not None else None, horizon_seconds)

    def _coarse_grid(self, fine: _Grid, ahead: float) -> _Grid | None:
        """A coarser series that knows a season which the finest is too short for, at a horizon that it resolves."""
        for grid in self._grids[1:]:
            if ahead >= grid.step / 2 and any(_fits(grid, p, ahead) for p in self._seasons) and grid.span > fine.span:
                return grid
        return None


@dataclass(frozen=True, slots=True, eq=False)
class _Rolled:
    """The weighted forecast at past origins and now, with what really came."""

    now: float
    past: Floats
    actual: Floats
    first: float
    last: float
    method: str


def _prepare(series: Series) -> _Grid | None:
    values = np.array(series.values, dtype=np.float64)
    if values.size == 0 or not np.isfinite(values).any():
        return None
    values = np.where(np.isfinite(values), np.maximum(values, 0.0), np.nan)
    fine = series.step_seconds <= SMOOTHED_SECONDS
    return _Grid(
        end=series.end,
        step=series.step_seconds,
        level=_moving_mean(values, 2, 0) if fine else values,
        calm=_moving_mean(values, 8, 0) if fine else _moving_mean(values, 3, 0),
        actual=_moving_mean(values, 1, 1) if fine else values,
        smooth=_moving_mean(values, 1, 1),
    )


def _moving_mean(values: Floats, back: int, ahead: int) -> Floats:
    """Mean over ``back`` points before to ``ahead`` points after each; gaps are left out, all gaps give NaN."""
    known = np.isfinite(values)
    sums = np.concatenate(([0.0], np.cumsum(np.where(known, values, 0.0))))
    counts = np.concatenate(([0], np.cumsum(known)))
    index = np.arange(values.size)
    low, high = np.maximum(index - back, 0), np.minimum(index + ahead + 1, values.size)
    number = counts[high] - counts[low]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(number > 0, np.maximum(sums[high] - sums[low], 0.0) / number, np.nan)


def _last(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(known[-1])


def _fits(grid: _Grid, season: float, ahead: float) -> bool:
    """Whether the grid resolves the season and reaches far enough back to judge its forecasts."""
    return season >= 4 * grid.step and grid.span >= season + ahead + MIN_RESIDUALS * grid.step


def _shifted(values: Floats, shift: int) -> Floats:
    """The values ``shift`` points earlier at each index; NaN where there are none. ``shift`` >= 0."""
    if shift == 0:
        return values
    out = np.full(values.size, np.nan)
    if shift < values.size:
        out[shift:] = values[:-shift]
    return out


def _candidates(grid: _Grid, ahead: int, seasons: Sequence[float]) -> dict[str, Floats]:
    """Forecasts of the point ``ahead`` steps after each index, by candidate."""
    level, calm = grid.level, grid.calm
    reach = max(ahead, 2)
    slope = (level - _shifted(level, reach)) / reach
    found = {
        "persistence": level,
        "calm persistence": calm,
        "trend": np.clip(level + 0.6 * slope * ahead, 0.0, 2.0 * level),
    }
    for season in seasons:
        period = round(season / grid.step)
        period *= math.ceil((ahead + 1) / period)
        past, older = (_shifted(grid.smooth, back - ahead) for back in (period, 2 * period))
        base, calm_base = _shifted(level, period), _shifted(calm, period)
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = np.clip(np.where(calm_base > 0, calm / calm_base, 1.0), 0.25, 4.0)
        name = f"season of {season:g} s"
        found[name] = past
        found[f"{name} by ratio"] = past * ratio
        found[f"{name} by difference"] = np.maximum(past + level - base, 0.0)
        found[f"{name} by calm difference"] = np.maximum(past + calm - calm_base, 0.0)
        if np.isfinite(older).sum() >= MIN_RESIDUALS + ahead:
            twice = (base + _shifted(level, 2 * period)) / 2
            found[f"two {name}"] = np.maximum((past + older) / 2 + level - twice, 0.0)
    return found


def _roll(grid: _Grid, ahead: int, seasons: Sequence[float]) -> _Rolled | None:
    """Forecast ``ahead`` steps from every origin and now; None where the history is too short to judge."""
    if grid.size <= ahead + MIN_RESIDUALS:
        return None
    found = _candidates(grid, ahead, seasons)
    names = list(found)
    paths = np.stack([found[name] for name in names])
    limit = MAX_FINE_ORIGINS if not seasons or grid.size <= MAX_FINE_ORIGINS else MAX_COARSE_ORIGINS
    start = max(0, grid.size - ahead - limit)
    past, actual = paths[:, start : grid.size - ahead], grid.actual[start + ahead :]
    today = np.array([path[-1] for path in paths])
    usable = np.isfinite(today) & (np.isfinite(past).sum(axis=1) >= MIN_RESIDUALS)
    if not usable.any():
        return None
    past, today, names = past[usable], today[usable], [n for n, ok in zip(names, usable, strict=True) if ok]
    judged = np.isfinite(actual) & np.isfinite(past).all(axis=0)
    if judged.sum() < MIN_RESIDUALS:
        return None
    past, actual = past[:, judged], actual[judged]
    weights = _weights(np.abs(past - actual), actual)
    moments = np.nonzero(judged)[0]
    return _Rolled(
        now=float(weights @ today),
        past=weights @ past,
        actual=actual,
        first=grid.end - grid.step * (grid.size - 1 - start - int(moments[0])),
        last=grid.end - grid.step * (grid.size - 1 - start - int(moments[-1])),
        method=names[int(np.argmax(weights))],
    )


def _weights(errors: Floats, actual: Floats) -> Floats:
    """Weights by the recent mean absolute error to the power -8: the best leads, near ties are averaged."""
    number = errors.shape[1]
    recent = 0.5 ** (np.arange(number - 1, -1, -1) / max(1.0, number / 3))
    error = (errors @ recent) / recent.sum()
    floor = 1e-3 * max(float(actual.mean()), 1e-6)
    raw = np.maximum(error, floor) ** -8.0
    return np.asarray(raw / raw.sum(), dtype=np.float64)


def _outcomes(rolled: _Rolled, grid: _Grid, level: float | None, horizon: float) -> Forecast:
    """Forecast plus relative residuals; ``level`` is today's level of a finer series, where there is one."""
    expected = rolled.now
    mean = float(rolled.actual.mean())
    if level is not None:
        base = _last(grid.level)
        expected = expected * min(4.0, max(0.25, level / base)) if base > 0 else expected + level
    floor = max(FLOOR_SHARE * mean, 1e-9)
    relative = (rolled.actual - rolled.past) / np.maximum(rolled.past, floor)
    pick = np.linspace(0, relative.size - 1, SAMPLES).round().astype(int)
    samples = np.maximum(expected + relative[pick] * max(expected, floor), 0.0)
    return Forecast(horizon, samples, (rolled.first, rolled.last, relative.size), rolled.method)


def _wide(level: float, horizon: float) -> Forecast:
    normal = NormalDist(0.0, WIDE_LOG_SIGMA)
    factors = np.array([math.exp(normal.inv_cdf((i + 0.5) / SAMPLES)) for i in range(SAMPLES)])
    return Forecast(horizon, level * factors, None, "persistence")
