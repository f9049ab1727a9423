"""Learning from closed slots, block by block: each past origin whose target has come is judged, then learned from.

Four forecasts compete per horizon: a recursive ridge regression of the logarithm of growth with a learned scale of its
error, persistence, the same time a season ago, and persistence with errors in proportion to the level. Each carries the
quantiles of its own recent errors (conformal), and their quantiles are averaged with weights that their recent pinball
loss earns.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from spillway.decide.forecast.errors import NORMAL, PROBABILITIES, Past, order_of, outcomes_of, shapes_of
from spillway.decide.forecast.features import FEATURES, SCALES, Origins, View, look, prepare
from spillway.decide.forecast.state import (
    EXPERTS,
    HORIZONS,
    RESIDUALS,
    SAMPLES,
    STARTS,
    Floats,
    Learned,
    Regression,
)

OFFSET_SHARE = 0.1
FORGET = 0.999
"""Per slot: half is forgotten in five days of 144 slots."""
LOSS_FORGET = 0.5 ** (1 / 72)
TRUST_POWER = 12.0
TRUST_SLOTS = 24.0
PRIOR_TRUST = np.array([1.0, 0.5, 1.0, 0.5])[:, None]
"""The two persistences share one."""
REGRESSION_SLOTS = 72.0
"""The regression is half trusted beforehand when it has learned from so many slots."""
CLIPPED_ERRORS = 2.5
"""Errors beyond this many typical ones teach no more than that."""
CLIPPED_SCALES = 5.0
FIRST_ERROR = 0.28
"""Mean absolute error of a forecast without history, as a logarithm: 90% of outcomes within about +-75%."""
SCALE_RANGE = (0.25, 4.0)
LEAST_ERROR = 0.005
MOST_SCALES = 30.0
DOUBT = 6.0
"""Origins for which all forecasts are held to be equally good beforehand."""
REACH = 1.5
REACH_FORGET = 0.9995
LEAST_REACH = np.full(FEATURES, 0.05)
LEAST_REACH[[0, 5, 6, 9]] = 1e3
"""The constant and the growth of past seasons say nothing of a regime that is new."""
SURPRISE_SCALE = 0.25
YOUNG_SLOTS = 24
JUDGED = np.array((6, 19, 32, 45, 57, 70, 82, 95, 108, 121))
"""Outcomes by rank whose pinball loss judges a forecast: 5% to 95%."""
_HOURS_PULL = 1 - np.exp(-(STARTS + 1.0) / 36)

CHANGE_PRIOR = np.zeros((HORIZONS, FEATURES))
CHANGE_PRIOR[:, 5], CHANGE_PRIOR[:, 6] = 0.2, 0.6
CHANGE_PRIOR[:, 7], CHANGE_PRIOR[:, 8] = 0.3 * _HOURS_PULL, 0.7 * _HOURS_PULL
CHANGE_RIDGE = np.diag([20.0] + [5.0] * (FEATURES - 1))
SCALE_PRIOR = np.zeros((HORIZONS, SCALES))
SCALE_PRIOR[:, 0], SCALE_PRIOR[:, 1] = 0.05, 0.5
SCALE_RIDGE = np.diag([3.0] * SCALES)


def unlearned(upto: int) -> Learned:
    """Nothing learned yet: the priors."""
    zeros = np.zeros((HORIZONS, FEATURES))
    change = Regression(np.zeros((HORIZONS, FEATURES, FEATURES)), zeros, CHANGE_PRIOR)
    scale = Regression(np.zeros((HORIZONS, SCALES, SCALES)), np.zeros((HORIZONS, SCALES)), SCALE_PRIOR)
    shapes = np.full((EXPERTS, SAMPLES, HORIZONS), np.nan)
    shapes[0] = NORMAL[:, None]
    weights = np.zeros((EXPERTS, HORIZONS))
    weights[0] = 1.0
    return Learned(
        upto=upto,
        count=0,
        offset=0.0,
        change=change,
        scale=scale,
        reach=np.broadcast_to(LEAST_REACH, (HORIZONS, FEATURES)).copy(),
        typical_error=np.full(HORIZONS, FIRST_ERROR),
        errors=np.full((RESIDUALS, HORIZONS), np.nan, dtype=np.float32),
        losses=np.zeros((EXPERTS, HORIZONS)),
        loss_weight=np.zeros(HORIZONS),
        weights=weights,
        shapes=shapes,
        order=np.repeat(np.arange(SAMPLES)[:, None], HORIZONS, axis=1),
        cap=0.0,
    )


def block_slots(count: int) -> int:
    """Slots learned from at once: few at first and while running, more while reading a long history."""
    return max(3, min(72, count // 8))


def learn(learned: Learned, past: Past) -> Learned:
    """Judge and learn from all whole blocks of slots that are not learned from yet."""
    while past.end - learned.upto >= block_slots(0):
        size = min(block_slots(learned.count), past.end - learned.upto)
        learned = _learn_block(learned, past, learned.upto + size)
    return learned


@dataclass(frozen=True, slots=True, eq=False)
class Expected:
    """What the regression expects of each origin, arrays (n, horizons)."""

    rows: Floats
    """(n, horizons, features): the regressors, clipped to where something was learned."""
    change: Floats
    """Of the logarithm of demand from the level."""
    scale: Floats
    """Mean absolute error of that."""
    surprise: Floats
    """How far the regressors lie beyond anything seen, as a logarithm: a regime that is new."""


def expect(learned: Learned, view: View) -> Expected:
    """The regression at these origins. Where a jump is larger than any before, the new level is believed."""
    limit = REACH * learned.reach
    rows = np.clip(view.change, -limit, limit)
    surprise = np.abs(view.change - rows).max(axis=2)
    change = np.einsum("nkf,kf->nk", rows, learned.change.coefficients)
    scale = np.einsum("nkf,kf->nk", view.scale, learned.scale.coefficients)
    low, high = max(SCALE_RANGE[0], 1 - learned.count / YOUNG_SLOTS), SCALE_RANGE[1]
    scale = np.clip(scale, low * learned.typical_error, high * learned.typical_error)
    return Expected(rows, change, scale + SURPRISE_SCALE * surprise, surprise)


def _learn_block(learned: Learned, past: Past, upto: int) -> Learned:
    learned = replace(learned, offset=_offset(past, learned.upto), cap=_cap(past, learned.upto))
    seen = prepare(past.values, past.season, learned.offset, past.slot_seconds)
    ends = np.arange(learned.upto + 1, upto + 1)
    origins = ends[:, None] - (STARTS + 1)
    position = origins - past.first
    inside = np.clip(position - 1, 0, len(past.values) - 1)
    level, mean = past.levels[inside], past.values[inside]
    actual = np.broadcast_to(past.values[ends - 1 - past.first][:, None], origins.shape)
    valid = (position >= 1) & np.isfinite(level) & np.isfinite(mean) & np.isfinite(actual)
    level, mean, actual = (np.where(valid, a, 0.0) for a in (level, mean, actual))
    view = look(seen, Origins(position.astype(np.float64), level, mean))
    expected = expect(learned, view)
    scale = expected.scale
    error = np.log(actual + learned.offset) - view.level - expected.change
    losses, loss_weight = _losses(learned, view, level, expected, actual, valid)
    errors = learned.errors.copy()
    errors[origins % RESIDUALS, np.arange(HORIZONS)] = np.where(
        valid, np.clip(error / scale, -MOST_SCALES, MOST_SCALES), np.nan
    )
    typical, number = learned.typical_error, valid.sum(axis=0)
    clipped = np.clip(error, -CLIPPED_ERRORS * typical, CLIPPED_ERRORS * typical)
    lately = past.values[max(0, upto - past.first - round(past.season)) : upto - past.first]
    lately = lately[np.isfinite(lately)]
    usual = float(lately.mean()) if lately.size else 0.0
    weight = np.where(valid, np.sqrt((level + learned.offset) / (usual + learned.offset)), 0.0)
    keep = min(0.99, learned.count / (learned.count + 4)) ** number
    absolute = np.abs(error)
    new_typical = keep * typical + (1 - keep) * np.where(valid, absolute, 0.0).sum(axis=0) / np.maximum(number, 1)
    sizes = np.where(valid[:, :, None], np.abs(view.change), 0.0).max(axis=0)
    reach = np.maximum(REACH_FORGET ** len(ends) * learned.reach, np.maximum(sizes, LEAST_REACH))
    learned = replace(
        learned,
        upto=upto,
        reach=reach,
        count=learned.count + int(upto - learned.upto),
        change=_regress(
            learned.change,
            np.clip(view.change, -reach, reach),
            expected.change + clipped,
            weight,
            (CHANGE_PRIOR, CHANGE_RIDGE),
        ),
        scale=_regress(
            learned.scale,
            view.scale,
            np.minimum(absolute, CLIPPED_SCALES * typical),
            valid.astype(np.float64),
            (SCALE_PRIOR, SCALE_RIDGE),
        ),
        typical_error=np.maximum(new_typical, LEAST_ERROR),
        errors=errors,
        losses=losses,
        loss_weight=loss_weight,
    )
    shapes = shapes_of(learned, past, seen)
    return replace(learned, shapes=shapes, weights=_weights(learned, shapes), order=order_of(learned))


def _offset(past: Past, upto: int) -> float:
    recent = past.values[max(0, upto - past.first - round(past.season)) : max(1, upto - past.first)]
    known = recent[recent > 0]
    return OFFSET_SHARE * (float(known.mean()) if known.size else 0.0) + 0.5 / past.slot_seconds


def _cap(past: Past, upto: int) -> float:
    known = past.values[: max(1, upto - past.first)]
    known = known[np.isfinite(known)]
    return float(known.max()) if known.size else 0.0


def _regress(
    regression: Regression, rows: Floats, target: Floats, weight: Floats, prior: tuple[Floats, Floats]
) -> Regression:
    """One block more, the older ones discounted; the ridge pulls towards the prior."""
    mean, ridge = prior
    x = rows.transpose(1, 0, 2)
    weighted = (rows * weight[:, :, None]).transpose(1, 2, 0)
    fade = FORGET ** rows.shape[0]
    gram = fade * regression.gram + weighted @ x
    moment = fade * regression.moment + (weighted @ target.T[:, :, None])[:, :, 0]
    right = moment + mean @ ridge
    return Regression(gram, moment, np.linalg.solve(gram + ridge, right[:, :, None])[:, :, 0])


def _losses(
    learned: Learned, view: View, level: Floats, expected: Expected, actual: Floats, valid: Floats
) -> tuple[Floats, Floats]:
    shapes = learned.shapes[:, JUDGED][:, :, None, :]
    plain = (level, view.season_ago)
    made = outcomes_of(shapes, learned.offset, learned.cap, (view.level + expected.change, expected.scale), plain)
    miss = actual - made
    p = PROBABILITIES[JUDGED][:, None, None]
    loss = np.maximum(p * miss, (p - 1) * miss).mean(axis=1)
    worst = np.nanmax(np.where(np.isnan(loss), -1.0, loss), axis=0)
    loss = np.where(np.isnan(loss), worst, loss) * valid
    fade = LOSS_FORGET ** np.arange(loss.shape[1] - 1, -1, -1)[:, None]
    all_faded = LOSS_FORGET ** loss.shape[1]
    return (
        all_faded * learned.losses + (loss * fade).sum(axis=1),
        all_faded * learned.loss_weight + (valid * fade).sum(axis=0),
    )


def _weights(learned: Learned, shapes: Floats) -> Floats:
    usable = np.isfinite(shapes[:, 0, :])
    weight = learned.loss_weight + 1e-9
    same = np.where(usable, learned.losses, 0.0).sum(axis=0) / usable.sum(axis=0) / weight
    mean = (learned.losses + DOUBT * same) / (weight + DOUBT)
    least = np.maximum(mean.max(axis=0) * 1e-3, 1e-12)
    trust = np.maximum(mean, least) / np.maximum(np.where(usable, mean, np.inf).min(axis=0), least)
    prior = PRIOR_TRUST * np.ones(HORIZONS)
    prior[0] *= learned.count / (learned.count + REGRESSION_SLOTS)
    raw = np.where(usable, prior * trust ** (-TRUST_POWER * weight / (weight + TRUST_SLOTS)), 0.0)
    return np.asarray(raw / raw.sum(axis=0), dtype=np.float64)
