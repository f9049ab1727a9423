"""An independent evaluator: what a rule for ordering costs in a Markov demand model, by plain recursion.

Nothing here is shared with the product: replicas are followed one by one, expectations are sums over levels.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from decide.allocation.problems import Markov, left_of

Rule = Callable[[int, int | None, int, tuple[int, ...]], int]
"""(period, level or None in the first, ready, periods until Ready of what is under way) -> replicas to have."""


class Evaluator:
    """Expected dollars by recursion over all that can happen."""

    def __init__(self, case: Markov) -> None:
        self.case = case
        self._best = cache(self._best_uncached)

    def step(self, level: int, ready: int, pending: tuple[int, ...], order: int) -> tuple[float, int, tuple[int, ...]]:
        """Dollars of a period, and what is Ready and under way after it."""
        case = self.case
        serving = min(ready, order)
        kept = sorted(pending)[: max(0, order - serving)]
        kept = kept + [case.stages] * (order - serving - len(kept))
        usd = case.usd_per_replica_period * order + case.usd_per_left * left_of(case.loads[level], serving)
        after = [p - 1 for p in kept]
        return usd, serving + sum(1 for p in after if p <= 0), tuple(p for p in after if p > 0)

    def best(self, t: int, level: int, ready: int, pending: tuple[int, ...]) -> float:
        """Least expected dollars from a period whose level is known."""
        return min(self.then(t, level, ready, pending, order, None) for order in range(self.case.most + 1))

    def _best_uncached(self, t: int, level: int, ready: int, pending: tuple[int, ...]) -> float:
        return self.best(t, level, ready, pending)

    def then(self, t: int, level: int, ready: int, pending: tuple[int, ...], order: int, rule: Rule | None) -> float:
        """Expected dollars of an order now, and of the rule (or the best orders) after."""
        usd, ready, pending = self.step(level, ready, pending, order)
        if t + 1 == self.case.periods:
            return usd
        nexts = self.case.follow[level]
        if rule is None:
            return usd + sum(self._best(t + 1, n, ready, pending) for n in nexts) / len(nexts)
        total = 0.0
        for n in nexts:
            total += self.then(t + 1, n, ready, pending, rule(t + 1, n, ready, pending), rule)
        return usd + total / len(nexts)

    def first(self, order: int, rule: Rule | None = None) -> float:
        """Expected dollars of a first order, given before the first level is known."""
        case = self.case
        pending = tuple(sorted(case.pending))
        return sum(self.then(0, n, case.ready, pending, order, rule) for n in case.start) / len(case.start)

    def optimum(self) -> float:
        """Of all rules."""
        return min(self.first(order) for order in range(self.case.most + 1))
