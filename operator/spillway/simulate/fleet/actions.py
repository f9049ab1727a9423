"""A policy's actions, checked and put into force: replicas, caps, limits, holds, weights and splits."""

from __future__ import annotations

import math

import numpy as np

from spillway.simulate.fleet.build import UNLIMITED, build_core, with_more_numbers, with_more_slots
from spillway.simulate.fleet.draws import lognormal_mean, stream_key
from spillway.simulate.fleet.layout import FREE, STARTING, State, bind
from spillway.simulate.fleet.loop import count_states, create_replica, drop_replica, release_all
from spillway.simulate.outcome import ReplicaLog
from spillway.simulate.policy import Action, LaneCounts
from spillway.simulate.world import OwnTruth, World

_STARTUP, _NOISE = 2, 3
"""Purposes of random streams."""


class Fleet:
    """The replicas that a run has had, and the actions in force. Holds the state, which may move when it grows."""

    def __init__(self, world: World, state: State, seed: int):
        self.state = state
        self.core = build_core(state, seed)
        self.changes: list[tuple[float, int, int, int]] = []
        self.desired = [0] * len(world.own)
        self._world = world
        self._seed = seed
        self._lane: list[int] = []
        self._created: list[float] = []
        self._ready: list[float] = []
        self._made = [0] * len(world.own)
        self._counted = np.zeros((len(world.own), 3), dtype=np.int64)
        self._action: Action | None = None

    def start(self, action: Action) -> None:
        """Put the first action into force, with its replicas Ready at time 0."""
        asked = action.replicas or tuple(max(lane.min_replicas, 1) for lane in self._world.own)
        self._check(action, asked)
        self.desired = self._clamped(asked)
        for lane, count in enumerate(self.desired):
            for _ in range(count):
                self._create(lane, 0.0, 0.0, 0.0)
        self._set_gateway(action)
        self._action = action

    def apply(self, action: Action, now: float) -> None:
        """Put an action into force at a tick."""
        previous = self._action
        if action is not previous:
            asked = action.replicas or tuple(self.desired)
            self._check(action, asked)
            desired = self._clamped(asked)
            for lane, (before, after) in enumerate(zip(self.desired, desired, strict=True)):
                if before != after:
                    self.changes.append((now, lane, before, after))
            self.desired = desired
        self._scale(now)
        if previous is None or not _same_gateway(previous, action):
            self._set_gateway(action)
            release_all(self.core, now)
        self._action = action

    def counts(self) -> tuple[LaneCounts, ...]:
        """Replicas by lane now."""
        out = []
        for lane, (starting, ready, draining) in enumerate(self._states()):
            since = self._starting_since(lane) if starting else ()
            out.append(LaneCounts(self.desired[lane], ready, starting, since, draining))
        return tuple(out)

    def log(self) -> ReplicaLog:
        """All replicas of the run, once it is over."""
        duration = self._world.duration_s
        count = len(self._lane)
        ended = self.state.replica_ended[:count].copy()
        for replica in self.state.replicas[self.state.replicas["state"] != FREE]:
            ended[replica["number"]] = max(duration, replica["last_end"])
        created = np.minimum(np.array(self._created), ended)
        ready = np.array(self._ready)
        ready[ready > ended] = np.inf
        return ReplicaLog(np.array(self._lane, dtype=np.int64), created, ready, ended)

    def _scale(self, now: float) -> None:
        missing = [
            desired - starting - ready
            for desired, (starting, ready, _) in zip(self.desired, self._states(), strict=True)
        ]
        for lane, more in enumerate(missing):
            for _ in range(-more):
                drop_replica(self.core, lane, now)
        for lane, more in enumerate(missing):
            truth = self._world.own[lane]
            for _ in range(min(more, self._room(truth)) if more > 0 else 0):
                created = _after_stockout(truth, now)
                key = stream_key(self._seed, _STARTUP, lane, self._made[lane])
                startup = lognormal_mean(truth.startup_mean_s, truth.startup_sigma, key)
                self._create(lane, now, created, created + startup)

    def _states(self) -> list[list[int]]:
        """Starting, Ready and draining replicas by lane."""
        count_states(self.core, self._counted)
        return self._counted.tolist()

    def _starting_since(self, lane: int) -> tuple[float, ...]:
        replicas = self.state.replicas
        starting = (replicas["state"] == STARTING) & (replicas["lane"] == lane)
        return tuple(sorted(replicas["asked"][starting].tolist()))

    def _room(self, truth: OwnTruth) -> int:
        """Replicas that the lane's pool has GPUs for; draining ones still have theirs."""
        total = dict(self._world.gpu_pools).get(truth.pool) if truth.pool is not None else None
        if total is None:
            return UNLIMITED
        replicas = self.state.replicas
        used = 0
        for lane, other in enumerate(self._world.own):
            if other.pool == truth.pool:
                used += int(((replicas["state"] != FREE) & (replicas["lane"] == lane)).sum()) * other.gpus_per_replica
        return max(total - used, 0) // truth.gpus_per_replica

    def _create(self, lane: int, asked: float, created: float, ready: float) -> None:
        free = np.flatnonzero(self.state.replicas["state"] == FREE)
        if not len(free):
            free = np.array([len(self.state.replicas)])
            self.state = with_more_slots(self.state)
            bind(self.core, self.state)
        number = len(self._lane)
        if number == len(self.state.replica_ended):
            self.state = with_more_numbers(self.state)
            bind(self.core, self.state)
        key = np.uint64(stream_key(self._seed, _NOISE, lane, self._made[lane]))
        create_replica(self.core, int(free[0]), lane, number, key, (asked, created, ready))
        self._lane.append(lane)
        self._created.append(created)
        self._ready.append(ready)
        self._made[lane] += 1

    def _clamped(self, asked: tuple[int, ...]) -> list[int]:
        """Within the lanes' bounds and the pools: minimums first, then what is asked for, in the order of lanes."""
        own = self._world.own
        left = dict(self._world.gpu_pools)
        wanted = [min(max(int(n), lane.min_replicas), lane.max_replicas) for n, lane in zip(asked, own, strict=True)]
        out = [0] * len(own)
        for floor in (True, False):
            for index, lane in enumerate(own):
                more = (min(lane.min_replicas, wanted[index]) if floor else wanted[index]) - out[index]
                if lane.pool in left:
                    more = min(more, left[lane.pool] // lane.gpus_per_replica)
                    left[lane.pool] -= more * lane.gpus_per_replica
                out[index] += more
        return out

    def _check(self, action: Action, asked: tuple[int, ...]) -> None:
        lanes, classes = len(self._world.own), len(self._world.classes)
        sizes = (
            ("replicas", asked, lanes),
            ("overflow", action.overflow, lanes),
            ("hold_s", action.hold_s, classes),
            ("hosted_share", action.hosted_share, classes),
            ("own_split", action.own_split, classes),
        )
        for name, values, size in sizes:
            if values and len(values) != size:
                raise ValueError(f"action: {name} has {len(values)} entries, must have {size}")
        if any(not 0.0 <= share <= 1.0 for share in action.hosted_share):
            raise ValueError("action: hosted_share must be within 0 and 1")
        if any(not seconds >= 0.0 for seconds in action.hold_s):
            raise ValueError("action: hold_s must be 0 or more")
        for row in action.own_split:
            if row and (len(row) != lanes or any(not (share >= 0.0 and math.isfinite(share)) for share in row)):
                raise ValueError(f"action: own_split needs {lanes} finite shares of 0 or more for each class")

    def _set_gateway(self, action: Action) -> None:
        lanes, classes = self.state.lanes, self.state.classes
        limited = False
        for lane in range(len(lanes)):
            rule = action.overflow[lane] if action.overflow else None
            cap = rule.cap if rule is not None else None
            limit = rule.queue_limit if rule is not None else None
            most = int(lanes[lane]["max_queued"])
            lanes[lane]["cap"] = UNLIMITED if cap is None else cap
            lanes[lane]["queue_limit"] = most if limit is None else min(limit, most)
            limited |= int(lanes[lane]["queue_limit"]) < UNLIMITED
        self.core["limited"] = int(limited)
        classes["hold"] = action.hold_s or 0.0
        classes["share"] = action.hosted_share or 0.0
        classes["split"] = 0
        for index, row in enumerate(action.own_split):
            shares = np.where(self.state.own[index], row, 0.0) if row else np.zeros(len(lanes))
            if shares.sum() > 0.0:
                classes[index]["split"] = 1
                self.state.split[index] = np.cumsum(shares) / shares.sum()


def _same_gateway(one: Action, other: Action) -> bool:
    return (
        one.overflow == other.overflow
        and one.hold_s == other.hold_s
        and one.hosted_share == other.hosted_share
        and one.own_split == other.own_split
    )


def _after_stockout(truth: OwnTruth, now: float) -> float:
    created = now
    for start, end in sorted(truth.stockouts):
        if start <= created < end:
            created = end
    return created
