"""Reads a LaneChange and the objects that it rests on, and says why it can't be approved."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from spillway.act.approval.patches import RESOURCES, PatchError, applied, in_place, steps_of
from spillway.act.approval.sound import WAY_OUT, Key, key_of, named, not_sound
from spillway.api.lanechange import BasisObject, ChangeState, LaneChange, ObjectChange
from spillway.api.names import APPROVED_ANNOTATION, APPROVED_BY_ANNOTATION, REJECTED_ANNOTATION, REJECTED_BY_ANNOTATION
from spillway.api.tracking import Tracker, tracker_of
from spillway.kube import LANE_CHANGES, Kube, KubeError

JSON = dict[str, Any]


class RefusedError(Exception):
    """The proposal can't be approved, rejected or carried out; the message is one line."""


class _GoneError(RefusedError):
    """An object of the basis is no longer there."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A LaneChange with the objects that it rests on, as they are now."""

    change: LaneChange
    manifest: JSON
    live: Mapping[Key, JSON]

    @property
    def subject(self) -> str:
        """ "LaneChange inference/main-lower"."""
        return f"LaneChange {self.change.metadata.key}"

    @property
    def approved_by(self) -> str | None:
        """Who approved it; "somebody" where that is not told, None where nobody did."""
        notes = self.change.metadata.annotations
        if notes.get(APPROVED_ANNOTATION) != self.change.spec.plan_hash:
            return None
        return notes.get(APPROVED_BY_ANNOTATION) or "somebody"

    def basis(self, change: ObjectChange) -> BasisObject:
        """The object of a patch as it was when the proposal was worked out."""
        return next(each for each in self.change.spec.basis if key_of(each) == key_of(change))

    def done(self, change: ObjectChange) -> bool:
        """Whether this patch, and nothing else, has been made since: the spec has changed once, to that."""
        item = self.live[key_of(change)]
        return _generation(item) == self.basis(change).generation + 1 and in_place(change, item)

    def open(self) -> tuple[ObjectChange, ...]:
        """The patches that are not yet in place."""
        return tuple(change for change in self.change.spec.change if not self.done(change))

    def trackers(self) -> dict[Key, Tracker]:
        """Objects to patch that Argo CD or Flux keeps as Git has them."""
        found = {key_of(each): tracker_of(self.live[key_of(each)]) for each in self.change.spec.change}
        return {key: tracker for key, tracker in found.items() if tracker is not None}


async def read_change(kube: Kube, namespace: str, name: str) -> tuple[LaneChange, JSON]:
    """A LaneChange. Raises RefusedError, KubeError."""
    try:
        manifest = await kube.get(LANE_CHANGES, namespace, name)
    except KubeError as error:
        if error.not_found:
            raise RefusedError(f"there is no LaneChange {namespace}/{name}; see kubectl get lchange -A") from error
        if error.forbidden:
            raise RefusedError(
                f"LaneChange {namespace}/{name} can't be read: you lack get on lanechanges.spillway.dev in {namespace}"
            ) from error
        raise
    return parsed(manifest), manifest


def parsed(manifest: JSON) -> LaneChange:
    """A LaneChange of a manifest. Raises RefusedError."""
    try:
        return LaneChange.parse(manifest)
    except ValidationError as error:
        meta, first = manifest.get("metadata") or {}, error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise RefusedError(
            f"LaneChange {meta.get('namespace')}/{meta.get('name')}: {field}: {first['msg']}; it is of another release "
            "of Spillway: use that one's command, or delete it"
        ) from error


async def read_live(kube: Kube, change: LaneChange) -> dict[Key, JSON]:
    """The objects of the basis as they are now. Raises RefusedError, KubeError."""
    keys = [key_of(each) for each in change.spec.basis]
    return dict(zip(keys, await asyncio.gather(*(_read(kube, key, change) for key in keys)), strict=True))


async def _read(kube: Kube, key: Key, change: LaneChange) -> JSON:
    kind, namespace, name = key
    try:
        return await kube.get(RESOURCES[kind], namespace, name)
    except KubeError as error:
        subject = f"LaneChange {change.metadata.key}"
        if error.not_found:
            raise _GoneError(f"{subject} is stale: {named(key)} is gone; {WAY_OUT}") from error
        if error.forbidden:
            raise RefusedError(
                f"{subject}: {named(key)} can't be read, so it is not known whether it has changed: you lack get on "
                f"{RESOURCES[kind].plural}.spillway.dev in {namespace}"
            ) from error
        raise


