"""Options of ``spillway backtest``."""

from __future__ import annotations

from pathlib import Path

import click

from spillway.cli.connection import cluster_options
from spillway.cli.shared_options import HISTORY_DAYS, together

OPTIONS = (
    click.argument("scenario", required=False, type=click.Path(path_type=Path)),
    click.option(
        "--policy",
        "policies",
        metavar="NAME,...",
        multiple=True,
        help="Policies, or all: spillway, baselines with @tuned or @oracle and +queue, +cap or +hold, static-best, "
        "cron-best, api-only, clairvoyant-replay. Default: spillway.",
    ),
    click.option(
        "--spill",
        metavar="RULE,...",
        default="queue,cap,hold",
        show_default=True,
        help="How baselines without a suffix overflow.",
    ),
    click.option("--seeds", type=click.IntRange(1, 100), help="How many seeds. Default: the scenario's."),
    click.option("--jobs", type=click.IntRange(1, 256), help="Runs side by side. Default: one for each core."),
    click.option(
        "-o",
        "--output",
        type=click.Choice(["table", "json", "html"]),
        default="table",
        show_default=True,
        help="Form of the output.",
    ),
    click.option(
        "--to", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write the output here."
    ),
    click.option(
        "--requests",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="Requests to run instead of drawing them: CSV, gzip by the name; {seed} in the name is filled in.",
    ),
    click.option(
        "--dump-requests",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="Write the realised requests, one file for each seed. Without --policy nothing is run.",
    ),
    click.option(
        "--cache",
        type=click.Path(path_type=Path, file_okay=False),
        default=".spillway-backtest",
        show_default=True,
        metavar="DIR",
        help="Where finished runs are kept; an interrupted backtest goes on from there.",
    ),
    click.option("--no-color", is_flag=True, help="No colours; so does the variable NO_COLOR."),
    click.option(
        "--from-prometheus",
        metavar="URL",
        help="Instead of SCENARIO: the history of a plan, read from here and kept as a scenario.",
    ),
    click.option("--plan", metavar="NAMESPACE/NAME", help="Whose history. Default: the only plan."),
    HISTORY_DAYS,
    click.option(
        "--manifests",
        multiple=True,
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="The plan's manifests. Default: those of the cluster.",
    ),
    click.option(
        "--config",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="The operator's configuration: gateways, label names, GPU pools.",
    ),
    click.option(
        "--save",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="DIR",
        help="Where the history is kept as a scenario. Default: backtest-PLAN.",
    ),
    cluster_options,
)

backtest_options = together(OPTIONS)
