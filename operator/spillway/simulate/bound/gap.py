"""Why a replay costs more than the bound, in steps that multiply to the whole."""

from __future__ import annotations

from dataclasses import dataclass

from spillway.simulate.bound.demand import demand, totals
from spillway.simulate.bound.lower import cost_bound, unpaid_startups
from spillway.simulate.bound.plan import PlanRule, plan, planned_usd
from spillway.simulate.bound.trial import Trial, shortest_hold_s
from spillway.simulate.world import Workload, World


@dataclass(frozen=True, slots=True)
class Gap:
    """Dollars at each step from the bound up to the replay."""

    work_usd: float
    """Service work alone, start-up free."""
    bound_usd: float
    """The bound: start-up paid."""
    concurrency_usd: float
    """The bound with alpha charged at the iterations that hold the objective, instead of the longest possible."""
    planned_usd: float
    """What the plan expects: whole replicas for five minutes each, and room for random arrivals, or hosting them."""
    played_usd: float
    """What the simulator made of it."""

    def __str__(self) -> str:
        startup, ratio = self.bound_usd / self.work_usd, self.played_usd / self.bound_usd
        return (
            f"replay/bound {ratio:.3f} = concurrency {self.concurrency_usd / self.bound_usd:.3f} x whole replicas and "
            f"random arrivals {self.planned_usd / self.concurrency_usd:.3f} x latency and start-up lead "
            f"{self.played_usd / self.planned_usd:.3f}; start-up in the bound {startup:.3f}"
        )


def explain(world: World, workload: Workload, trial: Trial) -> Gap:
    """Take a replay's distance from the bound apart."""
    needs = demand(world, totals(world, workload), trial.settings.itl_share)
    rule = PlanRule(shortest_hold_s(world, trial.settings), trial.settings.margin)
    return Gap(
        work_usd=cost_bound(unpaid_startups(world), workload).cost_usd,
        bound_usd=cost_bound(world, workload).cost_usd,
        concurrency_usd=cost_bound(world, workload, tuple(need.step_s for need in needs.lanes)).cost_usd,
        planned_usd=planned_usd(world, needs, rule, plan(world, needs, rule)),
        played_usd=trial.result.cost_usd,
    )
