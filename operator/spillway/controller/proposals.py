"""Structural proposals of a tick: what was seen is entered, what would be better proposed, each proposal's state told.

Nothing here waits for the others: a plan whose proposals fail is decided on and acted for all the same.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from spillway.advise.structural.lanes import dispensable, only_own_of
from spillway.advise.structural.lifecycle import Live, outlived, silenced, stand
from spillway.advise.structural.record import Sight
from spillway.advise.structural.rules import Observed, Proposed, propose
from spillway.advise.words import dollars
from spillway.api import (
    CapacityLane,
    CapacityPlan,
    ChangeState,
    LaneChange,
    Mode,
    StructuralApproval,
    WorkloadClass,
)
from spillway.api.basis import basis_hash, basis_of
from spillway.api.lanechange import BasisObject
from spillway.config import OperatorConfig
from spillway.controller.change_writes import ChangeWrites
from spillway.controller.lane_changes import Listed, listed
from spillway.controller.observations import ObservationKeeper
from spillway.controller.publish import Publisher
from spillway.decide.decision import LaneDecision
from spillway.decide.reasons import Code
from spillway.decide.snapshot import PlanSnapshot
from spillway.kube import LANE_CHANGES, Kube, KubeError
from spillway.observe.membership import subject
from spillway.observe.scope import ClusterView, PlanScope
from spillway.report.lane_changes import PlanChanges, change_events, change_status, status_is_news

if TYPE_CHECKING:
    from spillway.controller.loop import Decided

logger = logging.getLogger("spillway.proposals")


class Proposals:
    """Makes LaneChanges and tells how far they have come."""

    def __init__(self, kube: Kube, config: OperatorConfig, publisher: Publisher) -> None:
        self._kube, self._config, self._publisher = kube, config, publisher
        self._observations = ObservationKeeper(kube, config)
        self._writes = ChangeWrites(kube)
        self._problem = ""
        self._unread: Mapping[str, str] = {}
        """Proposals that are left alone, by key, with the reason that was said."""

    async def tick(self, cluster: ClusterView, decided: Sequence[Decided], now: float) -> Mapping[str, PlanChanges]:
        """What is known of each plan's proposals, by plan, once this tick's are made."""
        await self._observe(cluster, decided, now)
        there = await self._list()
        if there is None:
            return {}
        found = {}
        for each in decided:
            key = each.snapshot.key
            try:
                scope = next(scope for scope in cluster.plans if scope.plan.metadata.key == key)
                found[key] = await self._plan(cluster, scope, each, there, now)
            except Exception:  # proposals only tell: no plan's scaling waits for them
                logger.exception("plan %s: its proposals could not be worked out", key)
        return found

    async def _observe(self, cluster: ClusterView, decided: Sequence[Decided], now: float) -> None:
        if not await self._observations.load():
            return
        for each in decided:
            try:
                basis = basis_hash(live_basis(cluster, each.snapshot.plan))
                self._observations.enter(each.snapshot.key, basis, sights(each), now)
            except Exception:  # as below
                logger.exception("plan %s: what its lanes show could not be entered", each.snapshot.key)
        self._observations.keep({scope.plan.metadata.key for scope in cluster.plans})
        await self._observations.save(now)

    async def _list(self) -> Listed | None:
        try:
            items = await self._kube.list_in(LANE_CHANGES, self._config.namespaces)
        except KubeError as error:
            if error.message != self._problem:
                logger.error("LaneChanges can't be read, so nothing is proposed: %s", error.message)
            self._problem = error.message
            return None
        self._problem = ""
        found = listed(items)
        for key, why in found.unread.items():
            if self._unread.get(key) != why:
                logger.warning("LaneChange %s is left alone: %s", key, why)
        self._unread = found.unread
        return found

    async def _plan(
        self, cluster: ClusterView, scope: PlanScope, decided: Decided, there: Listed, now: float
    ) -> PlanChanges:
        live, changes = live_of(cluster, scope.plan), there.of(scope.plan)
        states = {}
        for change in changes:
            if not outlived(change, now) or not await self._writes.delete(change, now):
                states[change.metadata.name] = await self._tell(scope.plan, change, live, now)
        too_dear: list[str] = []
        refused: list[str] = []
        for item in self._proposed(scope, decided):
            if silenced(item.change, changes, now):
                continue
            if text := too_dear_of(scope.plan, item):
                too_dear.append(text)
                continue
            made = await self._writes.create(scope.plan, item, live.basis, there.over, now)
            refused += [made.refused] if made.refused else []
            if made.change is not None:
                changes.append(made.change)
                states[made.change.metadata.name] = await self._tell(scope.plan, made.change, live, now)
        short = self._observations.short(scope.plan.metadata.key)
        return PlanChanges(True, states, tuple(too_dear), tuple(refused), short)

    async def _tell(self, plan: CapacityPlan, change: LaneChange, live: Live, now: float) -> ChangeState:
        status = change_status(change, stand(change, live, now), now)
        if status_is_news(change.status, status) and await self._publisher.write(LANE_CHANGES, change, status):
            logger.info("LaneChange %s: %s: %s", change.metadata.key, status.state.value, status.message)
            events = change_events(change, status)
            await self._publisher.post(change, events, now)
            await self._publisher.post(plan, events, now)
        return status.state

    def _proposed(self, scope: PlanScope, decided: Decided) -> tuple[Proposed, ...]:
        if not may_propose(decided):
            return ()
        snapshot = decided.snapshot
        records = self._observations.records(snapshot.key)
        lanes = [each.resource for each in scope.lanes]
        observed = [
            Observed(
                lane,
                record,
                only_own_of(scope.plan, lane, lanes, scope.classes),
                _room(snapshot, lane),
                dispensable(scope.plan, lane, lanes, scope.classes),
            )
            for lane in lanes
            if (record := records.get(lane.metadata.name)) is not None
        ]
        return propose(scope.plan, observed, self._config.proposals.observe_seconds)


def may_propose(decided: Decided) -> bool:
    """Not while nothing may be changed or nothing is known, and only where the plan asks for it."""
    spec = decided.snapshot.plan.spec
    return (
        spec.mode is not Mode.OBSERVE
        and decided.decision.held is None
        and spec.approval.structural is StructuralApproval.REQUIRED
    )


def sights(decided: Decided) -> dict[str, Sight]:
    """What a tick shows of each own lane; nothing of those that aren't decided on."""
    if not decided.snapshot.metrics.usable:
        return {}
    return {lane.name: sight for lane in decided.decision.lanes if (sight := _sight(decided.snapshot, lane))}


