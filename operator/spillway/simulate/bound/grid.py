"""Time cut into pieces on which prices are constant, and what a replica's life costs on them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from spillway.simulate.score import HOUR_SECONDS, billed_seconds, scored_intervals
from spillway.simulate.world import Floats, Integers, OwnTruth, World

PIECES = 1_500
"""Most equal pieces; fewer where many classes may use many lanes, and not shorter than `SHORTEST_PIECE_S`."""
FEWEST_PIECES = 200
PIECES_OF_PAIRS = 4_000
"""Pieces times (class, lane) pairs: the linear program's size."""
SHORTEST_PIECE_S = 30.0
STARTUP_QUANTILE = 0.001


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Pieces [edges[b], edges[b+1]) from the warm-up's end to the end of the scenario."""

    edges: Floats
    billed: Floats
    """Billed seconds of each piece: all of it or, in a collection gap, none."""

    @property
    def widths(self) -> Floats:
        """Seconds of each piece."""
        return np.diff(self.edges)

    @property
    def pieces(self) -> int:
        """How many there are."""
        return len(self.billed)

    def piece(self, times_s: Floats) -> Integers:
        """Piece of each moment; times beyond the end belong to piece `pieces`."""
        found = np.searchsorted(self.edges, times_s, side="right") - 1
        return np.clip(found, 0, self.pieces)


@dataclass(frozen=True, slots=True, eq=False)
class Reach:
    """The pieces that each request's window touches: found once, looked up for any prices."""

    place: Integers
    """(N,) by how many pieces the last one lies behind the first (rows), and by the first."""
    most: int
    """Largest of these distances."""

    @classmethod
    def of(cls, pieces: Grid, first: Integers, until_s: Floats) -> Reach:
        """Windows that begin in piece ``first`` and end at ``until_s``."""
        span = pieces.piece(until_s) - first
        most = int(span.max(initial=0))
        span *= pieces.pieces + 1
        span += first
        return cls(span, most)

    def lowest(self, prices: Floats) -> Floats:
        """(N,) least price over each window; ``prices`` by piece, then the one beyond the end."""
        least = np.tile(prices, (self.most + 1, 1))
        for span in range(1, self.most + 1):
            np.minimum(least[span - 1, :-span], prices[span:], out=least[span, :-span])
        return np.take(least, self.place)


@dataclass(frozen=True, slots=True, eq=False)
class LifeCost:
    """Dollars of one replica of a lane, Ready at edge s and ended at edge e: up[s] + on[s:e].sum() + down[e]."""

    on: Floats
    """(B,) of being alive in each piece."""
    up: Floats
    """(B + 1,) of the start-up before each edge; nothing at the first one, where the warm-up paid."""
    down: Floats
    """(B + 1,) of the node's release after each edge; none at the end of the scenario."""


def shortest_startup_s(lane: OwnTruth) -> float:
    """Start-up that only one replica in a thousand undercuts: the bound must not need average luck."""
    low = NormalDist().inv_cdf(STARTUP_QUANTILE) * lane.startup_sigma - lane.startup_sigma**2 / 2.0
    return lane.startup_mean_s * math.exp(low)


def grid(world: World) -> Grid:
    """Equal pieces, cut further where billing begins or ends and where start-ups and releases begin to touch that."""
    span = world.duration_s - world.warmup_s
    pairs = max(1, sum(len(truth.own) for truth in world.classes))
    most = min(PIECES, max(FEWEST_PIECES, PIECES_OF_PAIRS // pairs))
    count = max(1, math.ceil(min(most, span / SHORTEST_PIECE_S)))
    cuts = list(np.linspace(world.warmup_s, world.duration_s, count + 1))
    for bound in (b for gap in world.gaps for b in gap):
        cuts += [bound, bound - world.node_release_s]
        cuts += [bound + shortest_startup_s(lane) for lane in world.own]
    edges = np.unique([c for c in cuts if world.warmup_s <= c <= world.duration_s])
    return Grid(edges, billed_seconds(scored_intervals(world), edges[:-1], edges[1:]))


def life_cost(world: World, lane: OwnTruth, pieces: Grid) -> LifeCost:
    """What a replica of the lane costs by when it gets Ready and when it ends."""
    usd_per_second = lane.usd_per_replica_hour / HOUR_SECONDS
    intervals = scored_intervals(world)
    edges = pieces.edges
    down = usd_per_second * billed_seconds(intervals, edges, edges + world.node_release_s)
    down[-1] = 0.0
    return LifeCost(
        on=usd_per_second * pieces.billed,
        up=usd_per_second * billed_seconds(intervals, edges - shortest_startup_s(lane), edges),
        down=down,
    )


def affordable(prices: Floats, pieces: Grid, cost: LifeCost) -> Floats:
    """The prices ($ per second of work, by piece), lowered as little as needed so that no life earns more than it
    costs: for all edges s < e, (prices*widths)[s:e].sum() <= up[s] + on[s:e].sum() + down[e].
    """
    wanted = np.maximum(prices, 0.0)
    if _excess(wanted, pieces, cost) <= 0.0:
        return wanted
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2.0
        low, high = (middle, high) if _excess(wanted * middle, pieces, cost) <= 0.0 else (low, middle)
    return wanted * low


def _excess(prices: Floats, pieces: Grid, cost: LifeCost) -> float:
    """The most that a life earns above its cost."""
    earned = np.concatenate(([0.0], np.cumsum(prices * pieces.widths - cost.on)))
    cheapest_start = np.minimum.accumulate(earned + cost.up)[:-1]
    return float(np.max(earned[1:] - cost.down[1:] - cheapest_start))
