"""``spillway approve``: shows what would be written, asks, and has it written by the caller's own credentials."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import click

from spillway.act.approval.carry import Approval, NotKnownError, as_document, carry_out, try_out
from spillway.act.approval.patches import steps_of
from spillway.act.approval.read import Proposal, RefusedError, complete, read_again, read_change
from spillway.api.lanechange import ChangeState, LaneChange
from spillway.cli.approval.find import places
from spillway.cli.approval.gitform import git_steps
from spillway.cli.approval.show import for_git, head, plain, plan_of_writes, told, wrapped
from spillway.cli.approval.tally import Tally
from spillway.cli.connection import Connection
from spillway.cli.output import Form
from spillway.kube import Kube, KubeError

JSON = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """How to go about it."""

    yes: bool
    dry_run: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one LaneChange. ``result``: applied, approved (for Git), already applied, refused, not known, ..."""

    namespace: str
    name: str
    result: str
    detail: str
    ok: bool
    more: JSON

    def as_document(self) -> JSON:
        """For JSON output."""
        place = {"namespace": self.namespace, "name": self.name}
        return place | {"result": self.result, "detail": self.detail} | self.more


async def approve_command(connection: Connection, names: Sequence[str], request: Request, form: Form) -> int:
    """Approve each; returns the exit status."""
    if not (request.yes or request.dry_run) and (form.as_json or not sys.stdin.isatty()):
        raise click.UsageError("nobody can be asked here: add --yes to approve, or --dry-run to look")
    tally, fine = Tally(form), True
    with tally.kept():
        async with await connection.connect() as kube:
            user = await kube.whoami()
            tally.places = await places(kube, connection, names)
            for namespace, name in tally.places:
                answer = await _one(kube, namespace, name, user, request, form)
                tally.answers.append(answer.as_document())
                fine = fine and answer.ok
    return int(not fine)


async def _one(kube: Kube, namespace: str, name: str, user: str, request: Request, form: Form) -> Answer:
    def answer(result: str, detail: str, ok: bool, **more: Any) -> Answer:
        made = Answer(namespace, name, result, detail, ok, more)
        _tell(made, form)
        return made

    try:
        change, manifest = await read_change(kube, namespace, name)
        if change.state is ChangeState.APPLIED:
            return answer("already applied", _applied(change), True)
        proposal = await complete(kube, change, manifest, datetime.now(UTC))
        if _settled(proposal):
            return answer("already applied", f"approved by {proposal.approved_by}", True)
        tracked = bool(proposal.trackers())
        _show(proposal, user, form)
        await try_out(kube, proposal, user, tracked=tracked)
        if request.dry_run:
            return answer("dry run", "the apiserver would take it; nothing was written", True, **_git(proposal))
        if not request.yes:
            if not _asked():
                return answer("left", "not approved", False)
            # Its status may have been written meanwhile; its name may stand for another by now.
            proposal = await read_again(kube, proposal, datetime.now(UTC))
            if _settled(proposal):
                return answer("already applied", f"approved by {proposal.approved_by}", True)
        approval = await carry_out(kube, proposal, user, tracked=tracked)
    except NotKnownError as error:
        return answer("not known", str(error), False)
    except (RefusedError, KubeError) as error:
        return answer("refused", str(error), False)
    if tracked:
        if not form.as_json:
            click.echo(for_git(proposal), nl=False)
        return answer("approved", _git_words(proposal, approval), True, **_git(proposal))
    writes = [as_document(write) for write in approval.writes]
    return answer(
        "applied" if approval.complete else "incomplete", _written(approval, user), approval.complete, writes=writes
    )


def _settled(proposal: Proposal) -> bool:
    return proposal.approved_by is not None and not proposal.open()


def _asked() -> bool:
    """Ctrl-C ends the question at once: asyncio's own handler would wait until it is answered."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return click.confirm("Approve?", default=False)
    finally:
        signal.signal(signal.SIGINT, before)


def _applied(change: LaneChange) -> str:
    ended = change.status.ended_at if change.status else None
    return f"at {ended}" if ended else "its patches are in place"


def _git(proposal: Proposal) -> JSON:
    """The patches for Git, where they go there."""
    trackers = proposal.trackers()
    if not trackers:
        return {}
    patches = [
        {
            "kind": change.kind.value,
            "namespace": change.namespace,
            "name": change.name,
            "patch": git_steps(steps_of(change)),
        }
        for change in proposal.open()
    ]
    kept = [{"kind": k, "namespace": ns, "name": n, "by": each.text} for (k, ns, n), each in trackers.items()]
    return {"forGit": patches, "keptInGit": kept}


def _git_words(proposal: Proposal, approval: Approval) -> str:
    noted = "the approval is noted" if approval.annotated else f"approved by {proposal.approved_by} already"
    return f"{noted}; nothing else was written: commit the patch to Git"


def _written(approval: Approval, user: str) -> str:
    done = [write for write in approval.writes if write.ok]
    words = f"{len(done)} of {len(approval.writes)} objects patched as {user}"
    failed = next((write for write in approval.writes if not write.ok), None)
    if failed is None:
        return words
    noted = "the approval is noted; "
    return f"{noted}{words}; {failed.subject}: {failed.error}. Approve it again to go on from there"


def _show(proposal: Proposal, user: str, form: Form) -> None:
    if not form.as_json:
        for line in (*head(proposal.change), *plan_of_writes(proposal, user)):
            click.echo(line)


def _tell(answer: Answer, form: Form) -> None:
    if form.as_json:
        return
    if answer.result in ("refused", "not known"):
        click.echo(f"error: {plain(answer.detail)}", err=True)
        return
    for write in answer.more.get("writes", []):
        failed = f": {write['error']}" if "error" in write else ""
        click.echo(wrapped(f"{write['result'].lower():8} {write['object']}{failed}", hang="         "))
    click.echo(told(f"{answer.namespace}/{answer.name}", answer.result, answer.detail, form))
