"""The very same requests through fleets of constant size, in virtual time: what a static fleet would have done.

No hosted overflow: all traffic is local. The smallest fleet that holds the SLO is what Spillway is compared to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from spillway.simulate.replica import Request
from spillway_dev.fleet.config import FleetConfig
from spillway_dev.fleet.ledger import ClassScore
from spillway_dev.fleet.model import FleetModel, ReplicaView

STEP_S = 1.0
DRAIN_LIMIT_S = 3600.0


@dataclass(frozen=True, slots=True)
class StaticFleet:
    """A constant fleet's score on the scored day."""

    replicas: int
    held: bool
    attainment: float
    token_attainment: float
    score: ClassScore
    gpu_seconds: float
    gpu_usd: float


def constant_views(prefix: str, replicas: int) -> list[ReplicaView]:
    """`replicas` pods that are Ready from the start, on a node each."""
    names = (f"{prefix}-{index}" for index in range(replicas))
    return [ReplicaView(name, name, f"node-{name}", ready=True, terminating=False) for name in names]


def run_static(config: FleetConfig, requests: Sequence[Request], replicas: int, start_s: float) -> StaticFleet:
    """Serve every request on `replicas` replicas of the first lane and let the last one end."""
    lane = config.lanes[0]
    fleet = FleetModel(config, requests, config.service_rng(), start_s=start_s, metrics=False)
    for traffic in config.classes:
        local = next(name for name, target in traffic.backends.items() if target == lane.name)
        fleet.set_weights(traffic.name, {local: 1})
    fleet.set_replicas(lane.name, constant_views("static", replicas))
    limit_s = config.demand.day_seconds + DRAIN_LIMIT_S
    while not fleet.exhausted and fleet.now_s < limit_s:
        fleet.advance(fleet.now_s + STEP_S)
    gpu_seconds = fleet.lanes[lane.name].gpu_seconds(0.0, config.demand.day_seconds)
    usd = gpu_seconds / 3600.0 * lane.usd_per_gpu_hour
    score = fleet.ledger.total()
    return StaticFleet(
        replicas, fleet.ledger.held(), score.attainment or 0.0, score.token_attainment or 0.0, score, gpu_seconds, usd
    )


def holds_slo(fleet: StaticFleet) -> bool:
    """Whether every class holds its SLO."""
    return fleet.held


def at_least(attainment: float, token_attainment: float) -> Callable[[StaticFleet], bool]:
    """Whether a fleet is as good as given shares of requests and tokens that meet their SLO."""
    return lambda fleet: fleet.attainment >= attainment and fleet.token_attainment >= token_attainment


def smallest_static(
    config: FleetConfig,
    requests: Sequence[Request],
    start_s: float,
    good: Callable[[StaticFleet], bool] = holds_slo,
    most: int = 64,
) -> StaticFleet | None:
    """The smallest constant fleet that is `good`; None where `most` replicas are not.

    Bisection: under fewest-in-flight routing a larger fleet serves the same requests no worse.
    """
    low, high = 0, most + 1
    best: StaticFleet | None = None
    while high - low > 1:
        middle = (low + high) // 2
        run = run_static(config, requests, middle, start_s)
        if good(run):
            best, high = run, middle
        else:
            low = middle
    return best
