"""LaneChanges as they are listed, and the manifest of a new one."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import count
from typing import Any

from pydantic import ValidationError

from spillway.advise.structural.patches import change_key
from spillway.advise.structural.rules import Proposed
from spillway.api import API_VERSION, CapacityPlan, LaneChange
from spillway.api.basis import basis_hash
from spillway.api.lanechange import BasisObject
from spillway.kube import Items
from spillway.report.figures import shorten, timestamp

EXPIRY_SECONDS = 7 * 86_400
NAME_LIMIT = 63
HASH_DIGITS = 6
CENT = Decimal("0.01")

logger = logging.getLogger("spillway.proposals")


@dataclass(frozen=True, slots=True)
class Listed:
    """What the apiserver has."""

    changes: tuple[LaneChange, ...]
    """Those that are whole and not being deleted."""
    over: Mapping[str, bool]
    """By key of each that there is: whether it has ended or is going, so that another may follow it."""
    unread: Mapping[str, str]
    """By key: why it is left alone."""

    def of(self, plan: CapacityPlan) -> list[LaneChange]:
        """The plan's."""
        meta = plan.metadata
        return [
            each
            for each in self.changes
            if (each.metadata.namespace, each.spec.plan_ref.name) == (meta.namespace, meta.name)
        ]


def listed(items: Items) -> Listed:
    """What another release has written, and can't be read here, is left alone."""
    changes, over, unread = [], {}, {}
    for item in items:
        meta = item["metadata"]
        key = f"{meta['namespace']}/{meta['name']}"
        over[key] = bool(meta.get("deletionTimestamp"))
        try:
            change = LaneChange.parse(item)
        except ValidationError as problem:
            unread[key] = str(problem.errors()[0])
            continue
        if not over[key]:
            changes.append(change)
            over[key] = not change.state.open
    return Listed(tuple(changes), over, unread)


def manifest(
    plan: CapacityPlan, item: Proposed, basis: Sequence[BasisObject], over: Mapping[str, bool], now: float
) -> dict[str, Any] | None:
    """The LaneChange; None where it stands there already. ``over``: of those that there are (``Listed``)."""
    meta, digest = plan.metadata, basis_hash(basis)
    name = free_name(plan, item, digest, over)
    if name is None:
        return None
    spec = {
        "planRef": {"name": meta.name},
        "reason": item.reason.value,
        "message": shorten(item.message),
        "change": [each.to_wire() | {"patch": [step.to_wire() for step in each.patch]} for each in item.change],
        "basis": [each.to_wire() for each in basis],
        "planHash": digest,
        "generation": meta.generation,
        "expiresAt": timestamp(now + EXPIRY_SECONDS),
        "effect": {
            "usdPerMonth": str(item.usd_per_month.quantize(CENT)),
            "observedSeconds": item.observed_seconds,
        },
    }
    owner = {"apiVersion": API_VERSION, "kind": CapacityPlan.KIND, "name": meta.name, "uid": meta.uid}
    return {
        "apiVersion": API_VERSION,
        "kind": LaneChange.KIND,
        "metadata": {"name": name, "namespace": meta.namespace, "ownerReferences": [owner]},
        "spec": spec,
    }


def free_name(plan: CapacityPlan, item: Proposed, digest: str, over: Mapping[str, bool]) -> str | None:
    """The first name that none has; the same for all who see the same, so that two operators make one.

    None where one has it that is not over: it is the very proposal, in words that this release may not know.
    """
    for number in count():
        name = name_of(plan.metadata.name, item, f"{digest}\n{number}")
        key = f"{plan.metadata.namespace}/{name}"
        if key not in over:
            return name
        if not over[key]:
            break
    return None


def name_of(plan: str, item: Proposed, salt: str) -> str:
    """Such as "main-gpu-h100-lower-minimum-3f9a2c": the same for the same proposal, at most 63 characters."""
    words = "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in item.reason.value)
    digest = hashlib.sha256(f"{change_key(item.change)}\n{salt}".encode()).hexdigest()[:HASH_DIGITS]
    tail = f"{words}-{digest}"
    head = f"{plan}-{item.lane}".replace(".", "-")[: NAME_LIMIT - len(tail)].rstrip("-")
    return f"{head}{tail}"