def _sight(snapshot: PlanSnapshot, lane: LaneDecision) -> Sight | None:
    if lane.freed is not None and not lane.bounds_only:
        used = bool(lane.current) or bool(lane.desired) or lane.freed.needed > 0
        return Sight(lane.freed.needed, used, lane.freed.saves_usd_per_hour)
    if lane.reason.code == Code.NO_CLASSES.value and snapshot.classes and lane.current == 0:
        return Sight(0, used=False)
    return None


def _room(snapshot: PlanSnapshot, lane: CapacityLane) -> int | None:
    found, own = snapshot.lane(lane.metadata.name), lane.spec.self_hosted
    if found is None or own is None or found.pool_gpus is None:
        return None
    return max(0, found.pool_gpus - found.pool_gpus_others) // own.gpu.per_replica


def _members(cluster: ClusterView, plan: CapacityPlan) -> tuple[list[CapacityLane], list[WorkloadClass]]:
    """The lanes that the plan names and the classes that it serves, whether or not they can be decided on now."""
    meta = plan.metadata
    lanes = [
        lane
        for lane in cluster.lanes
        if lane.metadata.namespace == meta.namespace and lane.metadata.name in plan.spec.lanes
    ]
    return lanes, [item for item in cluster.classes if cluster.object_plans.get(subject(item)) == meta.key]


def live_basis(cluster: ClusterView, plan: CapacityPlan) -> tuple[BasisObject, ...]:
    """What a proposal made now would rest on."""
    lanes, classes = _members(cluster, plan)
    return basis_of([plan, *lanes, *classes])


def live_of(cluster: ClusterView, plan: CapacityPlan) -> Live:
    """What proposals are held against."""
    lanes, classes = _members(cluster, plan)
    objects: list[CapacityPlan | CapacityLane | WorkloadClass] = [plan, *lanes, *classes]
    documents: dict[tuple[str, str, str], dict[str, Any]] = {
        (each.KIND, each.metadata.namespace, each.metadata.name): {"spec": each.spec.to_wire()} for each in objects
    }
    return Live(basis_of(objects), documents)


def too_dear_of(plan: CapacityPlan, item: Proposed) -> str | None:
    """Why the plan does not allow to propose it, if it doesn't."""
    most = plan.spec.approval.max_monthly_increase_usd
    if most is None or item.usd_per_month <= most:
        return None
    return (
        f"not proposed, as it raises the bill by more than approval.maxMonthlyIncreaseUsd of {dollars(most)}: "
        f"{item.message}"
    )
