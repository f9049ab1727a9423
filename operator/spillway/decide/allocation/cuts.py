"""Linear upper bounds of the work that a lane takes: taken(load, N) = load - left(load, N), concave in both."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from spillway.decide.allocation.problem import Response
from spillway.decide.allocation.types import Floats

_STEP = 0.02
"""Relative step in load of the numerical slope."""


def chords(response: Response, load: float, most: int, limit: int) -> Floats:
    """At a fixed load, rows (constant, slope in N): chords between whole replica counts, exact at all of them.

    Of nearly straight stretches one chord is kept; ``limit`` is the most that are.
    """
    taken = load - response.table(np.asarray(load), most)
    kept = _thin(taken, limit)
    rows = []
    for a, b in pairwise(kept):
        slope = (taken[b] - taken[a]) / (b - a)
        rows.append((taken[a] - slope * a, slope))
    return np.array(rows or [(float(taken[0]), 0.0)])


def _thin(values: Floats, limit: int) -> list[int]:
    """Break points of a concave piecewise-linear fit from below: those where the curve bends most."""
    n = len(values) - 1
    if n <= limit:
        return list(range(n + 1))
    bend = np.zeros(n + 1)
    bend[1:-1] = np.maximum(-(values[2:] - 2 * values[1:-1] + values[:-2]), 0.0)
    # Equal parts of the summed root of curvature equalise the error between break points.
    mass = np.cumsum(np.sqrt(bend))
    if mass[-1] <= 0:
        return [0, n]
    marks = np.searchsorted(mass, mass[-1] * (np.arange(1, limit) / limit))
    return sorted({0, n, *(int(m) for m in marks)})


def tangents(response: Response, points: Floats, most: int) -> Floats:
    """Rows (constant, slope in load, slope in N): planes near ``taken`` at points (P, 2) of (load, N), above it.

    Larger fleets share their headroom, so taken work is not quite concave along load and replicas together; each plane
    is lifted until it is nowhere below.
    """
    whole = np.clip(np.round(points[:, 1]), 1, most).astype(np.int64)
    loads = points[:, 0]
    grid = np.linspace(0.0, 1.6 * most, 33)
    every = np.concatenate([loads, loads * (1 + _STEP), loads * (1 - _STEP), grid])
    table = every[:, None] - response.table(every, most + 1)
    at, up, down = np.split(table[: 3 * len(loads)], 3)
    rows = np.arange(len(loads))
    in_load = np.clip((up[rows, whole] - down[rows, whole]) / np.maximum(2 * _STEP * loads, 1e-9), 0.0, 1.0)
    in_count = np.maximum((at[rows, whole + 1] - at[rows, whole - 1]) / 2, 0.0)
    counts = np.arange(most + 1)
    sloped = in_load[:, None, None] * grid[:, None] + in_count[:, None, None] * counts
    constant = (table[3 * len(loads) :, : most + 1] - sloped).max(axis=(1, 2))
    return np.stack([constant, in_load, in_count], axis=1)
