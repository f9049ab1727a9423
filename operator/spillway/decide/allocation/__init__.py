"""Replicas over time and shares of traffic at the least expected cost, under everything that binds."""

from spillway.decide.allocation.coupled import Effort
from spillway.decide.allocation.marginal import Marginals, marginal_values
from spillway.decide.allocation.plan import AllocationState, LanePlan, Plan, Schedule, Status
from spillway.decide.allocation.prices import MissPrice, pacing_factor
from spillway.decide.allocation.problem import (
    AllocationError,
    ClassProblem,
    HostedOption,
    LaneProblem,
    Problem,
    Response,
)
from spillway.decide.allocation.program import Policy, solve_lane
from spillway.decide.allocation.solve import Settings, allocate

__all__ = [
    "AllocationError",
    "AllocationState",
    "ClassProblem",
    "Effort",
    "HostedOption",
    "LanePlan",
    "LaneProblem",
    "Marginals",
    "MissPrice",
    "Plan",
    "Policy",
    "Problem",
    "Response",
    "Schedule",
    "Settings",
    "Status",
    "allocate",
    "marginal_values",
    "pacing_factor",
    "solve_lane",
]
