"""``spillway reject``: notes that a person does not want a proposal, and why."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import click

from spillway.act.approval.carry import reject
from spillway.act.approval.read import RefusedError, carried_out, not_open, read_change
from spillway.api.lanechange import ChangeState
from spillway.api.names import REJECTED_ANNOTATION, REJECTED_BY_ANNOTATION
from spillway.cli.approval.find import places
from spillway.cli.approval.show import plain, told
from spillway.cli.connection import Connection
from spillway.cli.output import Form, print_json
from spillway.kube import Kube, KubeError

REASON_LENGTH = 512


async def reject_command(connection: Connection, names: Sequence[str], reason: str, dry_run: bool, form: Form) -> int:
    """Reject each; returns the exit status."""
    text = " ".join(reason.split())
    if not text:
        raise click.UsageError("--reason is empty: say why, for whoever reads it later")
    if len(text) > REASON_LENGTH:
        raise click.UsageError(f"--reason has {len(text)} characters: at most {REASON_LENGTH}")
    answers = []
    async with await connection.connect() as kube:
        user = await kube.whoami()
        for namespace, name in await places(kube, connection, names):
            try:
                result, detail = await _one(kube, (namespace, name), user, text, dry_run)
            except (RefusedError, KubeError) as error:
                result, detail = "refused", str(error)
            answers.append({"namespace": namespace, "name": name, "result": result, "detail": detail})
    if form.as_json:
        print_json(answers)
    else:
        for each in answers:
            if each["result"] == "refused":
                click.echo(f"error: {plain(each['detail'])}", err=True)
            else:
                click.echo(told(f"{each['namespace']}/{each['name']}", each["result"], each["detail"], form))
    return int(any(each["result"] == "refused" for each in answers))


async def _one(kube: Kube, place: tuple[str, str], user: str, reason: str, dry_run: bool) -> tuple[str, str]:
    change, _ = await read_change(kube, *place)
    notes = change.metadata.annotations
    if REJECTED_ANNOTATION in notes or change.state is ChangeState.REJECTED:
        return (
            "already rejected",
            f"by {notes.get(REJECTED_BY_ANNOTATION, 'somebody')}: {notes.get(REJECTED_ANNOTATION, '')}",
        )
    if why := not_open(change, datetime.now(UTC)):
        raise RefusedError(f"LaneChange {change.metadata.key} {why}")
    done = await carried_out(kube, change)
    if all(done):
        raise RefusedError(f"LaneChange {change.metadata.key} is carried out: to undo it, change the specs back")
    await reject(kube, change, user, reason, dry_run=dry_run)
    if dry_run:
        return "dry run", "the apiserver would take it; nothing was written"
    stays = f"; {sum(done)} of its {len(done)} patches are in place and stay" if any(done) else ""
    return "rejected", f"by {user}: {reason}{stays}"
