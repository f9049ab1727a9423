"""Time lines small enough for a page."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

LIMIT = 700
"""Points that a page of 1,000 pixels can show."""
DIGITS = 4


def downsample(timeline: Mapping[str, Any], limit: int = LIMIT) -> dict[str, Any]:
    """The time line with at most ``limit`` points: means over runs of neighbours, at the first one's time.

    ``timeline`` has ``at_s`` and, at any depth, lists as long as it; what has another length is kept as it is.
    None and values that aren't finite are gaps: the mean is over the rest.
    """
    at: Sequence[float] = timeline.get("at_s") or ()
    run = max(1, math.ceil(len(at) / limit))
    return {key: list(at[::run]) if key == "at_s" else _thinned(value, len(at), run) for key, value in timeline.items()}


def _thinned(value: Any, length: int, run: int) -> Any:
    if isinstance(value, Mapping):
        return {key: _thinned(each, length, run) for key, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == length:
        return [_mean(value[start : start + run]) for start in range(0, length, run)]
    return value


def _mean(values: Sequence[Any]) -> float | None:
    found = [float(value) for value in values if value is not None and math.isfinite(value)]
    return _short(sum(found) / len(found)) if found else None


def _short(value: float) -> float:
    """Significant digits enough for a plot."""
    return float(f"{value:.{DIGITS}g}")


def short_names(keys: Iterable[str]) -> dict[str, str]:
    """Each "namespace/name" as its name alone, where all are of one namespace; as it is otherwise."""
    found = list(keys)
    namespaces = {key.partition("/")[0] for key in found if "/" in key}
    alone = len(namespaces) == 1 and all("/" in key for key in found)
    return {key: key.partition("/")[2] if alone else key for key in found}
