"""HiGHS on a model: one thread, limits of nodes and time, and what it found by then."""

from __future__ import annotations

from dataclasses import dataclass

import highspy
import numpy as np

from spillway.decide.allocation.model import Model
from spillway.decide.allocation.types import Floats

_ROWWISE, _MINIMISE = 2, 1
_OPTIONS = (("output_flag", False), ("threads", 1), ("parallel", "off"), ("random_seed", 7))


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """Column values and how good they are."""

    values: Floats
    usd: float
    gap: float
    """Relative distance to the bound; 0 where proven within the tolerance of the solver."""
    optimal: bool
    """Within the asked gap; False: the time limit came first."""


def run(model: Model, seconds: float, gap: float, nodes: int) -> Solution | None:
    """The best solution within the limits, or None if there is none.

    A new HiGHS object each time (0.2 ms): a reused one counts the time of linear programs on from run to run, and what
    it answers would depend on what it was asked before.
    """
    highs = highspy.Highs()  # type: ignore[no-untyped-call]
    for name, value in (*_OPTIONS, ("time_limit", seconds), ("mip_rel_gap", gap), ("mip_max_nodes", nodes)):
        highs.setOptionValue(name, value)
    highs.passModel(
        len(model.cost), len(model.row_lower), len(model.values), _ROWWISE, _MINIMISE, 0.0, model.cost,
        model.lower, model.upper, model.row_lower, model.row_upper, model.starts, model.columns, model.values,
        model.integer,
    )  # fmt: skip
    highs.run()
    info, status = highs.getInfo(), highs.getModelStatus()
    if info.primal_solution_status != highspy.SolutionStatus.kSolutionStatusFeasible:
        return None
    optimal = status == highspy.HighsModelStatus.kOptimal
    found = float(info.mip_gap) if model.integer.any() else 0.0
    return Solution(np.array(highs.getSolution().col_value), float(info.objective_function_value), found, optimal)
