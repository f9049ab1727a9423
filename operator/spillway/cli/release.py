"""``spillway release``: gives targets and routes back."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from spillway.act.release import Held, held_objects, release
from spillway.act.writes import Write
from spillway.cli.connection import Connection
from spillway.cli.output import Form, console, print_json, styled, table
from spillway.decide.reasons import count


def wanted(held: Held, targets: Sequence[str]) -> bool:
    """Whether ``targets`` ([KIND/]NAME, any case of KIND; none: everything) means the object."""
    if not targets:
        return True
    return any(target in (held.name, f"{held.kind.lower()}/{held.name}") for target in map(_normalized, targets))


def _normalized(target: str) -> str:
    kind, slash, name = target.rpartition("/")
    return f"{kind.lower().removesuffix('s')}{slash}{name}"


def missing(found: Sequence[Held], targets: Sequence[str]) -> list[str]:
    """Targets that name nothing which Spillway holds."""
    return [target for target in targets if not any(wanted(held, [target]) for held in found)]


async def release_command(
    connection: Connection, targets: Sequence[str], restore: bool, dry_run: bool, form: Form
) -> int:
    """Release what is meant and say so; returns the exit status."""
    async with await connection.connect() as kube:
        found = [held async for held in held_objects(kube, connection.namespaces())]
        if unknown := missing(found, targets):
            where = ", ".join(connection.namespaces()) or "any namespace"
            raise click.ClickException(
                f"Spillway holds no {', '.join(unknown)} in {where}; see `spillway release --dry-run`"
            )
        chosen = [held for held in found if wanted(held, targets)]
        rows = [
            ("held", held.subject, _intent(held, restore))
            if dry_run
            else _row(await release(kube, held, restore=restore))
            for held in chosen
        ]
    _show(rows, form)
    return int(any(word == "failed" for word, _, _ in rows))


def _intent(held: Held, restore: bool) -> str:
    if held.kind in ("HTTPRoute", "AIGatewayRoute"):
        if not held.baseline:
            return "managed route would be kept as it is"
        return f"weights would go back to {held.baseline}" if restore else "weights would be kept"
    return f"would go back to {_replicas(held.baseline)}" if restore else "replicas would be kept"


def _replicas(baseline: str) -> str:
    return count(int(baseline)) if baseline.isdecimal() else f"{baseline!r}, which is no number of replicas"


def _row(write: Write) -> tuple[str, str, str]:
    if write.ok:
        return ("released", write.subject, write.detail)
    return ("failed", write.subject, write.error or write.detail)


def _show(rows: Sequence[tuple[str, str, str]], form: Form) -> None:
    if form.as_json:
        print_json([{"result": word, "object": subject, "detail": detail} for word, subject, detail in rows])
    elif rows:
        lines = ((styled(word), subject, detail) for word, subject, detail in rows)
        console(form).print(table(("RESULT", "OBJECT", "DETAIL"), lines))
    else:
        sys.stdout.write("Spillway holds nothing here.\n")
