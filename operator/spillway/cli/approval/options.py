"""The commands around approval, as click sees them; what they do is imported when they run."""

from __future__ import annotations

import asyncio

import click

from spillway.cli.connection import Connection, cluster_options, namespace_options, output_options
from spillway.cli.output import Form


@click.command(short_help="Approve what Spillway proposes, and carry it out.")
@namespace_options
@cluster_options
@output_options
@click.option("--yes", is_flag=True, help="Do not ask; needed where nobody can answer.")
@click.option("--dry-run", is_flag=True, help="Have the apiserver check everything, and store nothing.")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def approve(connection: Connection, form: Form, yes: bool, dry_run: bool, names: tuple[str, ...]) -> int:
    """Approve LaneChanges and write what they propose, with your own permissions.

    Refused where the plan, a lane or a class has changed since the proposal. What Argo CD or Flux keeps as Git has it
    is not touched: the approval is noted, and the patch printed for Git. NAME may be NAMESPACE/NAME. Exit status 1
    where something was refused or not written; the same command goes on where it stopped.
    """
    from spillway.cli.approval.approve import Request, approve_command  # noqa: PLC0415 - keep --help quick

    return asyncio.run(approve_command(connection, names, Request(yes, dry_run), form))


@click.command(short_help="Reject what Spillway proposes.")
@namespace_options
@cluster_options
@output_options
@click.option("--reason", required=True, metavar="TEXT", help="Why, for whoever reads it later.")
@click.option("--dry-run", is_flag=True, help="Have the apiserver check it, and store nothing.")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def reject(connection: Connection, form: Form, reason: str, dry_run: bool, names: tuple[str, ...]) -> int:
    """Reject LaneChanges, with the reason; also approved ones that are not yet carried out.

    Needs the same verb as approving. NAME may be NAMESPACE/NAME. Exit status 1 where one was refused.
    """
    from spillway.cli.approval.reject import reject_command  # noqa: PLC0415 - keep --help quick

    return asyncio.run(reject_command(connection, names, reason, dry_run, form))
