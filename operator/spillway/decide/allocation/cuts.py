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
    """Rows (constant, slope in load, slope in N): planes that touch ``taken`` at points (P, 2) of (load, N)."""
    rows = []
    loads = np.unique(np.concatenate([points[:, 0], points[:, 0] * (1 + _STEP), points[:, 0] * (1 - _STEP)]))
    table = loads[:, None] - response.table(loads, most + 1)
    for load, count in points:
        n = int(min(max(round(count), 1), most))
        at, up, down = (int(np.searchsorted(loads, load * f)) for f in (1.0, 1 + _STEP, 1 - _STEP))
        in_load = (table[up, n] - table[down, n]) / (loads[up] - loads[down]) if load > 0 else 1.0
        in_count = (table[at, n + 1] - table[at, n - 1]) / 2
        in_load, in_count = min(max(in_load, 0.0), 1.0), max(in_count, 0.0)
        # Nothing is taken of no load by no replicas, and no plane may ask for less, whatever the slopes' rounding.
        rows.append((max(table[at, n] - in_load * load - in_count * n, 0.0), in_load, in_count))
    return np.array(rows)
