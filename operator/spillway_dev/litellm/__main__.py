"""`python -m spillway_dev.litellm`: install LiteLLM into the tools cache where it is missing, and say where it is."""

from __future__ import annotations

import sys

from spillway_dev.litellm.install import LiteLLMError, ensure_litellm


def main() -> int:
    """Exit status 0 when LiteLLM is there."""
    try:
        print(f"LiteLLM: {ensure_litellm(lambda line: print(line, flush=True)).program}")
    except LiteLLMError as error:
        print(f"LiteLLM: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("LiteLLM: interrupted; the next run starts the installation anew", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
