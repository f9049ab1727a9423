"""Parameters of `NAME@tuned`: found by grid search on the development traces, kept in tuned.json beside this file.

The file is `{NAME: {SPILL: {PARAMETER: value}}}`, with the parameters that `catalogue.create` takes; what is not in it
runs with its defaults.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

FILE = Path(__file__).with_name("tuned.json")
Values = Mapping[str, Mapping[str, Mapping[str, float]]]


@cache
def _tuned() -> Values:
    found: Values = json.loads(FILE.read_text())
    return found


def is_tuned(name: str, spill: str) -> bool:
    """Whether this pair was tuned."""
    return spill in _tuned().get(name, {})


def tuned_parameters(name: str, spill: str) -> Mapping[str, float]:
    """Parameters of a baseline, tuned together with a spill rule; none (its defaults) where it was not tuned."""
    return dict(_tuned().get(name, {}).get(spill, {}))


def write_tuned(values: Values, file: Path = FILE) -> None:
    """Keep what a search found, over what is in the file."""
    content: dict[str, dict[str, dict[str, float]]] = json.loads(file.read_text()) if file.exists() else {}
    for name, by_spill in values.items():
        for spill, parameters in by_spill.items():
            content.setdefault(name, {})[spill] = dict(parameters)
    file.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
    _tuned.cache_clear()
