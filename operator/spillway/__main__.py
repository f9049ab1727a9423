"""``python -m spillway [--config FILE]`` is ``spillway run``; any command of ``spillway`` works here as well."""

from __future__ import annotations

import sys

from spillway.cli.main import main


def _arguments(given: list[str]) -> list[str]:
    """``run`` is implied where no command is named."""
    implied = not given or (given[0].startswith("-") and given[0] not in ("--help", "-h", "--version"))
    return ["run", *given] if implied else given


if __name__ == "__main__":
    sys.exit(main(_arguments(sys.argv[1:]), program="python -m spillway"))
