"""Options of ``spillway init``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

Command = Callable[..., Any]

OPTIONS = (
    click.option(
        "--prometheus-url",
        metavar="URL",
        help="Prometheus. Default: that of the operator's configuration, if it is there.",
    ),
    click.option(
        "--config",
        "config_file",
        type=click.Path(path_type=Path, dir_okay=False, exists=True),
        metavar="FILE",
        help="The operator's configuration: label names, tokens. Default: what the chart installed.",
    ),
    click.option(
        "--operator-namespace",
        metavar="NAME",
        default="spillway-system",
        show_default=True,
        help="Where the chart was installed, if it was.",
    ),
    click.option(
        "--days",
        type=click.FloatRange(0.02, 60),
        default=7,
        show_default=True,
        help="How many days of history, to now.",
    ),
    click.option(
        "--gpu-price",
        "gpu_prices",
        metavar="[TYPE=]USD",
        multiple=True,
        help="What a GPU-hour costs. Default: OpenCost's figure, else a catalogue's, marked.",
    ),
    click.option(
        "--catalogue",
        type=click.Path(path_type=Path, file_okay=False, exists=True),
        metavar="DIR",
        help="Folder of CSV files with GPU prices. Default: the shipped ones.",
    ),
    click.option(
        "--output-dir",
        metavar="DIR",
        default="spillway-manifests",
        show_default=True,
        help="Where the files go; - is standard output.",
    ),
    click.option("--force", is_flag=True, help="Overwrite files that are there."),
)


def init_options(command: Command) -> Command:
    """Add the options of ``spillway init``."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command
