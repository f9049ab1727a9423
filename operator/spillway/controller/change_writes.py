"""Creates and deletes LaneChanges, each on its own: what is refused is said once, and tried again later."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from spillway.advise.structural.patches import change_key
from spillway.advise.structural.rules import Proposed
from spillway.api import CapacityPlan, LaneChange
from spillway.api.lanechange import BasisObject
from spillway.controller.lane_changes import manifest
from spillway.kube import LANE_CHANGES, Kube, KubeError

MOST_BASIS = 128
RETRY_SECONDS = 60.0
"""What was refused is tried again after that."""
FORGET_SECONDS = 3600.0
"""What was not tried for so long is no longer wanted; if it is once more, a refusal is said once more."""

logger = logging.getLogger("spillway.proposals")


@dataclass(frozen=True, slots=True)
class Made:
    """What came of a proposal."""

    change: LaneChange | None = None
    """None: refused, or made already by somebody else; the next list has it then."""
    refused: str = ""
    """Why it could not be made, in a sentence without full stop."""


@dataclass(frozen=True, slots=True)
class _Refusal:
    kind: str
    """Such as "HTTP 403 Forbidden": as long as it is the same nothing more is said."""
    at: float


class ChangeWrites:
    """What the operator does to LaneChanges beside their status."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._refusals: dict[str, _Refusal] = {}
        """By what was to be done."""

    async def create(
        self, plan: CapacityPlan, item: Proposed, basis: Sequence[BasisObject], over: Mapping[str, bool], now: float
    ) -> Made:
        """Make the LaneChange. ``over``: of those that there are (``Listed``)."""
        what = f"plan {plan.metadata.key}: {item.reason.value} of lane {item.lane}"
        key = f"{plan.metadata.key}\n{change_key(item.change)}"
        before = self._waiting(key, now)
        if len(basis) > MOST_BASIS:
            said = f"it rests on {len(basis)} classes and lanes, and a LaneChange holds {MOST_BASIS} at the most"
            self._refuse(key, _Refusal("too large", now), f"{what} is not proposed: {said}")
            return Made(refused=_sentence(item, said))
        if before is None:
            body = manifest(plan, item, basis, over, now)
            if body is None:
                return Made()
            try:
                change = LaneChange.parse(await self._kube.create(LANE_CHANGES, plan.metadata.namespace, body))
            except ValidationError as problem:  # a webhook has made something else of it; the next list says so
                logger.warning("%s was proposed, and can't be read back: %s", what, problem.errors()[0])
                return Made()
            except KubeError as error:
                if error.conflict:  # made already; the next list has it
                    return Made()
                before = _Refusal(_kind(error), now)
                self._refuse(key, before, f"{what} could not be proposed ({before.kind}): {error.message}")
            else:
                self._refusals.pop(key, None)
                return Made(change)
        return Made(refused=_sentence(item, f"the apiserver refused its LaneChange ({before.kind})"))

    async def delete(self, change: LaneChange, now: float) -> bool:
        """Whether it is gone, by this or by somebody else."""
        meta = change.metadata
        key = f"{meta.key}\n{meta.uid}"
        if self._waiting(key, now) is not None:
            return False
        try:
            await self._kube.delete(LANE_CHANGES, meta.namespace, meta.name, meta.uid)
        except KubeError as error:
            if not error.not_found and not error.conflict:
                refusal = _Refusal(_kind(error), now)
                said = f"LaneChange {meta.key} has ended, and could not be removed"
                self._refuse(key, refusal, f"{said} ({refusal.kind}): {error.message}")
                return False
        self._refusals.pop(key, None)
        return True

    def _waiting(self, key: str, now: float) -> _Refusal | None:
        """How it was refused, where that was a moment ago."""
        self._refusals = {name: each for name, each in self._refusals.items() if 0 <= now - each.at < FORGET_SECONDS}
        found = self._refusals.get(key)
        return found if found is not None and now - found.at < RETRY_SECONDS else None

    def _refuse(self, key: str, refusal: _Refusal, said: str) -> None:
        before = self._refusals.get(key)
        if before is None or before.kind != refusal.kind:
            logger.error("%s", said)
        self._refusals[key] = refusal


def _kind(error: KubeError) -> str:
    """Without the apiserver's words: a webhook may put anything into them, and they may differ each time."""
    return f"HTTP {error.status} {error.reason}" if error.status else error.reason


def _sentence(item: Proposed, why: str) -> str:
    return f"{item.reason.value} of lane {item.lane} would be better, and can't be proposed: {why}"
