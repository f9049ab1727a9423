"""What one more GPU, one more dollar of ceiling, one more thousand tokens a minute would save: solved again with it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from spillway.decide.allocation.coupled import Effort
from spillway.decide.allocation.parts import fitted, split
from spillway.decide.allocation.problem import Problem
from spillway.decide.allocation.solve import Settings, expected_usd

TOKENS_PER_MINUTE = 1_000.0
THOROUGH = Effort(seconds=10.0, nodes=10_000, gap=1e-6, columns=2000)


@dataclass(frozen=True, slots=True)
class Marginals:
    """Dollars an hour saved over the horizon; nan where a solve found nothing in its time."""

    lanes: Mapping[str, float]
    """By own lane: one replica above its bound (and the GPUs for it, where its pool has a limit)."""
    pools: Mapping[str, float]
    """By pool: GPUs for one replica of the lane that needs the fewest."""
    ceiling: float
    """One dollar an hour on top of the plan's ceiling; 0 without one."""
    tiers: Mapping[str, float]
    """One dollar an hour on top of a tier's ceiling."""
    hosted: Mapping[str, float]
    """By hosted lane: 1,000 tokens a minute more."""

    def by_bound(self) -> dict[str, float]:
        """Those that are known and finite, by a name of the bound: "lane/gpu", "pool/p", "ceiling", ..."""
        kinds = (("lane", self.lanes), ("pool", self.pools), ("tier", self.tiers), ("tokens-per-minute", self.hosted))
        found = {f"{kind}/{name}": usd for kind, values in kinds for name, usd in values.items()}
        found["ceiling"] = self.ceiling
        return {name: usd for name, usd in found.items() if math.isfinite(usd)}


def marginal_values(problem: Problem, settings: Settings | None = None) -> Marginals:
    """Re-solve with each bound moved. Costs one solve a bound: for reports, not for every tick."""
    settings, problem = settings or Settings(effort=THOROUGH), fitted(problem)
    parts = [(tuple(x.name for x in part.lanes), tuple(c.key for c in part.classes)) for part in split(problem)]
    base, hours = expected_usd(problem, settings, parts), float(problem.hours.sum())

    def saved(moved: Problem) -> float:
        return max(0.0, base - expected_usd(moved, settings, parts)) / hours

    lanes = {}
    for lane in problem.lanes:
        larger = tuple(replace(x, max_replicas=x.max_replicas + 1) if x is lane else x for x in problem.lanes)
        pools = dict(problem.pools)
        if lane.pool in pools:
            pools[lane.pool] += lane.gpus_per_replica
        lanes[lane.name] = saved(replace(problem, lanes=larger, pools=pools))
    pools_saved = {}
    for pool, gpus in problem.pools.items():
        more = min((lane.gpus_per_replica for lane in problem.lanes if lane.pool == pool), default=1)
        pools_saved[pool] = saved(replace(problem, pools={**problem.pools, pool: gpus + more}))
    ceiling = problem.ceiling_usd_per_hour
    tiers, tokens = problem.tier_usd_per_hour, problem.hosted_tokens_per_minute
    return Marginals(
        lanes,
        pools_saved,
        saved(replace(problem, ceiling_usd_per_hour=ceiling + 1)) if math.isfinite(ceiling) else 0.0,
        {k: saved(replace(problem, tier_usd_per_hour={**tiers, k: v + 1})) for k, v in tiers.items()},
        {
            k: saved(replace(problem, hosted_tokens_per_minute={**tokens, k: v + TOKENS_PER_MINUTE}))
            for k, v in tokens.items()
        },
    )
