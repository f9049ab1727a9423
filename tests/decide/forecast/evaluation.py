"""Judging forecasts on a trace: rolling origins, the reference forecasts, pinball loss, coverage, bootstrap."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spillway.decide.forecast import ForecastState, paths, updated
from spillway.decide.snapshot import Series
from spillway.simulate.traces import BinTrace, read_trace

Floats = NDArray[np.float64]

LEADS = (600.0, 1800.0, 3600.0)
WINDOW = 600.0
LAG = 15.0
DAY = 86_400.0
ORIGIN_SECONDS = 600.0
FINEST_BIN = 15.0
LEVELS = np.arange(1, 20) / 20
RESIDUALS = 432
"""The reference's errors: of the last three days."""
MIN_RESIDUALS = 12
SENT_POINTS = 40
"""The snapshot's recent part: nothing older is sent again."""


@dataclass(frozen=True)
class Rates:
    """One class's demand on a regular grid: value i is the mean over [i, i + 1) * step, NaN a gap."""

    step: float
    values: Floats

    def window(self, starts: Floats) -> Floats:
        """Mean over [start, start + WINDOW); NaN where a part of it is a gap or outside."""
        known = np.isfinite(self.values)
        grid = np.arange(len(self.values) + 1) * self.step
        sums = np.concatenate(([0.0], np.cumsum(np.where(known, self.values, 0.0) * self.step)))
        gaps = np.concatenate(([0.0], np.cumsum(~known)))
        inside = (starts >= 0) & (starts + WINDOW <= grid[-1] + 1e-6)
        clean = np.interp(starts + WINDOW, grid, gaps) - np.interp(starts, grid, gaps) < 1e-9
        mean = (np.interp(starts + WINDOW, grid, sums) - np.interp(starts, grid, sums)) / WINDOW
        return np.where(inside & clean, mean, np.nan)


