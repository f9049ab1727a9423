"""Pauses and resumes plans with the caller's own credentials."""

from __future__ import annotations

from typing import Any

from spillway.act.approval.carry import MANAGER
from spillway.api.names import PAUSE_REASON_ANNOTATION
from spillway.kube import PLANS, Kube

JSON = dict[str, Any]


def is_paused(plan: JSON) -> bool:
    """spec.paused of a CapacityPlan as the apiserver gives it."""
    return bool((plan.get("spec") or {}).get("paused", False))


def reason_of(plan: JSON) -> str | None:
    """Why it was paused, where somebody has said so."""
    found = (plan["metadata"].get("annotations") or {}).get(PAUSE_REASON_ANNOTATION)
    return str(found) if found else None


def settled(plan: JSON, paused: bool, reason: str | None) -> bool:
    """Whether nothing is left to write."""
    return is_paused(plan) == paused and (reason_of(plan) == reason or (paused and reason is None))


async def set_paused(kube: Kube, plan: JSON, paused: bool, reason: str | None, *, dry_run: bool) -> None:
    """Write spec.paused, and the reason as an annotation; resuming removes it. Raises KubeError."""
    meta = plan["metadata"]
    body: JSON = {"metadata": {"uid": meta["uid"]}, "spec": {"paused": paused}}
    if reason is not None or not paused:
        body["metadata"]["annotations"] = {PAUSE_REASON_ANNOTATION: reason if paused else None}
    await kube.merge_patch(PLANS, meta["namespace"], meta["name"], body, field_manager=MANAGER, dry_run=dry_run)
