"""Options of ``spillway init``."""

from __future__ import annotations

from pathlib import Path

import click

from spillway.cli.shared_options import HISTORY_DAYS, together

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
    HISTORY_DAYS,
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

init_options = together(OPTIONS)
