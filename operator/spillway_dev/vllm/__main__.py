"""`python -m spillway_dev.vllm`: install vLLM into the tools cache where it is missing, and say where it is."""

from __future__ import annotations

import sys

from spillway_dev.vllm.install import VllmError, ensure_vllm


def main() -> int:
    """Exit status 0 when vLLM is there."""
    try:
        print(f"vLLM: {ensure_vllm(lambda line: print(line, flush=True)).program}")
    except VllmError as error:
        print(f"vLLM: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("vLLM: interrupted; the next run starts the installation anew", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
