"""The commands around approval, as click sees them; what they do is imported when they run."""

from __future__ import annotations

import asyncio
from pathlib import Path

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


@click.command(short_help="Stop changing anything under a plan.")
@namespace_options
@cluster_options
@output_options
@click.option("--all", "everything", is_flag=True, help="Every plan of the namespace; with -A, of the cluster.")
@click.option("--reason", metavar="TEXT", help="Why, kept as an annotation of the plan.")
@click.option("--dry-run", is_flag=True, help="Have the apiserver check it, and store nothing.")
@click.argument("plans", nargs=-1, metavar="[PLAN]...")
def pause(
    connection: Connection, form: Form, everything: bool, reason: str | None, dry_run: bool, plans: tuple[str, ...]
) -> int:
    """Set spec.paused of plans, with your own permissions: replicas and weights stay as they are.

    Limits that are armed in gateways stay. A plan that Argo CD or Flux keeps as Git has it is not touched: the patch is
    printed for Git, and the way for an emergency. Exit status 1 where a plan could not be paused.
    """
    from spillway.cli.approval.pause import Wish, pause_command  # noqa: PLC0415 - keep --help quick

    return asyncio.run(pause_command(connection, Wish(True, plans, everything, reason, dry_run), form))


@click.command(short_help="Let a paused plan act again.")
@namespace_options
@cluster_options
@output_options
@click.option("--all", "everything", is_flag=True, help="Every plan of the namespace; with -A, of the cluster.")
@click.option("--dry-run", is_flag=True, help="Have the apiserver check it, and store nothing.")
@click.argument("plans", nargs=-1, metavar="[PLAN]...")
def resume(connection: Connection, form: Form, everything: bool, dry_run: bool, plans: tuple[str, ...]) -> int:
    """Unset spec.paused of plans, with your own permissions. An emergency stop is not lifted by it."""
    from spillway.cli.approval.pause import Wish, pause_command  # noqa: PLC0415 - keep --help quick

    return asyncio.run(pause_command(connection, Wish(False, plans, everything, None, dry_run), form))


@click.command(short_help="Write what Spillway proposes as files for a pull request.")
@namespace_options
@cluster_options
@output_options
@click.option(
    "--output-dir",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Where a folder for each LaneChange goes; with -A, below its namespace.",
)
@click.option(
    "--manifests",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    metavar="DIR",
    help="Find the objects' own YAML files here and change them, too.",
)
@click.option(
    "--state",
    "states",
    metavar="STATE,...",
    default="Proposed,Approved",
    show_default=True,
    help="Which open ones.",
)
@click.argument("names", nargs=-1, metavar="[NAME]...")
def propose(
    connection: Connection, form: Form, output_dir: Path, manifests: Path | None, states: str, names: tuple[str, ...]
) -> int:
    """Write open LaneChanges as kustomize patches, with the text of a pull request.

    Changes nothing in the cluster and never calls git. In --manifests values are exchanged in their place and comments
    are kept; a file where that is not safe is left alone, and said so. A stale LaneChange is left out. A second run
    changes nothing. Exit status 1 where a named one was left out.
    """
    from spillway.cli.approval.propose import Request, parse_states, propose_command  # noqa: PLC0415 - keep --help quick

    request = Request(output_dir, manifests, parse_states(states), names)
    return asyncio.run(propose_command(connection, request, form))
