"""Random, lean and hill-climbed schedules, executed in the simulator, never cost less than the bound."""

from __future__ import annotations

import numpy as np
import pytest

from simulate.bound.worlds import NOTHING_KNOWN, Script, lean_actions, random_action, requests, ticks, worlds
from spillway.simulate.bound import cost_bound
from spillway.simulate.bound.work import charges, work_s
from spillway.simulate.fleet import simulate
from spillway.simulate.policy import Action
from spillway.simulate.score import score
from spillway.simulate.world import Workload, World

SCHEDULES = 24
"""In each of the worlds: more than 200 in all."""
WORLDS = worlds()


@pytest.mark.parametrize("name", WORLDS)
def test_no_schedule_costs_less_than_the_bound(name: str) -> None:
    world = WORLDS[name]
    load = requests(world, seed=1, per_second=0.7)
    bound = cost_bound(world, load).cost_usd
    assert bound > 0.0
    found = climb(world, load, np.random.default_rng(7))
    assert len(found) * len(WORLDS) >= 200
    assert min(found) >= bound
    assert min(found) <= 2.5 * bound, "schedules so dear would prove nothing"


def climb(world: World, load: Workload, rng: np.random.Generator) -> list[float]:
    """Costs of a quarter random schedules, a quarter lean ones, and then changes of the cheapest so far."""
    work = min(float(work_s(charges(lane, load), load).mean()) for lane in world.own)
    costs: list[float] = []
    best: list[Action] = []
    for number in range(SCHEDULES):
        if number < SCHEDULES // 4:
            actions = [random_action(world, rng) for _ in range(ticks(world))]
        elif number < SCHEDULES // 2:
            actions = lean_actions(world, load, work * rng.uniform(0.3, 1.3))
        else:
            actions = changed(world, best, rng)
        cost = score(world, load, simulate(world, load, NOTHING_KNOWN, Script(actions), 1)).cost_usd
        if not costs or cost < min(costs):
            best = actions
        costs.append(cost)
    return costs


def changed(world: World, actions: list[Action], rng: np.random.Generator) -> list[Action]:
    """One replica more or fewer, or anything, for some ticks."""
    start = int(rng.integers(len(actions)))
    end = start + int(rng.integers(1, 10))
    step = int(rng.choice([-1, 1]))
    other = random_action(world, rng) if rng.uniform() < 0.3 else None
    out = list(actions)
    for tick in range(start, min(end, len(actions))):
        old = actions[tick]
        replicas = tuple(
            min(max(n + step, lane.min_replicas), lane.max_replicas)
            for n, lane in zip(old.replicas, world.own, strict=True)
        )
        out[tick] = other or Action(replicas, old.overflow, old.hold_s, old.hosted_share)
    return out
