"""The command ``spillway``. Errors are one line on standard error, never a traceback."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from spillway import __version__
from spillway.api import API_VERSION, crd
from spillway.cli.approval.options import approve, pause, propose, reject, resume
from spillway.cli.backtest_options import backtest_options
from spillway.cli.budget.options import budget_options
from spillway.cli.connection import Connection, cluster_options, namespace_options, output_options, said
from spillway.cli.diff.options import diff
from spillway.cli.first.options import init_options
from spillway.cli.output import Form, print_json
from spillway.cli.size.options import size_options
from spillway.cli.view.options import COMMANDS as VIEW
from spillway.config import ConfigError, load_config
from spillway.kube import KubeError
from spillway.report.logs import configure_logging, redact

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80})
@click.version_option(__version__, message="spillway %(version)s")
def cli() -> None:
    """Plan and steer LLM inference capacity on Kubernetes.

    Also a kubectl plugin: kubectl spillway COMMAND.
    """


@cli.command()
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The operator's configuration (YAML). Default: SPILLWAY_* variables alone.",
)
@click.option(
    "--log-format",
    type=click.Choice(["auto", "json", "plain"]),
    default="auto",
    show_default=True,
    help="auto: plain lines on a terminal, else JSON.",
)
def run(config_file: Path | None, log_format: str) -> int:
    """Run the operator until it is told to stop (SIGTERM, Ctrl-C)."""
    config = load_config(config_file, dict(os.environ))
    from spillway.controller.run import run as run_controller  # noqa: PLC0415 - kopf is slow to import

    configure_logging(config.log_level, as_json=None if log_format == "auto" else log_format == "json")
    return run_controller(config)


@cli.command()
@output_options
def version(form: Form) -> None:
    """Print the version."""
    if form.as_json:
        print_json({"version": __version__, "apiVersion": API_VERSION, "python": sys.version.split()[0]})
    else:
        click.echo(f"spillway {__version__} ({API_VERSION})")


@cli.command()
def crds() -> None:
    """Print the custom resource definitions of this release, for kubectl apply."""
    click.echo("---\n".join(crd.render().values()), nl=False)


@cli.command(short_help="What a month costs by model, what its cap should be, what to change.")
@budget_options
def budget(**asked: Any) -> int:
    """What a month of tokens costs by model, what its cap should be, and what to change, in dollars.

    From flags (--developers, --tasks-per-day, --tokens-per-task, --model), or from manifests (-f), measured where
    --prometheus-url is given. Reaches no cluster. Exit status 1 where a price is not known.
    """
    from spillway.cli.budget.command import budget_command  # noqa: PLC0415 - keep --help quick

    return budget_command(asked)


@cli.command()
@namespace_options
@cluster_options
@output_options
@click.option("--restore", is_flag=True, help="Back to the replicas and weights from before Spillway.")
@click.option("--dry-run", is_flag=True, help="Only list what would be given back.")
@click.argument("targets", nargs=-1, metavar="[[KIND/]NAME]...")
def release(connection: Connection, form: Form, restore: bool, dry_run: bool, targets: tuple[str, ...]) -> int:
    """Give targets and routes back: Spillway's ownership and notes are removed.

    Replicas and weights stay as they are, or go back with --restore. What deleted plans and lanes have left behind is
    found as well. Stop the plan first (spec.paused, or delete it), or the operator takes the target again.
    """
    from spillway.cli.release import release_command  # noqa: PLC0415 - keep --help quick

    return asyncio.run(release_command(connection, targets, restore, dry_run, form))


@cli.command()
@cluster_options
@output_options
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="FILE",
    help="The operator's configuration. Default: /etc/spillway/config.yaml, else what the chart installed.",
)
@click.option(
    "--operator-namespace",
    metavar="NAME",
    default="spillway-system",
    show_default=True,
    help="Where the chart was installed.",
)
@click.option("--prometheus-url", metavar="URL", help="Reach Prometheus here instead, such as by a port-forward.")
@click.option(
    "--as",
    "impersonate",
    metavar="USER",
    help="Check the permissions of this user, such as system:serviceaccount:spillway-system:spillway.",
)
def doctor(
    connection: Connection,
    form: Form,
    config_file: Path | None,
    operator_namespace: str,
    prometheus_url: str | None,
    impersonate: str | None,
) -> int:
    """Say what an installation lacks, and how to mend it. Changes nothing.

    Exit status 1 where a check fails; warnings alone are 0.
    """
    from spillway.cli.doctor.command import Request, doctor_command  # noqa: PLC0415 - keep --help quick

    request = Request(config_file, operator_namespace, prometheus_url)
    return asyncio.run(doctor_command(replace(connection, impersonate=impersonate), request, form))


@cli.command()
@output_options
@click.option(
    "--at", metavar="TIME", help="Only the last decision at or before it, such as 2026-03-01T12:00:00Z or Unix seconds."
)
@click.option("--plan", metavar="NAMESPACE/NAME", help="Only this plan's decisions.")
@click.option("--show", is_flag=True, help="Also tell each decision.")
@click.argument(
    "files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path, exists=True, dir_okay=False)
)
def replay(form: Form, at: str | None, plan: str | None, show: bool, files: tuple[Path, ...]) -> int:
    """Make recorded decisions once more and compare them byte by byte.

    FILE is what the operator wrote under recording.directory, plain or .gz. Reaches no cluster. Exit status 1 where a
    decision comes out otherwise or a record can't be read.
    """
    from spillway.cli.replay import Choice, parse_time, replay_command  # noqa: PLC0415 - keep --help quick

    return replay_command(files, Choice(None if at is None else parse_time(at), plan), show, form)


@cli.command(name="init", short_help="Write first manifests from what a cluster runs.")
@namespace_options
@cluster_options
@output_options
@init_options
def init(
    connection: Connection, form: Form, gpu_prices: tuple[str, ...], output_dir: str, force: bool, **asked: Any
) -> int:
    """Look at engines, GPUs, routes and traffic, and write first manifests.

    WorkloadClasses, CapacityLanes and a CapacityPlan in mode Recommend for each namespace with vLLM or SGLang engines.
    Comments say where each value comes from and what could not be known. Reads only; changes nothing in the cluster.
    """
    from spillway.cli.first.command import init_command, parse_gpu_prices  # noqa: PLC0415 - keep --help quick
    from spillway.cli.first.gather import Asked  # noqa: PLC0415 - the same

    context = connection.context or "the current context"
    request = Asked(connection.namespaces(), context, gpu_prices=parse_gpu_prices(gpu_prices), **asked)
    return asyncio.run(init_command(connection, request, output_dir, force, form))


@cli.command(short_help="Run policies side by side on a simulated fleet.")
@backtest_options
def backtest(scenario: Path | None, **asked: Any) -> int:
    """Run policies side by side on a simulated fleet, and what perfect foresight would have cost.

    SCENARIO is a file: demand, manifests and how the fleet really behaves. Dollars are compared among the policies that
    hold the SLO. Finished runs are kept: the same command goes on where it was interrupted.
    """
    from spillway.cli.backtest import command  # noqa: PLC0415 - keep --help quick

    return command(scenario, asked)


@cli.command(short_help="How many GPUs a model takes, and what they cost where.")
@size_options
def size(**asked: Any) -> int:
    """How many GPUs a self-hosted model takes, and what they cost where.

    Weights and KV cache are computed from the model's architecture, speed comes from measured profiles or, where there
    is none, from the GPU's data sheet as an estimate with a band. Prices are those of a dated catalogue, or your own.
    """
    from spillway.cli.size.command import size_command  # noqa: PLC0415 - keep --help quick

    return size_command(asked)


for _command in (approve, reject, pause, resume, propose, diff, *VIEW):
    cli.add_command(_command)


def main(arguments: Sequence[str] | None = None, program: str | None = None) -> int:
    """Run one command; returns the exit status: 0, 1 failed, 2 wrong usage, 130 interrupted."""
    # The client library's warnings repeat what the one line says; `run` shows them in its own log.
    logging.getLogger("kubernetes").addHandler(logging.NullHandler())
    try:
        result: Any = cli.main(
            args=list(arguments) if arguments is not None else None,
            prog_name=program or _program(),
            standalone_mode=False,
        )
    except click.UsageError as error:
        hint = f" (see {error.ctx.command_path} --help)" if error.ctx else ""
        return _fail(error.format_message() + hint, EXIT_USAGE)
    except click.ClickException as error:
        return _fail(error.format_message(), EXIT_FAILED)
    except (click.Abort, KeyboardInterrupt, asyncio.CancelledError):
        return _fail("interrupted", EXIT_INTERRUPTED)
    except BrokenPipeError:
        # The reader has gone (`spillway crds | head`): nothing is left to say, nor to flush at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except KubeError as error:
        return _fail(said(error), EXIT_FAILED)
    except (ConfigError, OSError) as error:
        return _fail(str(error), EXIT_FAILED)
    return result if isinstance(result, int) else 0


def _program() -> str:
    """ "kubectl spillway" where kubectl runs it as a plugin."""
    return "kubectl spillway" if Path(sys.argv[0]).name == "kubectl-spillway" else "spillway"


def _fail(message: str, status: int) -> int:
    line = " ".join(redact(message).split())
    sys.stderr.write(f"error: {line}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
