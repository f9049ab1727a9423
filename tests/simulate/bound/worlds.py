"""Small worlds in which schedules are played against the bound, each with something that a bound could get wrong."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import cast

import numpy as np

from spillway.api import LatencyClass
from spillway.simulate.policy import Action, Known, LaneOverflow, Observation
from spillway.simulate.world import ClassTruth, HostedTruth, OwnTruth, StepTable, Workload, World

NOTHING_KNOWN = cast(Known, None)
"""Scripts look at nothing."""
HOUR = 3600.0

SMALL = OwnTruth(
    name="own", startup_mean_s=240, startup_sigma=0.2, max_num_seqs=64, max_batched_tokens=2048,
    kv_cache_tokens=80_000, max_queued=None, alpha_ms=100, beta_ms_per_seq=3, gamma_ms_per_ktoken=0.2,
    prefill_ms_per_ktoken=600, table=None, min_replicas=0, max_replicas=12, usd_per_replica_hour=1.2,
)  # fmt: skip
HOSTED = HostedTruth("hosted", 0.5, 1.5, 0.015, 0.03, 0.001, (), 0.88e-6, 0.88e-6, 0.88e-6)
CHAT = ClassTruth("ns/chat", LatencyClass.INTERACTIVE, 10.0, 0.6, 0.95, (0,), (0,))
PRIVATE = replace(CHAT, key="ns/private", hosted=())
NIGHTLY = ClassTruth("ns/nightly", LatencyClass.DEFERRABLE, math.inf, math.inf, 0.95, (0,), (0,), deadline_s=2 * HOUR)
PLAIN = World((CHAT,), (SMALL,), (HOSTED,), 0.0, HOUR, 4 * HOUR, 15.0)


def table() -> StepTable:
    """Measured iteration times: dear first sequences, cheap later ones, and prompts that get dearer."""
    return StepTable(
        batch=np.array([1.0, 8.0, 32.0, 64.0]),
        context_tokens=np.array([500.0, 4000.0]),
        decode_ms=np.array([[100.0, 105.0], [140.0, 160.0], [200.0, 250.0], [260.0, 400.0]]),
        prompt_tokens=np.array([256.0, 2048.0]),
        prefill_ms=np.array([200.0, 1200.0]),
    )


def worlds() -> dict[str, World]:
    """By name: what is special about each."""
    quick = replace(SMALL, name="quick", alpha_ms=30.0, prefill_ms_per_ktoken=300, usd_per_replica_hour=2.5)
    bare = replace(SMALL, alpha_ms=0.5, startup_mean_s=30.0)
    return {
        "plain": PLAIN,
        "work is all there is": replace(PLAIN, own=(bare,)),
        "slow, uncertain start-up": replace(
            PLAIN, own=(replace(SMALL, startup_mean_s=900.0, startup_sigma=0.8, alpha_ms=5.0),), node_release_s=120.0
        ),
        "gaps": replace(PLAIN, gaps=((1.7 * HOUR, 2.2 * HOUR), (3.5 * HOUR, 4 * HOUR))),
        "minimum": replace(PLAIN, own=(replace(SMALL, min_replicas=3),)),
        "two lanes": replace(PLAIN, own=(SMALL, quick), classes=(replace(CHAT, own=(0, 1)),)),
        "deferrable beside interactive": replace(PLAIN, classes=(CHAT, NIGHTLY), gaps=((2 * HOUR, 2.2 * HOUR),)),
        "table": replace(PLAIN, own=(replace(SMALL, table=table()),)),
        "hosted is nearly as cheap": replace(PLAIN, own=(replace(SMALL, alpha_ms=20.0, usd_per_replica_hour=2.5),)),
    }


def requests(world: World, seed: int, per_second: float = 1.2) -> Workload:
    """Poisson arrivals with a hump in the middle, lognormal lengths."""
    rng = np.random.default_rng(seed)
    count = int(3 * per_second * world.duration_s)
    times = np.sort(rng.uniform(0, world.duration_s, count))
    hump = 0.15 + 0.85 * np.sin(math.pi * times / world.duration_s) ** 4
    times = times[rng.uniform(size=count) < hump]
    size = len(times)
    tokens_in = np.clip(rng.lognormal(7.2, 0.8, size), 1, 8000).astype(np.int64)
    tokens_out = np.clip(rng.lognormal(4.4, 0.8, size), 1, 2000).astype(np.int64)
    return Workload(times, rng.integers(0, len(world.classes), size), tokens_in, tokens_out)


class Script:
    """Plays actions, one per tick."""

    name = "script"
    tick_seconds = 300.0

    def __init__(self, actions: list[Action]):
        self._actions = actions

    def start(self, known: Known) -> Action:
        """The first one."""
        return self._actions[0]

    def act(self, seen: Observation) -> Action:
        """The tick's one."""
        return self._actions[round(seen.now / self.tick_seconds)]


def ticks(world: World) -> int:
    """Actions that a script needs."""
    return int(world.duration_s / Script.tick_seconds) + 1


def random_action(world: World, rng: np.random.Generator) -> Action:
    """Any replicas, caps, limits, holds and weights."""
    replicas = tuple(int(rng.integers(lane.min_replicas, lane.max_replicas + 1)) for lane in world.own)
    cap = None if rng.uniform() < 0.3 else int(rng.integers(1, 64))
    limit = None if rng.uniform() < 0.5 else int(rng.integers(0, 50))
    hold = 0.0 if rng.uniform() < 0.4 else float(rng.uniform(0, 60))
    weight = 0.0 if rng.uniform() < 0.7 else float(rng.uniform())
    count = len(world.classes)
    return Action(replicas, (LaneOverflow(limit, cap),) * len(world.own), (hold,) * count, (weight,) * count)


def lean_actions(world: World, workload: Workload, work_s: float) -> list[Action]:
    """As many replicas as the work of the next while needs, everything as full as can be: hard to undercut."""
    load, _ = np.histogram(workload.arrival_s, bins=ticks(world), range=(0, ticks(world) * Script.tick_seconds))
    actions = []
    for tick in range(ticks(world)):
        need = load[tick] * work_s / Script.tick_seconds
        replicas = tuple(
            min(max(round(need / len(world.own)), lane.min_replicas), lane.max_replicas) for lane in world.own
        )
        count = len(world.classes)
        actions.append(Action(replicas, (LaneOverflow(None, 64),) * len(world.own), (40.0,) * count))
    return actions
