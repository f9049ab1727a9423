"""The whole review: by plan what changes, what it does, and what policies say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spillway.advise.review.changes import Change, changes_of
from spillway.advise.review.effect import Effect
from spillway.advise.review.limits import Limits, Verdict
from spillway.advise.review.objects import PlanPair
from spillway.advise.review.policies import PolicyResult, check, worst


@dataclass(frozen=True, slots=True)
class PlanReview:
    """One plan."""

    pair: PlanPair
    changes: tuple[Change, ...]
    effect: Effect | None
    not_estimated: str
    """Why there is no effect, one sentence; empty where there is one."""
    policies: tuple[PolicyResult, ...]

    @property
    def verdict(self) -> Verdict:
        """The worst of the policies."""
        return worst(result.verdict for result in self.policies)


@dataclass(frozen=True, slots=True)
class Review:
    """All plans that change."""

    plans: tuple[PlanReview, ...]
    unchanged: tuple[str, ...] = ()
    """Keys of plans that don't."""

    @property
    def verdict(self) -> Verdict:
        """The worst of the plans."""
        return worst(plan.verdict for plan in self.plans)

    @property
    def changes(self) -> Sequence[Change]:
        """Those of all plans."""
        return [change for plan in self.plans for change in plan.changes]


def review_plan(
    pair: PlanPair, effect: Effect | None, not_estimated: str, limits: Limits, *, asked: bool = False
) -> PlanReview:
    """The review of one plan; ``asked``: whether there was traffic to replay."""
    why = "" if effect is not None else not_estimated
    return PlanReview(pair, changes_of(pair), effect, why, check(pair, effect, limits, asked=asked))