def read_rates(path: Path) -> dict[str, Rates]:
    """Requests a second by class."""
    trace = read_trace(path)
    if isinstance(trace, BinTrace):
        return {s.class_name: Rates(trace.width_s, s.requests / trace.width_s) for s in trace.series}
    bins = int(trace.arrival_s[-1] // FINEST_BIN)
    found = {}
    for index, name in enumerate(trace.classes):
        mine = trace.arrival_s[trace.class_index == index]
        counts, _ = np.histogram(mine, bins, (0.0, bins * FINEST_BIN))
        found[name] = Rates(FINEST_BIN, counts / FINEST_BIN)
    return found


def origins_of(rates: dict[str, Rates]) -> tuple[Floats, Floats]:
    """All origins (the end of the last visible bin), and which of them are judged: after a day, or a quarter."""
    some = next(iter(rates.values()))
    length = len(some.values) * some.step
    origins = np.arange(ORIGIN_SECONDS, length - LAG - WINDOW - LEADS[0] + 1, ORIGIN_SECONDS)
    warm = DAY if length >= 2 * DAY else length / 4
    return origins, origins >= warm


@dataclass(frozen=True)
class Forecasts:
    """Quantiles at LEVELS by class and lead: (origins, levels); CPU seconds of each call."""

    made: dict[tuple[str, float], Floats]
    update_seconds: Floats
    path_seconds: Floats


def forecast(rates: dict[str, Rates], origins: Floats, seasons: tuple[int, ...] = (86_400, 604_800)) -> Forecasts:
    """Run the forecaster over the origins as the controller does: only what is visible, only recent points sent."""
    states: dict[str, ForecastState | None] = dict.fromkeys(rates)
    made = {(key, lead): np.full((len(origins), len(LEVELS)), np.nan) for key in rates for lead in LEADS}
    updates, draws = [], []
    offsets = [lead + WINDOW / 2 for lead in LEADS]
    for number, origin in enumerate(origins):
        now = origin + LAG
        for key, rate in rates.items():
            series = _visible(rate, origin)
            began = time.process_time()
            states[key] = updated(states[key], [series], seasons, now)
            updates.append(time.process_time() - began)
        began = time.process_time()
        drawn = paths(states, now, offsets)
        draws.append((time.process_time() - began) / len(rates))
        for key, rows in drawn.items():
            found = np.quantile(rows, LEVELS, axis=0)
            for column, lead in enumerate(LEADS):
                made[key, lead][number] = found[:, column]
    return Forecasts(made, np.array(updates), np.array(draws))


def _visible(rate: Rates, origin: float) -> Series:
    last = round(origin / rate.step)
    first = max(0, last - SENT_POINTS)
    values = tuple(None if np.isnan(v) else float(v) for v in rate.values[first:last])
    return Series((first + 1) * rate.step, rate.step, values)


def references(rate: Rates, origins: Floats, lead: float) -> list[Floats]:
    """Quantiles of persistence and of a day ago, each with its rolling residuals added or scaled: (origins, levels)."""
    starts = origins + LAG + lead
    target = rate.window(starts)
    latest = _filled(rate.window(origins - WINDOW))
    yesterday = _filled(rate.window(starts - DAY))
    floor = 0.05 * float(np.nanmean(rate.values))
    done = np.searchsorted(starts + WINDOW, origins + LAG, side="right")
    found = []
    for point in (latest, yesterday):
        if not np.isfinite(point).any():
            continue
        for unit in (np.ones_like(point), point + floor):
            residuals = (target - point) / unit
            rows = np.full((len(origins), len(LEVELS)), np.nan)
            for i, number in enumerate(done):
                recent = residuals[max(0, number - RESIDUALS) : number]
                recent = recent[np.isfinite(recent)]
                if len(recent) >= MIN_RESIDUALS:
                    rows[i] = np.maximum(0.0, point[i] + unit[i] * np.quantile(recent, LEVELS))
            found.append(rows)
    return found


def _filled(values: Floats) -> Floats:
    """Gaps take the last known value."""
    index = np.maximum.accumulate(np.where(np.isfinite(values), np.arange(len(values)), -1))
    return np.where(index >= 0, values[np.maximum(index, 0)], np.nan)


def pinball(rows: Floats, actual: Floats) -> Floats:
    """Mean pinball loss over LEVELS of each origin."""
    miss = actual[:, None] - rows
    return np.asarray(np.maximum(LEVELS * miss, (LEVELS - 1) * miss).mean(axis=1))


@dataclass(frozen=True)
class Judged:
    """One class at one lead over its judged origins."""

    origins: Floats
    loss: Floats
    reference: Floats
    """Of the better reference by mean loss over these origins."""
    covered: NDArray[np.bool_]
    """Inside the 5% to 95% quantiles."""
    steep_seen: NDArray[np.bool_]
    """The tenth with the largest change over the visible half hour."""
    steep_around: NDArray[np.bool_]
    """The tenth with the largest change from the hour before to the hour after the origin."""
    mean: float
    """Mean demand, requests a second."""


def judge(rate: Rates, origins: Floats, counted: NDArray[np.bool_], rows: Floats, lead: float) -> Judged | None:
    """Compare with the references; None where no origin can be judged."""
    actual = rate.window(origins + LAG + lead)
    latest = _filled(rate.window(origins - WINDOW))
    judged = counted & np.isfinite(actual) & np.isfinite(rows[:, 0]) & np.isfinite(rate.window(origins - WINDOW))
    others = references(rate, origins, lead)
    usable = [q for q in others if np.isfinite(q[judged, 0]).mean() > 0.5] if judged.any() else []
    for q in usable:
        judged &= np.isfinite(q[:, 0])
    if not usable or not judged.any():
        return None
    reference = min((pinball(q[judged], actual[judged]) for q in usable), key=lambda loss: float(loss.mean()))
    step = round(3 * ORIGIN_SECONDS / (origins[1] - origins[0]))
    seen = np.abs(latest - np.concatenate((np.full(step, np.nan), latest[:-step])))
    around = _around(rate, origins)
    band = rows[judged]
    covered = (actual[judged] >= band[:, 0] - 1e-9) & (actual[judged] <= band[:, -1] + 1e-9)
    return Judged(
        origins=origins[judged],
        loss=pinball(band, actual[judged]),
        reference=reference,
        covered=covered,
        steep_seen=_steepest(seen[judged]),
        steep_around=_steepest(around[judged]),
        mean=float(np.nanmean(rate.values)),
    )


def _around(rate: Rates, origins: Floats) -> Floats:
    hours = [np.array([rate.window(origins + shift * WINDOW) for shift in part]) for part in (range(-6, 0), range(6))]
    before, after = (np.where(np.isfinite(h), h, 0).sum(0) / np.maximum(np.isfinite(h).sum(0), 1) for h in hours)
    return np.abs(after - before)


def _steepest(change: Floats) -> NDArray[np.bool_]:
    known = np.nan_to_num(change, nan=0.0)
    return np.asarray(known >= max(float(np.quantile(known, 0.9)), 1e-12))


def interval(judged: list[Judged], scales: list[float], rounds: int = 400, seed: int = 1) -> tuple[float, float, float]:
    """Skill over all of them and its 95% interval from resampled days; each loss is divided by its scale."""
    days = sorted({int(o // DAY) for j in judged for o in j.origins})
    table = np.zeros((2, len(days)))
    for item, scale in zip(judged, scales, strict=True):
        day = np.searchsorted(days, (item.origins // DAY).astype(int))
        for row, loss in enumerate((item.loss, item.reference)):
            table[row] += np.bincount(day, weights=loss / scale, minlength=len(days)) / len(item.origins)
    random = np.random.default_rng(seed)
    draws = random.integers(0, len(days), (rounds, len(days)))
    skills = 1 - table[0][draws].sum(axis=1) / np.maximum(table[1][draws].sum(axis=1), 1e-12)
    low, high = np.quantile(skills, (0.025, 0.975))
    return float(1 - table[0].sum() / table[1].sum()), float(low), float(high)
