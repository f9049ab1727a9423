"""What a scenario is, in figures: requests, work in replicas, prices, and how they compare."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from spillway.simulate.backtest.store import Code, Store, run_key
from spillway.simulate.bound.demand import SUBPIECES, demand, totals
from spillway.simulate.scenario import Scenario
from spillway.simulate.score import HOUR_SECONDS

ITL_SHARE = 0.65
"""A replica's work is counted at the cap whose iterations take this share of the strictest inter-token objective."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Of one seed; money in US dollars."""

    scenario: str
    requests: int
    mean_input_tokens: float
    mean_output_tokens: float
    mean_replicas: float
    """Replicas' worth of work, over the whole span."""
    peak_replicas: float
    """In the busiest five minutes."""
    peak_minute_replicas: float
    usd_per_replica_hour: float
    startup_s: float
    hosted_usd_per_hour: float
    """If all of the scored demand were hosted."""
    price_ratio: float
    """Hosted dollars over GPU dollars of the same scored work on full replicas."""
    warmup_s: float
    duration_s: float


def facts_of(scenario: Scenario, seed: int, store: Store) -> Facts:
    """The figures of one seed, kept from before where they are."""
    key = run_key("facts", scenario.content_hash, seed, code=Code.SEARCH)
    kept = store.get(key)
    if kept is not None:
        return Facts(**kept)
    found = _facts(scenario, seed)
    store.put(key, asdict(found))
    return found


def _facts(scenario: Scenario, seed: int) -> Facts:
    world, workload = scenario.world, scenario.workload(seed)
    summed = totals(world, workload)
    lane, need = min(
        zip(world.own, demand(world, summed, ITL_SHARE).lanes, strict=True),
        key=lambda pair: float(pair[1].load.sum()) * pair[0].usd_per_replica_hour,
    )
    pieces = need.load.reshape(-1, SUBPIECES)
    share = summed.billed / summed.billed.sum()
    scored_hours = float(summed.billed.sum()) / HOUR_SECONDS
    gpu_usd = float(share @ pieces.mean(axis=1)) * scored_hours * lane.usd_per_replica_hour
    hosted_usd = float(summed.hosted_usd.sum())
    return Facts(
        scenario=scenario.name,
        requests=workload.size,
        mean_input_tokens=float(np.mean(workload.input_tokens)),
        mean_output_tokens=float(np.mean(workload.output_tokens)),
        mean_replicas=float(need.load.mean()),
        peak_replicas=float(pieces.mean(axis=1).max()),
        peak_minute_replicas=float(need.load.max()),
        usd_per_replica_hour=lane.usd_per_replica_hour,
        startup_s=lane.startup_mean_s,
        hosted_usd_per_hour=hosted_usd / scored_hours,
        price_ratio=hosted_usd / gpu_usd,
        warmup_s=world.warmup_s,
        duration_s=world.duration_s,
    )
