"""Names and variables that may stand in a LiteLLM configuration."""

from __future__ import annotations

import re

_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]*")
# LiteLLM replaces such a text by the variable's value wherever it stands in the file, and /v1/models would show it.
_VARIABLE = "os.environ/"


def is_plain(name: str) -> bool:
    """Whether LiteLLM takes the model name for nothing but a name: no wildcard, list, pattern or variable."""
    return _PLAIN_NAME.fullmatch(name) is not None and not name.lower().startswith(_VARIABLE)


def key_variable(lane: str) -> str:
    """The environment variable with a hosted lane's key.

    Never the provider's usual one: LiteLLM's pass-through routes take those, for any model, past every limit.
    """
    return f"SPILLWAY_KEY_{lane.upper().replace('-', '_')}"
