"""Forecast of demand: joint sample paths over all classes and horizons, learned while history comes in."""

from spillway.decide.forecast.paths import paths, quantile
from spillway.decide.forecast.state import SAMPLES, Floats, ForecastState
from spillway.decide.forecast.steady import Steady, steadied
from spillway.decide.forecast.update import updated

__all__ = [
    "SAMPLES",
    "Floats",
    "ForecastState",
    "Steady",
    "paths",
    "quantile",
    "steadied",
    "updated",
]
