"""Counts what hosted lanes took since the last tick, with the reason that was in force, for the operator's metrics."""

from __future__ import annotations

from collections.abc import Iterable

from spillway.api import Mode, OverflowMode, RoutingPlane
from spillway.decide.decision import Decision
from spillway.decide.reasons import Code
from spillway.decide.snapshot import PlanSnapshot
from spillway.observe.ledger import Counted, Seen, growth, micro_usd, recent
from spillway.observe.scope import ClusterView
from spillway.report.hosted import HostedCounters, HostedUse

SATURATED = "Saturated"
"""The gateway sent on by itself what own lanes refused."""


class HostedMeter:
    """What the counters showed at the last tick, and why each class was hosted then.

    Begins with the process: what was counted before, or before a lane was in its plan, is nobody's. Money is kept in
    the ledger, which loses nothing; this is for telling who caused it.
    """

    def __init__(self, counters: HostedCounters) -> None:
        self._counters = counters
        self._seen: dict[str, Seen] = {}
        self._lanes: set[tuple[str, str]] = set()
        """Plan and lane of the last tick."""
        self._reasons: dict[tuple[str, str], str] = {}
        """By plan and class."""

    def enter(self, counted: Iterable[Counted], cluster: ClusterView, now: float) -> None:
        """Count what the egress' counters have grown by; ``now`` is Unix time in seconds."""
        for each in counted:
            before = self._seen.get(each.series)
            if (each.plan, each.lane) in self._lanes:
                self._counters.add(self._use(each, before))
            self._seen[each.series] = Seen(now, {**(before.tokens if before else {}), **each.tokens})
        self._seen = recent(self._seen, now)
        self._lanes = {(scope.plan.metadata.key, lane.key) for scope in cluster.plans for lane in scope.lanes}

    def _use(self, each: Counted, before: Seen | None) -> HostedUse:
        grown = growth(each, before)
        reasons = {self._reasons.get((each.plan, key), "") for key in each.classes}
        return HostedUse(
            plan=each.plan,
            class_key=each.classes[0] if len(each.classes) == 1 else "",
            team=each.team,
            lane=each.lane.partition("/")[2],
            reason=reasons.pop() if len(reasons) == 1 else "",
            tokens=grown,
            micro_usd=micro_usd(grown, each.price),
        )

    def decided(self, snapshot: PlanSnapshot, decision: Decision) -> None:
        """Remember why each class is hosted until the next tick."""
        for item in snapshot.classes:
            self._reasons[snapshot.key, item.key] = reason_of(snapshot, decision, item.key)

    def keep(self, plans: Iterable[str]) -> None:
        """Drop what belongs to other plans."""
        kept = set(plans)
        self._counters.keep(kept)
        self._reasons = {key: reason for key, reason in self._reasons.items() if key[0] in kept}


def reason_of(snapshot: PlanSnapshot, decision: Decision, key: str) -> str:
    """Why hosted lanes get a share of the class; empty where Spillway does not share its traffic out."""
    spec = snapshot.plan.spec
    name = key.partition("/")[2]
    if spec.mode is not Mode.APPLY or not any(route.class_name == name for route in decision.routes):
        return ""
    if decision.held is not None:
        return decision.held.code
    found = next((each.reason for each in decision.classes if each.key == key), None)
    code = found.code if found is not None else ""
    spills = spec.overflow.mode is OverflowMode.SPILL and spec.routing.plane is not RoutingPlane.NONE
    return SATURATED if spills and code != Code.HOSTED_ONLY.value else code
