"""``spillway reject``: notes that a person does not want a proposal, and why."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click

from spillway.act.approval.carry import NotKnownError, reject
from spillway.act.approval.read import RefusedError, carried_out, not_open, read_change
from spillway.api.lanechange import ChangeState
from spillway.api.names import REJECTED_ANNOTATION, REJECTED_BY_ANNOTATION
from spillway.cli.approval.find import Place, places
from spillway.cli.approval.show import plain, told
from spillway.cli.approval.tally import Tally
from spillway.cli.connection import Connection
from spillway.cli.output import Form
from spillway.kube import Kube, KubeError

JSON = dict[str, Any]
REASON_LENGTH = 512
FAILED = ("refused", "not known")


async def reject_command(connection: Connection, names: Sequence[str], reason: str, dry_run: bool, form: Form) -> int:
    """Reject each; returns the exit status."""
    text = " ".join(reason.split())
    if not text:
        raise click.UsageError("--reason is empty: say why, for whoever reads it later")
    if len(text) > REASON_LENGTH:
        raise click.UsageError(f"--reason has {len(text)} characters: at most {REASON_LENGTH}")
    tally = Tally(form)
    with tally.kept():
        async with await connection.connect() as kube:
            user = await kube.whoami()
            tally.places = await places(kube, connection, names)
            for place in tally.places:
                answer = await _answer(kube, place, user, text, dry_run)
                tally.answers.append(answer)
                _tell(answer, form)
    return int(any(each["result"] in FAILED for each in tally.answers))


async def _answer(kube: Kube, place: Place, user: str, reason: str, dry_run: bool) -> JSON:
    try:
        result, detail = await _one(kube, place, user, reason, dry_run)
    except NotKnownError as error:
        result, detail = "not known", str(error)
    except (RefusedError, KubeError) as error:
        result, detail = "refused", str(error)
    return {"namespace": place[0], "name": place[1], "result": result, "detail": detail}


def _tell(answer: JSON, form: Form) -> None:
    if form.as_json:
        return
    if answer["result"] in FAILED:
        click.echo(f"error: {plain(answer['detail'])}", err=True)
    else:
        click.echo(told(f"{answer['namespace']}/{answer['name']}", answer["result"], answer["detail"], form))


async def _one(kube: Kube, place: Place, user: str, reason: str, dry_run: bool) -> tuple[str, str]:
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
