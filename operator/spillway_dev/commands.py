"""The commands `tools` and `up` of `python -m spillway_dev`."""

from __future__ import annotations

import click

from spillway_dev.toolchain import ToolchainError, ensure_tools, find_tools
from spillway_dev.toolchain_progress import build_progress


@click.command()
@click.option("--path", is_flag=True, help="Only print the folder with the programs; build nothing.")
def tools(path: bool) -> None:
    """Build the pinned development tools into the cache folder (10 to 20 minutes, once)."""
    try:
        if path:
            click.echo(find_tools().bin)
            return
        built = ensure_tools(build_progress())
    except ToolchainError as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        raise click.ClickException("interrupted; finished tools stay, a second run goes on from there") from None
    click.echo(f"development tools: {built.bin}")
