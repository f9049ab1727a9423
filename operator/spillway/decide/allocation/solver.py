"""Branch and bound over linear programs that HiGHS solves from the last basis: what it found within its limits.

Few columns are whole (the replicas of the first periods) and the relaxation is within a percent or two, so a handful
of re-solves of about a millisecond each is enough. HiGHS's own search spends 30-600 ms on the same programs, mostly in
heuristics at the root, and looks at the clock too seldom (docs/decisions/0012); tests compare both.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import highspy
import numpy as np

from spillway.decide.allocation.model import Model
from spillway.decide.allocation.types import Floats, Ints

_ROWWISE, _MINIMISE = 2, 1
_OPTIONS = (("output_flag", False), ("threads", 1), ("parallel", "off"), ("random_seed", 7), ("presolve", "off"))
_WHOLE = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """Column values and how good they are."""

    values: Floats
    usd: float
    gap: float
    """Relative distance to the bound that is proven."""
    optimal: bool
    """Within the asked gap; False: a limit came first."""


@dataclass(slots=True)
class _Node:
    bound: float
    lower: Floats
    upper: Floats


def run(model: Model, seconds: float, gap: float, nodes: int) -> Solution | None:
    """The best solution within so many re-solves and so much time, or None if there is none by then."""
    deadline = time.monotonic() + seconds
    highs = _passed(model, seconds)
    whole = np.flatnonzero(model.integer).astype(np.int32)
    open_ = [_Node(-np.inf, model.lower[whole], model.upper[whole])]
    best: tuple[float, Floats] | None = None
    skipped, solved = np.inf, 0
    while open_ and (solved == 0 or (solved <= nodes and time.monotonic() < deadline)):
        node = open_.pop()
        if node.bound >= _worth(best, gap):
            skipped = min(skipped, node.bound)
            continue
        found = _relaxed(highs, whole, node)
        solved += 1
        if found is None:
            continue
        usd, values = found
        part = values[whole] - np.floor(values[whole] + _WHOLE)
        part[part < _WHOLE] = 0.0
        if usd >= _worth(best, gap):
            skipped = min(skipped, usd)
        elif not part.any():
            best = (usd, values)
        else:
            open_ += _branches(node, usd, values[whole], part)
    if best is None:
        return None
    bound = min([best[0], skipped, *(node.bound for node in open_)])
    distance = (best[0] - bound) / max(abs(best[0]), 1e-9)
    return Solution(best[1], best[0], float(distance), distance <= gap + 1e-9)


def _passed(model: Model, seconds: float) -> highspy.Highs:
    """A new object each time (0.2 ms), so that no answer depends on what was asked before."""
    highs = highspy.Highs()
    for name, value in (*_OPTIONS, ("time_limit", seconds)):
        highs.setOptionValue(name, value)
    highs.passModel(
        len(model.cost), len(model.row_lower), len(model.values), _ROWWISE, _MINIMISE, 0.0, model.cost,
        model.lower, model.upper, model.row_lower, model.row_upper, model.starts, model.columns, model.values,
        np.zeros_like(model.integer),
    )  # fmt: skip
    return highs


def _relaxed(highs: highspy.Highs, whole: Ints, node: _Node) -> tuple[float, Floats] | None:
    """Dollars and columns of the node's linear program; None where it has no solution (in time)."""
    if len(whole):
        highs.changeColsBounds(len(whole), whole, node.lower, node.upper)
    highs.run()
    if highs.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        return None
    return float(highs.getInfo().objective_function_value), np.array(highs.getSolution().col_value)


def _worth(best: tuple[float, Floats] | None, gap: float) -> float:
    """A bound from here on can't improve the best by more than the gap."""
    return np.inf if best is None else best[0] - gap * abs(best[0])


def _branches(node: _Node, usd: float, values: Floats, part: Floats) -> list[_Node]:
    """Both sides of the column furthest from whole; the last, which is looked at first, is the nearer one."""
    column = int(np.argmax(np.minimum(part, 1 - part)))
    lower, upper = node.lower.copy(), node.upper.copy()
    lower[column], upper[column] = np.ceil(values[column] - _WHOLE), np.floor(values[column] + _WHOLE)
    up, down = _Node(usd, lower, node.upper), _Node(usd, node.lower, upper)
    return [down, up] if part[column] > 0.4 else [up, down]
