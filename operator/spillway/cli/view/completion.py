"""Shell completion: scripts for shells, and what kubectl asks ``kubectl_complete-spillway`` for."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

import click
from click.shell_completion import CompletionItem, ShellComplete, get_completion_class

from spillway.cli.connection import Connection
from spillway.kube import CLASSES, LANES, NAMESPACES, PLANS, Kube, KubeError, Resource

SECONDS = 2.0
"""Whoever pressed Tab waits for no apiserver longer than that."""
NO_FILES, FILES = 4, 0
"""Directives of kubectl's completion (cobra): never file names, or the shell's own completion."""
VARIABLE = "_SPILLWAY_COMPLETE"


def script(program: click.Command, shell: str) -> str:
    """The script that a shell loads; click asks the program for each completion."""
    made = get_completion_class(shell)
    if made is None:
        raise click.ClickException(f"there is no completion for {shell}")
    return made(program, {}, "spillway", VARIABLE).source()


def names(ctx: click.Context, resources: Sequence[Resource], incomplete: str) -> list[str]:
    """Names of objects in the cluster that begin so; none where it does not answer in time."""
    given = ctx.params
    connection = Connection(
        given.get("kubeconfig"),
        given.get("context"),
        given.get("namespace"),
        bool(given.get("all_namespaces")),
    )
    try:
        found = asyncio.run(asyncio.wait_for(_names(connection, resources), SECONDS))
    except (KubeError, TimeoutError, OSError):
        return []
    return sorted({name for name in found if name.startswith(incomplete)})


async def _names(connection: Connection, resources: Sequence[Resource]) -> list[str]:
    async with await Kube.connect(
        connection.kubeconfig, connection.context, pod_first=False, timeout_seconds=SECONDS
    ) as kube:
        found = []
        for resource in resources:
            spaces = connection.namespaces() if resource.namespaced else ()
            found += [item["metadata"]["name"] for item in await kube.list_in(resource, spaces)]
        return found


def plan_names(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Plans in the cluster."""
    return names(ctx, (PLANS,), incomplete)


def subject_names(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Lanes and classes in the cluster."""
    return names(ctx, (LANES, CLASSES), incomplete)


def namespace_names(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Namespaces in the cluster."""
    return names(ctx, (NAMESPACES,), incomplete)


def answer(program: click.Command, arguments: Sequence[str]) -> str:
    """What kubectl reads: a completion a line, with its description after a tab, and a directive."""
    *before, incomplete = arguments or [""]
    completer = ShellComplete(program, {}, "kubectl spillway", VARIABLE)
    items = completer.get_completions(list(before), incomplete)
    files = any(item.type in ("file", "dir") for item in items)
    lines = [_line(item) for item in items if item.type == "plain"]
    return "\n".join([*lines, f":{FILES if files else NO_FILES}"]) + "\n"


def _line(item: CompletionItem) -> str:
    return f"{item.value}\t{item.help}" if item.help else str(item.value)


def kubectl_complete() -> int:
    """The program ``kubectl_complete-spillway``."""
    from spillway.cli.main import cli  # noqa: PLC0415 - it imports the options that use this module

    try:
        sys.stdout.write(answer(cli, sys.argv[1:]))
    except KeyboardInterrupt:
        return 130
    return 0
