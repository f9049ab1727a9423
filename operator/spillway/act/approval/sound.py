"""Whether a LaneChange can be what the operator proposed: whoever may create one can write anything into it."""

from __future__ import annotations

from spillway.api.basis import basis_hash
from spillway.api.lanechange import BasisObject, ChangedKind, LaneChange, ObjectChange

Key = tuple[str, str, str]
"""Kind, namespace, name."""
WAY_OUT = "wait for a new proposal, or reject this one"


def key_of(item: BasisObject | ObjectChange) -> Key:
    """Kind, namespace and name."""
    return (item.kind.value, item.namespace, item.name)


def named(key: Key) -> str:
    """ "CapacityLane inference/gpu"."""
    return f"{key[0]} {key[1]}/{key[2]}"


def not_sound(change: LaneChange) -> str | None:
    """Why it can't be what the operator proposed; None where it can."""
    reason = _edited(change) or _beside_its_basis(change)
    return f"{reason}; {WAY_OUT}" if reason else None


def _edited(change: LaneChange) -> str | None:
    if change.metadata.generation != 1:
        return f"was edited: generation {change.metadata.generation}, was 1"
    if basis_hash(change.spec.basis) != change.spec.plan_hash:
        return f"has a spec.planHash ({change.spec.plan_hash}) that is not that of its spec.basis"
    return None


def _beside_its_basis(change: LaneChange) -> str | None:
    """A plan, its lanes and its proposals are in one namespace, and nothing of another one is proposed to change."""
    spec, home = change.spec, change.metadata.namespace
    based = {key_of(each) for each in spec.basis}
    plan = (ChangedKind.PLAN.value, home, spec.plan_ref.name)
    if plan not in based:
        return f"rests on other objects than its plan: {named(plan)} is not in its spec.basis"
    for each in spec.change:
        if key_of(each) not in based:
            return f"changes {named(key_of(each))}, which is not in its spec.basis"
        if each.namespace != home:
            return f"changes {named(key_of(each))}, which is not in its own namespace"
    return None
