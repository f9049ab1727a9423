"""``spillway status``, ``top``, ``explain``, ``plan``, ``completion``: their options."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from spillway.cli.connection import Connection, cluster_options, namespace_options, output_options
from spillway.cli.output import Form


def _plans(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    from spillway.cli.view.completion import plan_names  # noqa: PLC0415 - keep --help quick

    return plan_names(ctx, parameter, incomplete)


def _subjects(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    from spillway.cli.view.completion import subject_names  # noqa: PLC0415 - keep --help quick

    return subject_names(ctx, parameter, incomplete)


PLAN_ARGUMENT = click.argument("plans", nargs=-1, metavar="[[NAMESPACE/]PLAN]...", shell_complete=_plans)


@click.command(short_help="How plans stand, and what needs a person.")
@namespace_options
@cluster_options
@output_options
@PLAN_ARGUMENT
def status(connection: Connection, form: Form, plans: tuple[str, ...]) -> int:
    """How each plan stands: replicas, dollars, budgets, and what is not as it should be, with the way out.

    Reads resources only; the operator need not be reachable. Exit status 1 where something needs a person.
    """
    from spillway.cli.view.status import status_command  # noqa: PLC0415 - keep --help quick
    from spillway.cli.view.world import look  # noqa: PLC0415 - the same

    return status_command(asyncio.run(look(connection, plans)), form)


@click.command(short_help="Lanes and classes with their figures, like kubectl top.")
@namespace_options
@cluster_options
@output_options
@click.option("--sort-by", metavar="COLUMN", help="Figures from large to small; names from a to z.")
@click.option("-w", "--watch", is_flag=True, help="Look again and again until Ctrl-C.")
@click.option(
    "--interval",
    type=click.FloatRange(1, 3600),
    default=5,
    show_default=True,
    help="Seconds between looks with --watch.",
)
@click.argument("what", required=False, type=click.Choice(["lanes", "classes"]))
def top(
    connection: Connection,
    form: Form,
    sort_by: str | None,
    watch: bool,
    interval: float,
    what: str | None,
) -> int:
    """Lanes with replicas, utilization, load and dollars; classes with demand, SLO attainment and dollars.

    READY is Ready/asked for, and after the arrow what is recommended. ALLOC, BUSY, EFF, LOAD and SAT are the five
    utilization figures: GPUs allocated, time busy, used peak, load against the SLO, saturation. Columns to sort by:
    lane, replicas, allocated, busy, effective, load, saturation, usd, mtok, hosted; class, requests, tokens,
    attainment, hosted, usd, budget.
    """
    from spillway.cli.view import top as views  # noqa: PLC0415 - keep --help quick
    from spillway.cli.view.world import Seen, look  # noqa: PLC0415 - the same

    options = views.TopOptions(what or "both", sort_by, connection.all_namespaces)
    views.check_sort(options)

    def once() -> Seen:
        return asyncio.run(look(connection))

    return views.watch(once, options, form, interval) if watch else views.top_once(once(), options, form)


@click.command(short_help="Why so many replicas, or so much hosted, as a chain of figures.")
@namespace_options
@cluster_options
@output_options
@click.argument("subject", required=False, metavar="[[lane/|class/]NAME]", shell_complete=_subjects)
def explain(connection: Connection, form: Form, subject: str | None) -> int:
    """Why a lane has so many replicas now, or a class is hosted so much: demand, forecast, service, price, guards.

    Without a name: every lane of own GPUs. A class may be named in its own namespace, too.
    """
    from spillway.cli.view.explain import explain_command  # noqa: PLC0415 - keep --help quick
    from spillway.cli.view.subject import look_for  # noqa: PLC0415 - the same

    return explain_command(asyncio.run(look_for(connection, subject)), subject, form)


@click.command(short_help="What mode Apply would change now.")
@namespace_options
@cluster_options
@output_options
@click.option("--detailed-exitcode", is_flag=True, help="Exit status 2 where there is something to change.")
@PLAN_ARGUMENT
def plan(connection: Connection, form: Form, detailed_exitcode: bool, plans: tuple[str, ...]) -> int:
    """What mode Apply would change now, or is about to: replicas, weights, dollars, and what holds it back.

    LaneChanges that wait for approval are listed, with their effect in dollars a month; they are no changes yet.
    """
    from spillway.cli.view.changes import plan_command  # noqa: PLC0415 - keep --help quick
    from spillway.cli.view.world import look  # noqa: PLC0415 - the same

    return plan_command(asyncio.run(look(connection, plans)), detailed_exitcode, form)


@click.command(short_help="Shell completion.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that completes spillway in this shell, such as: source <(spillway completion bash).

    kubectl completes kubectl spillway by itself, where the program kubectl_complete-spillway is in the PATH.
    """
    from spillway.cli.view.completion import script  # noqa: PLC0415 - keep --help quick

    click.echo(script(ctx.find_root().command, shell))


COMMANDS: tuple[Any, ...] = (status, top, explain, plan, completion)
