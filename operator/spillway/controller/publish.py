"""Writes statuses and Events: a transition at once, figures at most once a minute, nothing else ever."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from spillway.advise.positions import BudgetPosition
from spillway.api import (
    API_VERSION,
    CapacityLane,
    CapacityPlan,
    CapacityPlanStatus,
    LaneChange,
    LaneChangeStatus,
    SimpleStatus,
    WorkloadClass,
)
from spillway.controller.moves import statuses
from spillway.decide.ceilings import windows
from spillway.kube import CLASSES, EVENTS, LANES, PLANS, Kube, KubeError, Resource
from spillway.observe.membership import subject
from spillway.observe.scope import ClusterView
from spillway.report.events import Event, momentary_events, object_events, plan_events
from spillway.report.hosted import spill_shares
from spillway.report.metrics import OperatorMetrics, PlanReport
from spillway.report.status import class_status, lane_status, plan_status, simple_status_changed, status_changed

if TYPE_CHECKING:
    from spillway.controller.loop import Decided

CONTROLLER = "spillway.dev/operator"
NOTE_LIMIT = 1024

logger = logging.getLogger("spillway.publish")

Owner = CapacityPlan | CapacityLane | WorkloadClass | LaneChange
Status = CapacityPlanStatus | SimpleStatus | LaneChangeStatus


class Publisher:
    """Brings statuses up to date and posts Events on transitions."""

    def __init__(self, kube: Kube, metrics: OperatorMetrics) -> None:
        self._kube, self._metrics = kube, metrics
        self._written_at: dict[str, float] = {}
        """When a plan's or class's status was last written, by UID, Unix time in seconds."""
        self._found = dict[str, frozenset[str]]()
        """Reasons of the last tick's findings about a lane, by subject."""

    async def publish(self, cluster: ClusterView, decided: Iterable[Decided], now: float) -> None:
        """Write what changed; a write that fails is tried again at the next tick."""
        reports = []
        alive, budgets = {item.metadata.uid for item in cluster.classes}, dict[str, BudgetPosition | None]()
        found = {about: list(findings) for about, findings in cluster.object_findings.items()}
        for each in decided:
            alive.add(each.snapshot.plan.metadata.uid)
            budgets |= each.budgets
            reports.append(await self._publish_plan(each, now))
            for finding in each.decision.findings:
                if finding not in found.setdefault(finding.subject, []):
                    found[finding.subject].append(finding)
        self._metrics.publish(reports)
        for lane in cluster.lanes:
            findings = tuple(found.get(subject(lane), ()))
            status = lane_status(lane, findings, cluster.object_plans.get(subject(lane)), now)
            await self._publish_simple(LANES, lane, lane.status, status, now)
            before = self._found.get(subject(lane), frozenset())
            await self.post(lane, momentary_events(before, findings), now)
        self._found = {about: frozenset(each.reason for each in those) for about, those in found.items()}
        for resource in cluster.classes:
            findings = tuple(found.get(subject(resource), ()))
            plan = cluster.object_plans.get(subject(resource))
            status = class_status(resource, findings, plan, now, budgets)
            await self._publish_simple(CLASSES, resource, resource.status, status, now)
        self._written_at = {uid: at for uid, at in self._written_at.items() if uid in alive}

    async def _publish_plan(self, decided: Decided, now: float) -> PlanReport:
        snapshot, decision = decided.snapshot, decided.decision
        plan = snapshot.plan
        routes = statuses(decided.seen.found.values())
        status = plan_status(
            decision, snapshot, plan.status, now, routes, decided.moves, decided.budgets, decided.changes
        )
        uid = plan.metadata.uid
        if status_changed(plan.status, status, now, self._written_at.get(uid)) and await self.write(
            PLANS, plan, status
        ):
            self._written_at[uid] = now
            await self.post(plan, plan_events(plan.status, status), now)
        ceilings = tuple((window.period, window.ceiling_usd) for window in windows(snapshot))
        spill = spill_shares(snapshot)
        return PlanReport(decision, status, snapshot.spent, ceilings, spill, decided.budgets, decided.changes)

    async def _publish_simple(
        self,
        resource: Resource,
        owner: CapacityLane | WorkloadClass,
        previous: SimpleStatus | None,
        status: SimpleStatus,
        now: float,
    ) -> None:
        waited = now - self._written_at.get(owner.metadata.uid, 0.0)
        if simple_status_changed(previous, status, waited) and await self.write(resource, owner, status):
            self._written_at[owner.metadata.uid] = now
            await self.post(owner, object_events(previous, status), now)

    async def write(self, resource: Resource, owner: Owner, status: Status) -> bool:
        """Write a status; False where it was not, which is tried again at the next tick."""
        meta = owner.metadata
        body = {
            "apiVersion": API_VERSION,
            "kind": owner.KIND,
            # A precondition: what changed or was re-created since is told by the next tick. (The uid would be ignored.)
            "metadata": {"name": meta.name, "namespace": meta.namespace, "resourceVersion": meta.resource_version},
            "status": status.to_wire(),
        }
        try:
            await self._kube.apply(resource, meta.namespace, meta.name, body, subresource="status")
        except KubeError as error:
            self._metrics.wrote("status", "Failed")
            if not error.not_found and not error.conflict:
                logger.error("status of %s was not written: %s", named(owner), error.message)
            return False
        self._metrics.wrote("status", "Written")
        return True

    async def post(self, owner: Owner, events: Iterable[Event], now: float) -> None:
        """Post Events about an object."""
        for event in events:
            try:
                await self._kube.create(EVENTS, owner.metadata.namespace, event_body(owner, event, now))
            except KubeError as error:
                logger.warning("Event %s on %s was not posted: %s", event.reason, named(owner), error.message)


def named(owner: Owner) -> str:
    """ "Kind/namespace/name"."""
    return f"{owner.KIND}/{owner.metadata.key}"


def event_body(owner: Owner, event: Event, now: float) -> dict[str, Any]:
    """An ``events.k8s.io/v1`` Event about ``owner``."""
    meta = owner.metadata
    at = datetime.fromtimestamp(now, tz=UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return {
        "apiVersion": EVENTS.api_version,
        "kind": "Event",
        "metadata": {"name": f"{meta.name[:200]}.{uuid4().hex[:16]}", "namespace": meta.namespace},
        "eventTime": at,
        "action": "Reconcile",
        "type": event.type.value,
        "reason": event.reason,
        "note": event.message[:NOTE_LIMIT],
        "regarding": {
            "apiVersion": API_VERSION,
            "kind": owner.KIND,
            "name": meta.name,
            "namespace": meta.namespace,
            "uid": meta.uid,
        },
        "reportingController": CONTROLLER,
        "reportingInstance": socket.gethostname()[:128] or "spillway",
    }
