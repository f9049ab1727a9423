"""``spillway diff`` and its options; what it needs is imported when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(name="diff", short_help="Dollars, SLO and policies of a change, before it is merged.")
@click.argument("base")
@click.argument("head")
@click.option("-n", "--namespace", default="default", show_default=True, help="Of objects that name none.")
@click.option("--plan", metavar="NAMESPACE/NAME", help="Only this plan. Default: each that changes.")
@click.option("--git-path", metavar="PATH", help="BASE and HEAD are Git revisions; read PATH of them.")
@click.option("--traffic", type=FILE, metavar="FILE", help="Traffic to replay: CSV of bins or of requests, or .gz.")
@click.option("--scenario", type=FILE, metavar="FILE", help="Replay the traffic and the fleet of this scenario.")
@click.option("--prometheus-url", metavar="URL", help="Replay the plan's own traffic, read from here.")
@click.option(
    "--days", type=click.FloatRange(0.02, 60), default=7, show_default=True, help="How many days of it, to now."
)
@click.option("--config", type=FILE, metavar="FILE", help="The operator's configuration, for --prometheus-url.")
@click.option("--seeds", type=click.IntRange(1, 100), default=1, show_default=True, help="How many seeds to replay.")
@click.option("--jobs", type=click.IntRange(1, 256), help="Replays side by side. Default: one for each core.")
@click.option("--policy", metavar="FILE", help="Limits (YAML), or REVISION:PATH. Default: see docs/review.md.")
@click.option(
    "--fail-on", type=click.Choice(["warn", "fail", "never"]), default="fail", show_default=True,
    help="Verdict from which the exit status is 3.",
)  # fmt: skip
@click.option(
    "-o", "--output", type=click.Choice(["table", "json", "markdown"]), default="table", show_default=True,
    help="Form of the output.",
)  # fmt: skip
@click.option("--to", type=FILE, metavar="FILE", help="Write the output here.")
@click.option(
    "--tag", default="default", show_default=True, metavar="NAME",
    help="In the hidden first line of Markdown: tells comments of several jobs apart.",
)  # fmt: skip
@click.option("--no-color", is_flag=True, help="No colours; so does the variable NO_COLOR.")
def diff(base: str, head: str, **asked: Any) -> int:
    """What a change of plans, lanes and classes does: in words, dollars and SLO.

    BASE and HEAD: a folder, a file, a Git revision with a path (main:deploy), or - for manifests from kustomize or helm
    on standard input. With traffic, both sides are replayed through Spillway's decisions on a simulated fleet. Reaches
    no cluster.

    Exit status: 0 passed or warned, 3 a policy failed, 1 it could not be done, 2 wrong usage.
    """
    from spillway.cli.diff.command import diff_command  # noqa: PLC0415 - keep --help quick

    return diff_command(base, head, asked)
