"""The exact stochastic dynamic program for one lane over (demand level, Ready, under way).

At the start of a period the level of its demand is known; the order is the number of replicas to have, those under
way included. What is stopped goes at once, what is under way first; what is ordered is paid at once and serves a
start-up time later. A period is at least half as long as the start-up (shorter ones are merged), so one or two orders
are under way:

    V[t](level, ready, all) = min over order of
        price * order + served during t (ready, and from `share` of the period on those that were under way)
        + sum over levels' of follow(level, level') * V[t+1](level', ready', order)

With one level it is the open-loop schedule of least expected cost: the fast path.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from spillway.decide.allocation.chain import Chain, fit_chain
from spillway.decide.allocation.problem import LaneProblem, Problem, miss_prices
from spillway.decide.allocation.recourse import one_lane
from spillway.decide.allocation.types import Floats

_SLACK = 0.05
"""A start-up longer than its periods by less than this share of a period is taken as whole periods."""


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """A solved program: the best order for any state by lookup."""

    lane: str
    seconds: Floats
    """(K,) of the program's periods."""
    stages: int
    """Orders under way at most: 1 or 2."""
    share: float
    """Part of the period in which an order becomes Ready that passes before it does."""
    startup_seconds: float
    usd_per_replica_hour: float
    least: int
    chain: Chain
    served: Floats
    """(K, B, N) expected dollars of a whole period beside the lane's own, by level and Ready replicas."""
    after: tuple[Floats, ...]
    """Per period (B, N, N): expected dollars after it, by its level, Ready and all replicas at its end."""

    @property
    def most(self) -> int:
        """Largest order that was considered."""
        return int(self.served.shape[2]) - 1

    def period_at(self, elapsed_seconds: float) -> int:
        """The period that runs so long after the solve."""
        passed = int(np.searchsorted(np.cumsum(self.seconds), elapsed_seconds, side="right"))
        return min(passed, len(self.seconds) - 1)

    def costs(
        self, ready: int, pending_seconds: Sequence[float], load: float | None = None, elapsed_seconds: float = 0.0
    ) -> Floats:
        """Expected dollars from the period's start to the horizon's end, by order (infinite outside the bounds).

        ``load`` is the work measured now (in replicas); without it the period's levels are weighed by how often they
        occur at the solve.
        """
        t = self.period_at(elapsed_seconds)
        if load is not None:
            weight = np.zeros(self.served.shape[1])
            weight[self.chain.level(t, load)] = 1.0
        else:
            weight = self.chain.members[t].sum(axis=1) > 0 if t else self.chain.start
            weight = weight / weight.sum()
        served = weight @ self.served[t]
        orders = np.arange(self.most + 1)
        length = float(self.seconds[t])
        soon = sorted(pending_seconds)
        marks = np.unique(np.clip([0.0, *soon, self.startup_seconds, length], 0.0, length))
        total = np.zeros(self.most + 1)
        for begin, end in pairwise(marks.tolist()):
            up = self.most if begin >= self.startup_seconds else ready + sum(1 for s in soon if s <= begin)
            total += (end - begin) / length * served[np.minimum(orders, up)]
        there = self.most if self.stages == 1 else ready + sum(1 for s in soon if s <= length)
        total += self.usd_per_replica_hour * length / 3600 * orders
        total += weight @ self.after[t][:, np.minimum(orders, there), orders]
        total[: self.least] = np.inf
        return total

    def order(
        self, ready: int, pending_seconds: Sequence[float], load: float | None = None, elapsed_seconds: float = 0.0
    ) -> int:
        """Replicas to have, those under way included."""
        return int(np.argmin(self.costs(ready, pending_seconds, load, elapsed_seconds)))

    def path(self, ready: int, pending_seconds: Sequence[float]) -> tuple[int, ...]:
        """Orders over the periods if demand runs through the middle of its levels."""
        orders, have, soon = list[int](), ready, list(pending_seconds)
        for t, seconds in enumerate(self.seconds):
            edges = self.chain.edges[t]
            load = None if t == 0 else float(edges[len(edges) // 2])
            order = self.order(have, soon, load, float(np.sum(self.seconds[:t])) + 1e-6)
            orders.append(order)
            have, soon = advance(have, soon, order, float(seconds), self.startup_seconds)
        return tuple(orders)


def advance(
    ready: int, pending_seconds: Sequence[float], order: int, seconds: float, startup_seconds: float
) -> tuple[int, list[float]]:
    """Ready and under way after a period that begins with an order."""
    kept = sorted(pending_seconds)[: max(0, order - ready)]
    kept += [startup_seconds] * (order - min(ready, order) - len(kept))
    up = min(ready, order) + sum(1 for s in kept if s <= seconds * (1 + _SLACK))
    return up, [s - seconds for s in kept if s > seconds * (1 + _SLACK)]


def solve_lane(problem: Problem, lane: LaneProblem, levels: int = 8) -> Policy:
    """Solve the program of one lane; other lanes of the problem are left out of account."""
    seconds, demand = _merged(problem, lane)
    ratio = lane.startup_seconds / float(np.mean(seconds))
    stages = max(1, math.ceil(ratio - _SLACK))
    share = min(1.0, ratio - (stages - 1))
    work = sum((demand[key] * w for key, w in lane.work_seconds.items()), np.zeros((1, len(seconds))))
    work = np.broadcast_to(work, (_paths(problem), len(seconds)))
    most = enough(problem, lane, work)
    chain = fit_chain(work, levels)
    taken = work[..., None] - lane.response.table(work, most)
    usd = one_lane(problem, lane, {key: d[..., None] for key, d in demand.items()}, taken).usd_per_second
    usd = np.broadcast_to(usd, taken.shape) * np.asarray(seconds)[None, :, None]
    served = np.stack([chain.members[t] @ usd[:, t] for t in range(len(seconds))])
    after = _solve(lane, problem.least(lane), chain, served, seconds, stages, share)
    return Policy(
        lane.name,
        seconds,
        stages,
        share,
        lane.startup_seconds,
        lane.usd_per_replica_hour,
        problem.least(lane),
        chain,
        served,
        after,
    )


def enough(problem: Problem, lane: LaneProblem, work: Floats) -> int:
    """The most replicas worth a thought: beyond it even the peak's dearest work saves less than a replica costs."""
    most, least = problem.most(lane), problem.least(lane)
    if lane.terminal_usd is not None or most <= least:
        return most
    peak = lane.response.table(np.asarray(float(work.max())), most)
    prices = miss_prices(problem)
    dearest = max((prices[key] / seconds for key, seconds in lane.work_seconds.items()), default=0.0)
    saves = -np.diff(peak) * dearest * 3600
    worth = np.flatnonzero(saves > lane.usd_per_replica_hour)
    # Convexity in replicas holds for the model, not to the last digit: the last one that pays counts.
    return max(least, min(most, int(worth[-1]) + 1 if len(worth) else 0))


def _paths(problem: Problem) -> int:
    return problem.classes[0].demand.shape[0] if problem.classes else 1


def _merged(problem: Problem, lane: LaneProblem) -> tuple[Floats, dict[str, Floats]]:
    """Periods merged until the start-up spans two of them at most, and demand in their means."""
    seconds = np.asarray(problem.period_seconds, dtype=np.float64)
    ratio = lane.startup_seconds / float(np.mean(seconds))
    each = max(1, math.ceil(ratio / 2 - _SLACK)) if ratio > 2 + _SLACK else 1
    starts = np.arange(0, len(seconds), each)
    length = np.add.reduceat(seconds, starts)
    demand = {c.key: np.add.reduceat(c.demand * seconds, starts, axis=1) / length for c in problem.classes}
    return length, demand


def _solve(
    lane: LaneProblem, least: int, chain: Chain, served: Floats, seconds: Floats, stages: int, share: float
) -> tuple[Floats, ...]:
    periods, levels, counts = served.shape
    worth = np.zeros(counts)
    if lane.terminal_usd is not None:
        known = min(counts, len(lane.terminal_usd))
        worth[:known], worth[known:] = lane.terminal_usd[:known], lane.terminal_usd[known - 1]
    value = np.broadcast_to(-worth[None, :, None], (levels, counts, counts))
    after: list[Floats] = [np.array(value)]
    ready, all_ = np.arange(counts)[:, None], np.arange(counts)[None, :]
    for t in range(periods - 1, 0, -1):
        price = lane.usd_per_replica_hour * float(seconds[t]) / 3600 * np.arange(counts)
        price[:least] = np.inf
        now = served[t]
        # Fewer than are Ready: stopped at once, nothing is under way.
        settled = np.einsum("bnn->bn", after[0]) + price
        fewer = _before(now + settled)
        if stages == 1:
            more = _suffix((1 - share) * now + settled)
            value = np.repeat(np.minimum(share * now + more, fewer)[:, :, None], counts, axis=2)
        else:
            paid = after[0] + price
            more = share * now[:, :, None] + (1 - share) * now[:, None, :] + _suffix_at(paid)[:, None, :]
            some = share * now[:, :, None] + _between((1 - share) * now + settled)
            value = np.minimum(np.minimum(more, some), fewer[:, :, None])
            value = np.where(all_ >= ready, value, np.inf)
        after.insert(0, _expected(chain.follow[t - 1], value))
    return tuple(after)


def _expected(follow: Floats, value: Floats) -> Floats:
    """Mean over the next level; states that can't be (all < Ready) stay infinite without spoiling the product."""
    can_be = np.isfinite(value)
    if can_be.all():
        return (follow @ value.reshape(len(value), -1)).reshape(value.shape)
    mean = (follow @ np.where(can_be, value, 0.0).reshape(len(value), -1)).reshape(value.shape)
    return np.where(can_be[:1], mean, np.inf)


def _suffix(values: Floats) -> Floats:
    """Least over index and all after it."""
    return np.asarray(np.minimum.accumulate(values[..., ::-1], axis=-1)[..., ::-1])


def _before(values: Floats) -> Floats:
    """Least over all before the index; infinite at 0."""
    least = np.minimum.accumulate(values, axis=-1)
    return np.concatenate([np.full((*values.shape[:-1], 1), np.inf), least[..., :-1]], axis=-1)


def _suffix_at(paid: Floats) -> Floats:
    """(B, N): with all s there, least over orders of at least s."""
    return np.asarray(np.einsum("bnn->bn", _suffix(paid)))


def _between(values: Floats) -> Floats:
    """(B, r, s): least over orders from r up to s - 1; infinite where there is none."""
    counts = values.shape[-1]
    wide = np.broadcast_to(values[:, None, :], (values.shape[0], counts, counts))
    from_r = np.where(np.arange(counts)[None, :] >= np.arange(counts)[:, None], wide, np.inf)
    return _before(from_r)
