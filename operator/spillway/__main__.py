"""The command ``spillway``, and ``python -m spillway [--config FILE]``, which is ``spillway run``; any command of
``spillway`` works there as well.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

EXIT_INTERRUPTED = 130


def command(arguments: Sequence[str] | None = None, program: str | None = None) -> int:
    """Run one command; returns the exit status."""
    try:
        # Most of the start-up: Ctrl-C in it is no traceback either.
        from spillway.cli.main import main  # noqa: PLC0415
    except KeyboardInterrupt:
        sys.stderr.write("error: interrupted\n")
        return EXIT_INTERRUPTED
    return main(arguments, program)


def _arguments(given: list[str]) -> list[str]:
    """``run`` is implied where no command is named."""
    implied = not given or (given[0].startswith("-") and given[0] not in ("--help", "-h", "--version"))
    return ["run", *given] if implied else given


if __name__ == "__main__":
    sys.exit(command(_arguments(sys.argv[1:]), program="python -m spillway"))
