"""`python -m spillway_dev`: development tools, the development control plane, and the demo."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

# Each command is imported only when it is called: `tools --path` should not pay for the demo.
COMMANDS = {
    "tools": "spillway_dev.commands:tools",
    "up": "spillway_dev.commands:up",
    "gateway": "spillway_dev.gateway.command:gateway",
    "demo": "spillway_dev.demo.command:demo",
    "tune": "spillway_dev.tune:tune",
    "diffcheck": "spillway_dev.diffcheck:diffcheck",
    "bench": "spillway_dev.bench.command:bench",
}


class LazyGroup(click.Group):
    """A group whose commands are imported by name on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name].split(":")
        command: Any = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)  # noqa: S101 - the table above is ours
        return command


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Development tools of Spillway. Nothing here is part of the product."""


if __name__ == "__main__":
    sys.exit(main(prog_name="python -m spillway_dev"))
