"""Demand as a Markov chain: quantile levels per period and how often one follows another in the joint paths."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spillway.decide.allocation.types import Floats

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """Levels of work over K periods, B per period at most."""

    edges: tuple[Floats, ...]
    """Per period, ascending: a level holds the paths from its edge on, below the next one's."""
    members: tuple[Floats, ...]
    """Per period (B, S): weight of each path in its level; rows sum to 1, or 0 for a level that no path visits."""
    start: Floats
    """(B,) probability of the first period's levels."""
    follow: tuple[Floats, ...]
    """Per period but the last (B, B): probability of the next period's level, by this one's."""

    def level(self, period: int, work: float) -> int:
        """The level of a measured work in a period."""
        return max(0, int(np.searchsorted(self.edges[period], work, side="right")) - 1)


def fit_chain(work: Floats, levels: int) -> Chain:
    """Fit to paths (S, K) of work. Paths of equal work share a level, so that no level tells the future."""
    paths, periods = work.shape
    ranks = (np.arange(levels) * paths) // levels
    ordered = np.sort(work, axis=0)
    cuts = ordered[ranks]
    new = np.concatenate((np.ones((1, periods), dtype=np.bool_), cuts[1:] != cuts[:-1]))
    edges = tuple(cuts[new[:, k], k] for k in range(periods))
    visited = [np.searchsorted(edges[k], work[:, k], side="right") - 1 for k in range(periods)]
    hot = np.zeros((periods, levels, paths))
    hot[np.arange(periods)[:, None], np.array(visited), np.arange(paths)] = 1.0
    sizes = hot.sum(axis=2, keepdims=True)
    members = tuple(hot / np.maximum(sizes, 1.0))
    follow = tuple(members[k] @ hot[k + 1].T for k in range(periods - 1))
    return Chain(edges, members, sizes[0, :, 0] / paths, follow)
