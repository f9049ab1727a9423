"""Options of ``spillway size``."""

from __future__ import annotations

from pathlib import Path

import click

from spillway.cli.shared_options import together

OPTIONS = (
    click.option(
        "--model",
        required=True,
        metavar="FILE|NAME|SIZE",
        help="config.json of Hugging Face, a well-known name such as Llama-3.1-70B, or a size such as 70B.",
    ),
    click.option(
        "--quantization",
        type=click.Choice(["none", "fp8", "8bit", "4bit"]),
        default="none",
        show_default=True,
        help="How weights are stored; none: as published.",
    ),
    click.option(
        "--kv-cache", type=click.Choice(["auto", "fp8"]), default="auto", show_default=True, help="KV cache's type."
    ),
    click.option(
        "--gpu", multiple=True, metavar="TYPE", help="Such as A100-80GB or nvidia-l4; repeatable. Default: all known."
    ),
    click.option(
        "--concurrency", type=click.IntRange(1, 100_000), required=True, help="Streams that decode at the same time."
    ),
    click.option(
        "--context",
        type=click.IntRange(1, 10_000_000),
        help="Tokens of each stream. Default: 8192, or what the model takes if that is less.",
    ),
    click.option(
        "--tokens-per-second",
        type=click.FloatRange(0.1, 10_000),
        default=30,
        show_default=True,
        help="What each stream gets at least.",
    ),
    click.option(
        "--spare", type=click.IntRange(0, 1000), default=0, show_default=True, help="Replicas beyond those needed."
    ),
    click.option(
        "--tensor-parallel", type=click.IntRange(1, 8), help="GPUs of a replica. Default: what takes fewest GPUs."
    ),
    click.option(
        "--hours-per-day",
        type=click.FloatRange(0, 24, min_open=True),
        default=24,
        show_default=True,
        help="Hours paid a day.",
    ),
    click.option("--workdays", type=click.IntRange(1, 31), default=30, show_default=True, help="Days paid a month."),
    click.option("--provider", multiple=True, metavar="NAME", help="Only this provider; repeatable."),
    click.option("--spot", is_flag=True, help="Rank by spot prices."),
    click.option("--price", metavar="USD", help="Your own price of one GPU-hour, with one --gpu."),
    click.option(
        "--catalogue",
        type=click.Path(path_type=Path, file_okay=False, exists=True),
        metavar="DIR",
        help="Your own price list: a folder of CSV files. Default: the shipped one.",
    ),
    click.option(
        "-f",
        "--filename",
        "files",
        multiple=True,
        type=click.Path(path_type=Path, dir_okay=False, exists=True),
        metavar="FILE",
        help="Manifests: prices that CapacityLanes declare stand first for own GPUs; repeatable.",
    ),
    click.option("--prometheus-url", metavar="URL", help="OpenCost's prices of the cluster's GPUs, read from here."),
    click.option(
        "--compare",
        multiple=True,
        metavar="NAME[=IN/OUT]",
        help="Break-even with a hosted model of the price package, or at your own $ per million tokens; repeatable.",
    ),
    click.option(
        "--input-share",
        type=click.IntRange(0, 100),
        default=60,
        show_default=True,
        help="Share of input among the tokens, in percent, for --compare.",
    ),
    click.option("--explain", is_flag=True, help="Also tell what every figure rests on."),
    click.option(
        "-o",
        "--output",
        type=click.Choice(["table", "json", "markdown"]),
        default="table",
        show_default=True,
        help="Form of the output.",
    ),
    click.option("--no-color", is_flag=True, help="No colours; so does the variable NO_COLOR."),
)

size_options = together(OPTIONS)
