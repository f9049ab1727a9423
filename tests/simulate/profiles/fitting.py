"""A replica's latency model fitted to measured points: the simulator's formula, or its table, and its KV cache.

A static batch of b alike requests (I in, O out) takes one iteration for the prompts and O - 1 for the tokens. Where the
KV cache holds only m of them they run in waves of m. All of it is linear in the coefficients, so they are found by
least squares of relative errors, none negative, with far-off points counting less; the cache's size by trying.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from simulate.profiles.measured import Kind, Point, Profile
from spillway.simulate.world import StepTable

Floats = NDArray[np.float64]

MIN_FOR_TABLE = 8
WORTH = 0.9
"""A form with more freedom must be better by a tenth on the points that it was fitted to, freedom counted."""
ROUNDS = 8
TOLERANCE = 0.03


@dataclass(frozen=True, slots=True)
class Form:
    """The shape of an iteration's time: a line in the batch and in prompt tokens, or lines between knots."""

    batches: tuple[float, ...] = ()
    """Knots of the batch size; empty: a line."""
    prompts: tuple[float, ...] = ()
    """Knots of the prompt tokens; empty: a line."""
    cache_tokens: float = math.inf

    @property
    def table(self) -> bool:
        """Whether it is more than the formula."""
        return bool(self.batches)

    def wave(self, batch: float, tokens: float) -> float:
        """How many of a batch run at a time."""
        return batch if batch * tokens <= self.cache_tokens else max(1.0, self.cache_tokens // tokens)

    def row(self, point: Point) -> Floats:
        """What each coefficient contributes to the point, in milliseconds."""
        if point.kind is not Kind.END:
            return self._one(point, point.batch)
        whole = self.wave(point.batch, point.input_tokens + point.output_tokens)
        waves, rest = divmod(point.batch, whole)
        total = waves * self._one(point, whole)
        return total + self._one(point, rest) if rest else total

    def _one(self, point: Point, batch: float) -> Floats:
        prompt = batch * point.input_tokens
        held = batch * (point.input_tokens + point.output_tokens / 2) / 1000
        size = _ramps(batch, self.batches)
        none = np.zeros(max(1, len(self.prompts) - 1))
        token = np.concatenate(([1.0], size, [held], none))
        first = np.concatenate(([1.0], size, [prompt / 1000], _ramps(prompt, self.prompts, unit=1000.0)))
        if point.kind is Kind.PROMPT:
            return first
        return token if point.kind is Kind.TOKEN else first + (point.output_tokens - 1) * token


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """A form with its coefficients: alpha, those of the batch, gamma, those of prompt tokens."""

    form: Form
    values: Floats

    def ms(self, point: Point) -> float:
        """What the model says of a point."""
        return float(self.form.row(point) @ self.values)


def step_table(found: Fit, noise_sigma: float = 0.0) -> StepTable:
    """A table fit as the simulator takes it."""
    batches = np.array(found.form.batches)
    values = found.values
    decode_ms = values[0] + np.concatenate(([0.0], np.cumsum(values[1 : len(batches)])))
    gamma, prefill = values[len(batches)], values[len(batches) + 1 :]
    contexts = np.array([1.0, 1e6])
    return StepTable(
        batches,
        contexts,
        decode_ms[:, None] + gamma * np.outer(batches, contexts) / 1000,
        np.array(found.form.prompts or (0.0, 1000.0)),
        np.concatenate(([0.0], np.cumsum(prefill))),
        noise_sigma,
    )


def tabled(profile: Profile) -> Fit:
    """All points of a profile as a table with a knot at every batch size and prompt length, cache apart."""
    batches = tuple(sorted({p.batch for p in profile.points}))
    prompts = (0.0, *sorted({p.batch * p.input_tokens for p in profile.points if p.kind is Kind.PROMPT}))
    form = Form(batches, prompts)
    return Fit(form, _least_squares(form, profile.points)[0])


def halves(profile: Profile) -> tuple[list[Point], list[Point]]:
    """The points as the two colours of a chessboard over batch size and lengths, so that each half spans all.

    Where hardly two points have the same batch, every other one.
    """
    batches = sorted({round(p.batch, 1) for p in profile.points})
    inputs = sorted({p.input_tokens for p in profile.points})
    outputs = sorted({round(p.output_tokens, -1) for p in profile.points})
    alike = all(p.input_tokens == p.output_tokens for p in profile.points)
    colours: tuple[list[Point], list[Point]] = ([], [])
    if len(batches) > len(profile.points) / 2:
        return list(profile.points[::2]), list(profile.points[1::2])
    for p in profile.points:
        place = batches.index(round(p.batch, 1)) + inputs.index(p.input_tokens)
        if not alike:
            place += outputs.index(round(p.output_tokens, -1))
        colours[place % 2].append(p)
    return colours


def fit(points: Sequence[Point]) -> Fit:
    """The best form for these points; the others are not looked at."""
    best: tuple[float, Fit] | None = None
    for form in _forms(points):
        values, error = _least_squares(form, points)
        freedom = int(np.count_nonzero(values)) + (form.cache_tokens < math.inf)
        score = error * len(points) / max(1, len(points) - freedom)
        bar = WORTH if form.table or form.cache_tokens < math.inf else 1.0
        if best is None or score < bar * best[0]:
            best = score, Fit(form, values)
    assert best is not None
    return best[1]


def _forms(points: Sequence[Point]) -> list[Form]:
    ends = sorted({p.batch * (p.input_tokens + p.output_tokens) for p in points if p.kind is Kind.END})
    caches = [math.inf, *ends[len(ends) // 3 : -1]]
    batches = tuple(sorted({p.batch for p in points}))
    seen_twice = all(sum(p.batch == b for p in points) >= 2 for b in batches)
    found = [Form(cache_tokens=cache) for cache in caches]
    if len(points) >= MIN_FOR_TABLE and len(batches) > 2 and seen_twice:
        tokens = sorted({p.batch * p.input_tokens for p in points if p.kind is Kind.PROMPT})
        prompts = (0.0, *tokens[1::2]) if len(tokens) > 4 else ()
        found += [Form(batches, prompts, cache) for cache in caches]
    return found


def _least_squares(form: Form, points: Sequence[Point]) -> tuple[Floats, float]:
    rows = np.array([form.row(p) / p.ms for p in points])
    weights = np.ones(len(points))
    values, left = np.zeros(rows.shape[1]), np.ones(len(points))
    for _ in range(ROUNDS):
        values = _non_negative(rows * weights[:, None], weights)
        left = np.abs(rows @ values - 1.0)
        weights = 1.0 / np.sqrt(np.maximum(left, TOLERANCE))
    return values, float(np.mean(np.minimum(left, 1.0)))


def _non_negative(rows: Floats, targets: Floats) -> Floats:
    """Least squares without negative coefficients: the one that is worst in effect goes to 0, until none is."""
    active = list(range(rows.shape[1]))
    values = np.zeros(rows.shape[1])
    while active:
        found = np.linalg.lstsq(rows[:, active], targets, rcond=None)[0]
        if (found >= -1e-12).all():
            values[active] = np.maximum(found, 0.0)
            break
        active.pop(int(np.argmin(found * np.linalg.norm(rows[:, active], axis=0))))
    return values


def _ramps(value: float, knots: Sequence[float], unit: float = 1.0) -> Floats:
    """How far the value is between each pair of knots, 0 to 1; the last goes on. Without knots: the value itself."""
    if not knots:
        return np.array([value / unit])
    last = len(knots) - 2
    steps = [(value - a) / (b - a) for a, b in pairwise(knots)]
    return np.array([max(0.0, s) if i == last else min(max(s, 0.0), 1.0) for i, s in enumerate(steps)])