async def carried_out(kube: Kube, change: LaneChange) -> list[bool]:
    """Which patches of an approved proposal are in place, in order. Raises RefusedError, KubeError.

    Nothing else of the basis is looked at: a stale proposal may still be rejected.
    """
    if change.metadata.annotations.get(APPROVED_ANNOTATION) != change.spec.plan_hash or not_sound(change):
        return [False for _ in change.spec.change]
    live: dict[Key, JSON] = {}
    for each in change.spec.change:
        with suppress(_GoneError):
            live[key_of(each)] = await _read(kube, key_of(each), change)
    proposal = Proposal(change, {}, live)
    return [key_of(each) in live and proposal.done(each) for each in change.spec.change]


async def read_again(kube: Kube, shown: Proposal, now: datetime) -> Proposal:
    """What was shown, as it is now. Raises RefusedError where another stands under its name by now, KubeError.

    planHash does not tell: it is that of the basis, not of the patches.
    """
    meta = shown.change.metadata
    change, manifest = await read_change(kube, meta.namespace, meta.name)
    if _identity(manifest) != _identity(shown.manifest):
        raise RefusedError(f"{shown.subject} was made anew while you looked: nothing was written; look again")
    proposal = await complete(kube, change, manifest, now)
    if proposal.trackers() != shown.trackers():
        raise RefusedError(
            f"{shown.subject}: what Git keeps has changed while you looked: nothing was written; look again"
        )
    return proposal


def _identity(manifest: JSON) -> tuple[str, str]:
    """Whole and as text: 1 is not true."""
    return str(manifest["metadata"].get("uid")), json.dumps(manifest.get("spec"), sort_keys=True)


async def complete(kube: Kube, change: LaneChange, manifest: JSON, now: datetime) -> Proposal:
    """The proposal with its objects. Raises RefusedError where it is not open, stale or unfit, KubeError."""
    for reason in (not_open(change, now), not_sound(change)):
        if reason:
            raise RefusedError(f"LaneChange {change.metadata.key} {reason}")
    proposal = Proposal(change, manifest, await read_live(kube, change))
    if reason := stale(proposal):
        raise RefusedError(f"{proposal.subject} is stale: {reason}; {WAY_OUT}")
    if reason := _unfit(proposal):
        raise RefusedError(f"{proposal.subject} can't be carried out: {reason}; {WAY_OUT}")
    return proposal


def not_open(change: LaneChange, now: datetime) -> str | None:
    """Why it can no longer be approved: "was rejected by alice: too early"; None where it can.

    An approval that was given in time does not expire: what it has begun may be brought to its end.
    """
    notes, status = change.metadata.annotations, change.status
    if change.metadata.deletion_timestamp:
        return "is being deleted"
    if REJECTED_ANNOTATION in notes or change.state is ChangeState.REJECTED:
        by = notes.get(REJECTED_BY_ANNOTATION)
        return (
            f"was rejected{f' by {by}' if by else ''}{_when(change)}: {notes.get(REJECTED_ANNOTATION) or 'no reason'}"
        )
    if not change.state.open:
        said = f": {status.message}" if status and status.message else ""
        return f"is {change.state.value}{_when(change)}{said}"
    if notes.get(APPROVED_ANNOTATION) == change.spec.plan_hash:
        return None
    try:
        expires = datetime.fromisoformat(change.spec.expires_at)
    except ValueError:
        return f"has no usable spec.expiresAt ({change.spec.expires_at!r}); {WAY_OUT}"
    if (expires if expires.tzinfo else expires.replace(tzinfo=UTC)) <= now:
        return f"expired at {change.spec.expires_at}; wait for a new proposal"
    return None


def _when(change: LaneChange) -> str:
    ended = change.status.ended_at if change.status else None
    return f" at {ended}" if ended else ""


def stale(proposal: Proposal) -> str | None:
    """Which object is no longer what the proposal rests on; None where all are.

    What an approved proposal has itself patched already is no change.
    """
    patches = {key_of(change): change for change in proposal.change.spec.change}
    for basis in proposal.change.spec.basis:
        key, item = key_of(basis), proposal.live[key_of(basis)]
        uid, generation = item["metadata"].get("uid"), _generation(item)
        if uid != basis.uid:
            return f"{named(key)} was deleted and made again: uid {uid}, was {basis.uid}"
        own = proposal.approved_by and key in patches and proposal.done(patches[key])
        if generation != basis.generation and not own:
            return f"{named(key)} has changed: generation {generation}, was {basis.generation}"
    return None


def _unfit(proposal: Proposal) -> str | None:
    """Which patch can't be made on its object, also where the apiserver will not be asked; None where all can."""
    for change in proposal.open():
        try:
            applied(proposal.live[key_of(change)], steps_of(change))
        except PatchError as error:
            return f"{named(key_of(change))}: {error}"
    return None


def _generation(item: JSON) -> int:
    return int(item["metadata"].get("generation") or 0)
