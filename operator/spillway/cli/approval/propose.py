"""``spillway propose``: open LaneChanges as files for a pull request. Never calls git."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from spillway.act.approval.interruption import checkpoint, noting
from spillway.act.approval.patches import steps_of
from spillway.act.approval.read import Proposal, RefusedError, complete, parsed, read_change
from spillway.act.approval.sound import key_of
from spillway.api.lanechange import ChangeState, LaneChange
from spillway.api.names import APPROVED_ANNOTATION
from spillway.cli.approval.bundle import files_of, marker
from spillway.cli.approval.find import Place, listed, places
from spillway.cli.approval.show import told, wrapped
from spillway.cli.approval.sources import Edit, Source, described, edit_source, sources, write_whole
from spillway.cli.approval.tally import Tally
from spillway.cli.connection import Connection
from spillway.cli.output import Form
from spillway.kube import Kube

JSON = dict[str, Any]
OPEN = (ChangeState.PROPOSED.value, ChangeState.APPROVED.value)


@dataclass(frozen=True, slots=True)
class Request:
    """What to write, and where."""

    output_dir: Path
    manifests: Path | None
    states: tuple[str, ...]
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Written:
    """What came of one LaneChange. ``result``: written, unchanged or left out."""

    key: str
    result: str
    detail: str
    folder: Path | None = None
    edits: tuple[Edit, ...] = ()

    def as_document(self) -> JSON:
        """For JSON output."""
        edits = [
            {"kind": e.key[0], "namespace": e.key[1], "name": e.key[2], "result": e.result}
            | ({"file": str(e.path)} if e.path else {})
            | ({"detail": e.detail} if e.detail else {})
            for e in self.edits
        ]
        namespace, name = _place(self.key)
        place = {"namespace": namespace, "name": name, "result": self.result, "detail": self.detail}
        return place | ({"folder": str(self.folder)} if self.folder else {}) | ({"manifests": edits} if edits else {})


def parse_states(text: str) -> tuple[str, ...]:
    """The value of --state. Raises click.UsageError."""
    found = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    unknown = [each for each in found if each not in OPEN]
    if unknown or not found:
        raise click.UsageError(f"--state {text!r}: one or both of {', '.join(OPEN)}; others are not open")
    return found


async def propose_command(connection: Connection, request: Request, form: Form) -> int:
    """Write what is open; returns the exit status: 1 where a named one could not be written."""
    found = sources(request.manifests) if request.manifests else None
    tally, any_folder = Tally(form), False
    with tally.kept():
        async with await connection.connect() as kube:
            entries = await _wanted(kube, connection, request)
            tally.places = [_place(key) for key, _, _ in entries]
            for entry in entries:
                await checkpoint()
                answer = await _one(kube, entry, request, found, connection.all_namespaces)
                tally.answers.append(answer.as_document())
                any_folder = any_folder or answer.folder is not None
                if not form.as_json:
                    _tell(answer, form)
    if not form.as_json:
        _close(entries, any_folder, request, connection)
    return int(bool(request.names) and any(each["result"] == "left out" for each in tally.answers))


Entry = tuple[str, JSON | None, str]
"""namespace/name, the manifest, and else why there is none."""


async def _wanted(kube: Kube, connection: Connection, request: Request) -> list[Entry]:
    if not request.names:
        return [(_key(item), item, "") for item in await listed(kube, connection)]
    entries: list[Entry] = []
    for namespace, name in await places(kube, connection, request.names):
        try:
            entries.append((f"{namespace}/{name}", (await read_change(kube, namespace, name))[1], ""))
        except RefusedError as error:
            entries.append((f"{namespace}/{name}", None, str(error)))
    return entries


def _place(key: str) -> Place:
    namespace, _, name = key.partition("/")
    return namespace, name


def _key(item: JSON) -> str:
    return f"{item['metadata']['namespace']}/{item['metadata']['name']}"


async def _one(
    kube: Kube, entry: Entry, request: Request, found: Sequence[Source] | None, by_namespace: bool
) -> Written:
    key, manifest, why = entry
    if manifest is None:
        return Written(key, "left out", why)
    try:
        change = parsed(manifest)
        if (state := _state(change)) not in request.states:
            return Written(key, "left out", f"it is {state}")
        proposal = await complete(kube, change, manifest, datetime.now(UTC))
    except RefusedError as error:
        return Written(key, "left out", str(error).removeprefix(f"LaneChange {key} "))
    if not proposal.open():
        return Written(key, "left out", "its patches are in place")
    folder = request.output_dir / (key if by_namespace else change.metadata.name)
    with noting(lambda: f"{key}: {folder} may lack files; run it again"):
        return _write(proposal, folder, found)


def _state(change: LaneChange) -> str:
    """Its state, also where no operator has looked at the approval yet."""
    approved = change.metadata.annotations.get(APPROVED_ANNOTATION) == change.spec.plan_hash
    return ChangeState.APPROVED.value if approved and change.state is ChangeState.PROPOSED else change.state.value


def _write(proposal: Proposal, folder: Path, found: Sequence[Source] | None) -> Written:
    component = folder / "kustomization.yaml"
    if component.exists() and not component.read_text("utf-8", "replace").startswith(marker(proposal)):
        return Written(proposal.change.metadata.key, "left out", f"{component} is somebody else's: choose another DIR")
    changed = [name for name, text in files_of(proposal).items() if write_whole(folder / name, text)]
    edits = () if found is None else tuple(edit_source(found, key_of(c), steps_of(c)) for c in proposal.open())
    touched = changed or any(edit.result == "changed" for edit in edits)
    detail = f"{len(changed)} files" if changed else "as it was"
    return Written(proposal.change.metadata.key, "written" if touched else "unchanged", detail, folder, edits)


def _tell(answer: Written, form: Form) -> None:
    detail = f"{answer.folder}: {answer.detail}" if answer.folder else answer.detail
    click.echo(told(answer.key, answer.result, detail, form))
    for edit in answer.edits:
        click.echo(wrapped(described(edit), "  "))


def _close(entries: Sequence[Entry], any_folder: bool, request: Request, connection: Connection) -> None:
    if not entries:
        where = ", ".join(connection.namespaces()) or "the cluster"
        click.echo(f"There is no LaneChange in {where}: nothing to write.")
    elif any_folder:
        click.echo(wrapped(f"Commit {request.output_dir} and open a pull request with its README.md as the text."))
