"""How far a proposal has come, told from what is live now: nothing is remembered but its own status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from spillway.advise.structural.patches import change_key, in_place
from spillway.api import ChangeState, LaneChange, ObjectChange
from spillway.api.basis import basis_hash
from spillway.api.lanechange import BasisObject
from spillway.api.names import (
    APPROVED_ANNOTATION,
    APPROVED_BY_ANNOTATION,
    REJECTED_ANNOTATION,
    REJECTED_BY_ANNOTATION,
)

REJECTED_FOR_SECONDS = 30 * 86_400
"""A change that a person rejected is not proposed again for so long."""
KEPT_SECONDS = 30 * 86_400
"""An ended proposal is removed after that."""

Key = tuple[str, str, str]
"""Kind, namespace, name."""


@dataclass(frozen=True, slots=True)
class Live:
    """What a proposal is held against."""

    basis: Sequence[BasisObject]
    """The plan, its lanes and its classes as they are now."""
    documents: Mapping[Key, Mapping[str, Any]] = field(default_factory=dict)
    """Each of them as {"spec": ...}."""


@dataclass(frozen=True, slots=True)
class Stand:
    """How far a proposal has come, and why."""

    state: ChangeState
    message: str


def stand(change: LaneChange, live: Live, now: float) -> Stand:
    """Where the proposal stands; an ended one stays as it is. ``now`` is Unix time in seconds."""
    if change.status is not None and not change.state.open:
        return Stand(change.state, change.status.message or "")
    notes, name = change.metadata.annotations, change.metadata.name
    if change.metadata.generation > 1:
        return Stand(ChangeState.SUPERSEDED, "its spec is not the one that was proposed; nobody may edit a proposal")
    if basis_hash(change.spec.basis) != change.spec.plan_hash:
        return Stand(ChangeState.SUPERSEDED, "its planHash is not that of its basis")
    if REJECTED_ANNOTATION in notes:
        why = notes[REJECTED_ANNOTATION].strip() or "no reason given"
        return Stand(ChangeState.REJECTED, f"rejected{_by(notes, REJECTED_BY_ANNOTATION)}: {why}")
    if _applied(change, live):
        return Stand(ChangeState.APPLIED, "the specs are as proposed")
    if moved := _moved(change, live):
        return Stand(ChangeState.SUPERSEDED, moved)
    approved = notes.get(APPROVED_ANNOTATION)
    expires = seconds(change.spec.expires_at)
    if expires is None:
        said = f"its expiresAt, {change.spec.expires_at!r}, is no time that Spillway can read, so it can't be approved"
        return Stand(ChangeState.EXPIRED, said)
    # An approval that was seen in time does not expire: what it has begun may come to its end.
    if now >= expires and (approved != change.spec.plan_hash or change.state is not ChangeState.APPROVED):
        return Stand(ChangeState.EXPIRED, f"not approved by {change.spec.expires_at}")
    if approved == change.spec.plan_hash:
        who = _by(notes, APPROVED_BY_ANNOTATION)
        return Stand(ChangeState.APPROVED, f"approved{who}; its patches are not yet in place")
    text = f"waits until {change.spec.expires_at} for a person: kubectl spillway approve or reject {name}"
    if approved is not None:
        text += f"; what {APPROVED_ANNOTATION} says is not its planHash"
    return Stand(ChangeState.PROPOSED, text)


def _by(notes: Mapping[str, str], key: str) -> str:
    return f" by {notes[key]}" if notes.get(key) else ""


def _applied(change: LaneChange, live: Live) -> bool:
    return all(_has(live, item) for item in change.spec.change)


def _has(live: Live, item: ObjectChange) -> bool:
    found = live.documents.get(_object(item))
    return found is not None and in_place(found, item.patch)


def _moved(change: LaneChange, live: Live) -> str:
    """What is no longer as it was when the proposal was made; a patch of its own that is in place doesn't count."""
    now = {_key(each): each for each in live.basis}
    before = {_key(each): each for each in change.spec.basis}
    own = {_object(item) for item in change.spec.change if _has(live, item)}
    for key, old in before.items():
        new = now.get(key)
        if new is None or new.uid != old.uid:
            return f"{_named(key)} is gone, or was made anew"
        if new.generation != old.generation and not (key in own and new.generation == old.generation + 1):
            return f"{_named(key)} was changed since (generation {old.generation} then, {new.generation} now)"
    added = next((key for key in now if key not in before), None)
    return f"{_named(added)} has come since" if added is not None else ""


def _key(each: BasisObject) -> Key:
    return (each.kind.value, each.namespace, each.name)


def _object(item: ObjectChange) -> Key:
    return (item.kind.value, item.namespace, item.name)


def _named(key: Key) -> str:
    return f"{key[0]} {key[1]}/{key[2]}"


def seconds(text: str) -> float | None:
    """RFC 3339 as Unix time; None where it can't be read, such as a 60th second."""
    try:
        # "t" and "z" are as good (RFC 3339, 5.6), and the apiserver takes them.
        found = datetime.fromisoformat(text.upper())
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def silenced(wanted: Sequence[ObjectChange], changes: Sequence[LaneChange], now: float) -> bool:
    """Whether it must not be proposed: a change of the same object is open, or an equal one was rejected of late."""
    objects, key = {_object(item) for item in wanted}, change_key(wanted)
    return any(
        (each.state.open and not objects.isdisjoint(map(_object, each.spec.change)))
        or (_rejected_of_late(each, now) and change_key(each.spec.change) == key)
        for each in changes
    )


def _rejected_of_late(change: LaneChange, now: float) -> bool:
    ended = _ended(change)
    return change.state is ChangeState.REJECTED and (ended is None or now - ended < REJECTED_FOR_SECONDS)


def outlived(change: LaneChange, now: float) -> bool:
    """Whether an ended proposal has been kept for long enough; one whose end can't be read is kept."""
    ended = _ended(change)
    return not change.state.open and ended is not None and now - ended >= KEPT_SECONDS


def _ended(change: LaneChange) -> float | None:
    text = None if change.status is None else change.status.ended_at
    return None if text is None else seconds(text)
