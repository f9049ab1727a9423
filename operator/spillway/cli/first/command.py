"""``spillway init``: look, compose, write, say what to do next."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import click
import yaml
from pydantic import ValidationError
from rich.console import Console
from rich.text import Text

from spillway.advise.first import Proposal, compose
from spillway.advise.first.facts import World
from spillway.advise.prices import PriceUnknownError
from spillway.api.common import DECIMAL_PATTERN
from spillway.api.crd import KINDS
from spillway.cli.connection import Connection
from spillway.cli.first.gather import Asked, gather
from spillway.cli.first.write import write_files
from spillway.cli.output import WIDTH, Form, console, print_json, table
from spillway.observe.gpu_prices import CatalogueError

STDOUT = "-"


def parse_gpu_prices(texts: Sequence[str]) -> dict[str, Decimal]:
    """``TYPE=USD`` or ``USD`` for every type, in US dollars a GPU-hour. Raises click.UsageError."""
    found: dict[str, Decimal] = {}
    for text in texts:
        kind, _, amount = text.rpartition("=")
        try:
            usd = Decimal(amount) if re.fullmatch(DECIMAL_PATTERN, amount) else Decimal(0)
        except InvalidOperation:
            usd = Decimal(0)
        if usd <= 0:
            raise click.UsageError(
                f"--gpu-price {text}: give TYPE=USD or USD, dollars for one GPU-hour above 0, such as 3.85"
            )
        found[kind.strip().lower()] = usd
    return found


async def init_command(connection: Connection, asked: Asked, output_dir: str, force: bool, form: Form) -> int:
    """Write the manifests; the exit status: 1 where there is nothing to write manifests for."""
    if output_dir == STDOUT and form.as_json:
        raise click.UsageError("-o json prints the summary where --output-dir - prints manifests: give a folder")
    try:
        async with await connection.connect() as kube:
            world = await gather(kube, asked)
        proposal = compose(world)
    except (PriceUnknownError, CatalogueError) as error:
        raise click.ClickException(str(error)) from error
    if not proposal.files:
        raise click.ClickException(_nothing(world, asked, proposal))
    _check(proposal)
    paths: list[str] = []
    if output_dir == STDOUT:
        sys.stdout.write("---\n".join(text for _, text in proposal.files))
    else:
        paths = [str(path) for path in write_files(Path(output_dir), proposal.files, force)]
    if form.as_json:
        print_json(document(world, proposal, paths))
    else:
        _print(world, proposal, paths, form)
    return 0


def _check(proposal: Proposal) -> None:
    """See that every document is one that Spillway reads. Raises click.ClickException."""
    models = {kind.kind: kind.model for kind in KINDS}
    for name, text in proposal.files:
        for document in yaml.safe_load_all(text):
            try:
                models[document["kind"]].model_validate(document)
            except ValidationError as error:
                first = error.errors()[0]
                where = ".".join(str(part) for part in first["loc"])
                about = f"{document['kind']} {document['metadata']['name']}"
                raise click.ClickException(f"{name}: {about} would not be valid: {where}: {first['msg']}") from error


def _nothing(world: World, asked: Asked, proposal: Proposal) -> str:
    where = f"namespace {', '.join(asked.namespaces)}" if asked.namespaces else "any namespace"
    said = [*proposal.notes, *(f"{gap.what}: {gap.why}" for gap in world.gaps)]
    why = f" ({'; '.join(said[:3])})" if said else ""
    ways = "give another --namespace or -A" if asked.namespaces else "deploy vLLM or SGLang first"
    return f"no engine without a lane found in {where}{why}: {ways}"


def document(world: World, proposal: Proposal, paths: Sequence[str]) -> dict[str, Any]:
    """The summary for programs: objects with what is not known of them, and every figure with its origin."""
    return {
        "files": list(paths),
        "prometheus": world.prometheus,
        "objects": [
            {
                "kind": item.kind,
                "namespace": item.namespace,
                "name": item.name,
                "about": item.about,
                "notKnown": list(item.unknown),
                "figures": [figure.to_document() for figure in item.figures],
            }
            for item in proposal.items
        ],
        "notLookedAt": [{"what": gap.what, "why": gap.why, "mend": gap.mend} for gap in world.gaps],
        "notUsed": list(proposal.notes),
    }


def _print(world: World, proposal: Proposal, paths: Sequence[str], form: Form) -> None:
    """The summary for people: on standard output, or beside the manifests on standard error."""
    out = console(form) if paths else Console(stderr=True, no_color=form.no_color or None, width=WIDTH, highlight=False)
    rows = [
        (item.kind, f"{item.namespace}/{item.name}", Text("\n".join((item.about, *_unknown(item.unknown)))))
        for item in proposal.items
    ]
    out.print(table(("KIND", "OBJECT", "FOUND, AND TO BE CHECKED"), rows, fixed=1))
    for gap in world.gaps:
        out.print(Text(f"\nnot looked at: {gap.what} ({gap.why}). {gap.mend}"))
    for note in proposal.notes:
        out.print(Text(f"\nnot used: {note}"))
    if paths:
        folder = Path(paths[0]).parent
        out.print(Text(f"\n{len(paths)} files in {folder}. Read them, then:"))
        out.print(Text(f'  grep -n "not known" {folder}/*.yaml\n  kubectl apply --server-side -f {folder}'))


def _unknown(names: Sequence[str]) -> tuple[str, ...]:
    return (f"not known: {', '.join(names)}",) if names else ()
