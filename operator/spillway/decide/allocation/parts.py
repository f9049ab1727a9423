"""Which lanes and classes must be planned together, and which are independent."""

from __future__ import annotations

from dataclasses import replace

from spillway.decide.allocation.problem import LaneProblem, Problem
from spillway.decide.allocation.recourse import hosted_limits_bind


def fitted(problem: Problem) -> Problem:
    """With minimums that fit their pools together: the dearest lanes per GPU give way first."""
    lanes = {lane.name: lane for lane in problem.lanes}
    for pool, gpus in problem.pools.items():
        mine = [lane for lane in problem.lanes if lane.pool == pool]
        mine.sort(key=lambda lane: (lane.usd_per_replica_hour / max(lane.gpus_per_replica, 1), lane.name))
        # What must stay up for a while has its GPUs already.
        locked = {lane.name: _locked(problem, lane) for lane in mine}
        room = gpus - sum(locked[lane.name] * lane.gpus_per_replica for lane in mine)
        for lane in mine:
            more = max(0, problem.least(lane) - locked[lane.name])
            fits = max(0, min(more, int(room // max(lane.gpus_per_replica, 1))))
            room -= fits * lane.gpus_per_replica
            least = min(problem.least(lane), locked[lane.name] + fits)
            if least != lane.min_replicas:
                lanes[lane.name] = replace(lane, min_replicas=least)
    if all(lanes[lane.name] is lane for lane in problem.lanes):
        return problem
    return replace(problem, lanes=tuple(lanes.values()))


def _locked(problem: Problem, lane: LaneProblem) -> int:
    """Replicas that their minimum up-time may keep."""
    if lane.minimum_up_seconds <= 0:
        return 0
    return min(lane.ready + len(lane.pending_seconds), problem.most(lane))


def split(problem: Problem) -> list[Problem]:
    """Independent parts: they share no class, and no pool, limit or ceiling that could bind."""
    names = [f"lane/{lane.name}" for lane in problem.lanes] + [f"class/{item.key}" for item in problem.classes]
    parent = {name: name for name in names}

    def root(name: str) -> str:
        while parent[name] != name:
            name = parent[name]
        return name

    for lane in problem.lanes:
        for key in lane.work_seconds:
            parent[root(f"class/{key}")] = root(f"lane/{lane.name}")
    for pool, gpus in problem.pools.items():
        mine = [lane for lane in problem.lanes if lane.pool == pool]
        if sum(lane.max_replicas * lane.gpus_per_replica for lane in mine) > gpus:
            for lane in mine[1:]:
                parent[root(f"lane/{lane.name}")] = root(f"lane/{mine[0].name}")
    if hosted_limits_bind(problem):
        sharing = [f"class/{item.key}" for item in problem.classes if item.hosted]
        for name in sharing[1:]:
            parent[root(name)] = root(sharing[0])
    tops = list(dict.fromkeys(root(name) for name in names))
    if len(tops) == 1:
        return [problem]
    parts = []
    for top in tops:
        lanes = tuple(lane for lane in problem.lanes if root(f"lane/{lane.name}") == top)
        classes = tuple(item for item in problem.classes if root(f"class/{item.key}") == top)
        parts.append(replace(problem, lanes=lanes, classes=classes))
    return parts
