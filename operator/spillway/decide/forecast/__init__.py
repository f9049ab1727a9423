"""Forecast of demand."""

from spillway.decide.forecast.rolling import SAMPLES, Floats, Forecast, Forecaster

__all__ = ["SAMPLES", "Floats", "Forecast", "Forecaster"]
