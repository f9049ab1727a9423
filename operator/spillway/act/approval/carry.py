"""Approves a proposal and carries it out: everything tried first, then the approval, then the patches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spillway.act.approval.interruption import checkpoint, noting, unanswered
from spillway.act.approval.patches import RESOURCES, Operations, guarded, words
from spillway.act.approval.read import Proposal, RefusedError
from spillway.act.approval.sound import key_of, named
from spillway.act.writes import Outcome, Write
from spillway.api.lanechange import LaneChange, ObjectChange
from spillway.api.names import (
    APPROVED_ANNOTATION,
    APPROVED_BY_ANNOTATION,
    REJECTED_ANNOTATION,
    REJECTED_BY_ANNOTATION,
)
from spillway.kube import LANE_CHANGES, Kube, KubeError

MANAGER = "spillway-cli"
"""Field manager of what a person writes with these commands: not kubectl's, whose fields Flux removes."""
NOT_TRIED = "not tried"
NOT_KNOWN = "whether it was written is not known: run the command again"


class NotKnownError(RefusedError):
    """A write was sent and not answered; the message is one line."""


@dataclass(frozen=True, slots=True)
class Approval:
    """What approving came to."""

    annotated: bool
    """Whether this call has written the approval; False where it stood there already."""
    writes: tuple[Write, ...]

    @property
    def complete(self) -> bool:
        """Whether every patch is in place."""
        return all(write.ok for write in self.writes)


def annotation_patch(change: LaneChange, notes: Mapping[str, str | None]) -> Operations:
    """Sets annotations (None: removes) on the LaneChange as it was read, and on no later one."""
    meta = change.metadata
    operations: Operations = [
        {"op": "test", "path": "/metadata/uid", "value": meta.uid},
        {"op": "test", "path": "/metadata/resourceVersion", "value": meta.resource_version},
    ]
    if not meta.annotations:
        operations.append({"op": "add", "path": "/metadata/annotations", "value": {}})
    for key, value in notes.items():
        path = "/metadata/annotations/" + key.replace("~", "~0").replace("/", "~1")
        if value is not None:
            operations.append({"op": "add", "path": path, "value": value})
        elif key in meta.annotations:
            operations.append({"op": "remove", "path": path})
    return operations


async def annotate(kube: Kube, change: LaneChange, notes: Mapping[str, str | None], *, dry_run: bool) -> None:
    """Write annotations on a LaneChange. Raises RefusedError; NotKnownError where nothing was answered."""
    meta = change.metadata
    operations = annotation_patch(change, notes)
    try:
        await kube.json_patch(
            LANE_CHANGES, meta.namespace, meta.name, operations, field_manager=MANAGER, dry_run=dry_run
        )
    except KubeError as error:
        if unanswered(error) and not dry_run:
            raise NotKnownError(f"LaneChange {meta.key}: {error.message}; {NOT_KNOWN}") from error
        raise RefusedError(f"LaneChange {meta.key}: {_said(error)}") from error


async def try_out(kube: Kube, proposal: Proposal, user: str, *, tracked: bool) -> None:
    """The approval and every patch as a server-side dry run: nothing is stored. Raises RefusedError."""
    if proposal.approved_by is None:
        await annotate(kube, proposal.change, _approval(proposal, user), dry_run=True)
    for change in () if tracked else proposal.open():
        write = await _patch(kube, proposal, change, dry_run=True)
        if not write.ok:
            raise RefusedError(f"{proposal.subject}: {write.subject}: {write.error}; nothing was written")


async def carry_out(kube: Kube, proposal: Proposal, user: str, *, tracked: bool) -> Approval:
    """Write the approval, then the patches that are not yet in place (``tracked``: none). Raises RefusedError.

    The first patch that fails ends it; the same call goes on from there. An interruption gets a note on what it leaves.
    """
    annotated = proposal.approved_by is None
    if annotated:
        await checkpoint()
        with noting(lambda: f"the approval of {proposal.change.metadata.key}: {NOT_KNOWN}, or reject it"):
            await annotate(kube, proposal.change, _approval(proposal, user), dry_run=False)
    todo = () if tracked else proposal.open()
    writes: list[Write] = []
    sent = 0
    with noting(lambda: _left(proposal, todo, writes, sent)):
        for change in todo:
            if any(not write.ok for write in writes):
                writes.append(_write(change, Outcome.FAILED, NOT_TRIED))
                continue
            await checkpoint()
            sent += 1
            writes.append(await _patch(kube, proposal, change, dry_run=False))
    return Approval(annotated, tuple(writes))


def _left(proposal: Proposal, todo: Sequence[ObjectChange], writes: Sequence[Write], sent: int) -> str:
    """What an interruption leaves; the approval is noted by then."""
    names = [named(key_of(change)) for change in todo]
    parts = [f"the approval of {proposal.change.metadata.key} is noted"]
    for said, which in (
        ("patched", names[: len(writes)]),
        ("not known whether patched", names[len(writes) : sent]),
        ("not patched", names[sent:]),
    ):
        if which:
            parts.append(f"{said}: {', '.join(which)}")
    return f"{'; '.join(parts)}; run it again, or reject it"


async def reject(kube: Kube, change: LaneChange, user: str, reason: str, *, dry_run: bool) -> None:
    """Write the rejection; an approval that has not been carried out is taken back. Raises as ``annotate`` does."""
    notes = {
        APPROVED_ANNOTATION: None,
        APPROVED_BY_ANNOTATION: None,
        REJECTED_ANNOTATION: reason,
        REJECTED_BY_ANNOTATION: user,
    }
    if dry_run:
        await annotate(kube, change, notes, dry_run=True)
        return
    await checkpoint()
    with noting(lambda: f"the rejection of {change.metadata.key}: {NOT_KNOWN}"):
        await annotate(kube, change, notes, dry_run=False)


def _approval(proposal: Proposal, user: str) -> dict[str, str | None]:
    return {APPROVED_ANNOTATION: proposal.change.spec.plan_hash, APPROVED_BY_ANNOTATION: user}


async def _patch(kube: Kube, proposal: Proposal, change: ObjectChange, *, dry_run: bool) -> Write:
    operations = guarded(change, proposal.basis(change))
    resource = RESOURCES[change.kind.value]
    try:
        await kube.json_patch(
            resource, change.namespace, change.name, operations, field_manager=MANAGER, dry_run=dry_run
        )
    except KubeError as error:
        unknown = f"; {NOT_KNOWN}" if unanswered(error) and not dry_run else ""
        return _write(change, Outcome.FAILED, _said(error) + unknown)
    return _write(change, Outcome.WRITTEN, "")


def _write(change: ObjectChange, outcome: Outcome, error: str) -> Write:
    return Write("spec", named(key_of(change)), "; ".join(words(change)), outcome, error)


def _said(error: KubeError) -> str:
    if error.conflict:
        return f"{error.message}; run the command again"
    _, denied, words = error.message.partition("denied request: ")
    return f"the apiserver refused: {words}" if denied else error.message


def as_document(write: Write) -> dict[str, Any]:
    """A write for JSON output."""
    found = {"object": write.subject, "change": write.detail, "result": write.outcome.value}
    return found | ({"error": write.error} if write.error else {})
