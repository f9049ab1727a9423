"""Budgets of a tick: what classes take of own GPUs goes into the ledger, and each budget's position comes out."""

from __future__ import annotations

import logging

from spillway.advise.caps import position
from spillway.advise.positions import BudgetPosition
from spillway.api import WorkloadClass
from spillway.controller.ledger import LedgerKeeper
from spillway.decide.decision import Decision
from spillway.decide.snapshot import PlanSnapshot
from spillway.observe.accounts import OwnRate, TeamCaps
from spillway.observe.claims import may_go_hosted
from spillway.observe.scope import ClusterView
from spillway.report.budgets import Positions

logger = logging.getLogger(__name__)


def team_caps(cluster: ClusterView) -> TeamCaps:
    """Teams with caps, by class."""
    return {
        item.metadata.key: frozenset(each.team for each in item.spec.budget.team_caps)
        for plan in cluster.plans
        for item in plan.classes
        if item.spec.budget is not None
    }


def budgeted(cluster: ClusterView) -> set[str]:
    """Namespaces of the plans with a class that has a budget."""
    return {
        plan.plan.metadata.namespace
        for plan in cluster.plans
        if any(item.spec.budget is not None for item in plan.classes)
    }


def own_rates(snapshot: PlanSnapshot, decision: Decision) -> tuple[OwnRate, ...]:
    """What each class takes of own GPUs now. All of a class that is matched by its team is that team's."""
    teams = {item.key: item.resource.spec.match.team or "" for item in snapshot.classes}
    return tuple(OwnRate(each.key, each.own_usd_per_hour, teams.get(each.key, "")) for each in decision.classes)


def positions(snapshot: PlanSnapshot, decision: Decision, ledger: LedgerKeeper, caps: TeamCaps) -> Positions:
    """Where the plan's classes stand in their budgets, own GPUs up to this moment included."""
    ledger.allocate(snapshot.plan, own_rates(snapshot, decision), snapshot.at, caps)
    found: dict[str, BudgetPosition | None] = {}
    for item in snapshot.classes:
        if (budget := item.resource.spec.budget) is not None:
            counted = ledger.counts_hosted(snapshot.plan) or not _may_go_hosted(snapshot, item.resource)
            spending = ledger.spending(snapshot.plan, item.resource, snapshot.at) if counted else None
            found[item.key] = None if spending is None else position(spending, budget)
    return found


def positions_or_unknown(snapshot: PlanSnapshot, decision: Decision, ledger: LedgerKeeper, caps: TeamCaps) -> Positions:
    """The same, and not known where it can't be worked out: budgets only tell, so no plan's scaling waits for them."""
    try:
        return positions(snapshot, decision, ledger, caps)
    except Exception:  # one plan's budgets must not stop what was decided
        logger.exception("plan %s: where its budgets stand could not be told", snapshot.key)
        return {item.key: None for item in snapshot.classes if item.resource.spec.budget is not None}


def _may_go_hosted(snapshot: PlanSnapshot, item: WorkloadClass) -> bool:
    specs = (lane.resource.spec for lane in snapshot.lanes)
    return any(spec.hosted is not None and may_go_hosted(item, spec.models) for spec in specs)
