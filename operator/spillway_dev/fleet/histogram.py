"""Histograms with vLLM's own bucket bounds, and the rendering of series as text.

Names, labels and bounds follow vllm/v1/metrics/loggers.py.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

TTFT_BOUNDS = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
    160.0, 640.0, 2560.0,
)  # fmt: skip
ITL_BOUNDS = (
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
)  # fmt: skip
REQUEST_BOUNDS = (
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0, 960.0,
    1920.0, 7680.0,
)  # fmt: skip
STEP_TOKEN_BOUNDS = (1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)


def one_two_five(most: int) -> tuple[int, ...]:
    """1, 2, 5, 10, 20, 50, ... up to `most`: vLLM's bounds for token counts, `most` being the model's length."""
    bounds: list[int] = []
    power = 1
    while True:
        for mantissa in (1, 2, 5):
            if mantissa * power > most:
                return tuple(bounds)
            bounds.append(mantissa * power)
        power *= 10


Line = tuple[str, float]
"""A series with its labels, such as `up{job="x"}`, and its value."""


def labels(**pairs: str) -> str:
    """Label pairs without braces, values escaped; trailing underscores of names are dropped."""
    escaped = (
        (name.rstrip("_"), value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n"))
        for name, value in pairs.items()
    )
    return ",".join(f'{name}="{value}"' for name, value in escaped)


@dataclass(slots=True)
class Histogram:
    """A cumulative histogram; `observe` may count one value several times."""

    bounds: tuple[float, ...]
    counts: list[int] = field(default_factory=list)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def observe(self, value: float, times: int = 1) -> None:
        """Count `value` in the bucket of the first bound that is not below it."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.total += value * times

    def lines(self, name: str, base: str) -> Iterator[Line]:
        """The `_bucket`, `_sum` and `_count` series."""
        running = 0
        for bound, count in zip((*map(_bound, self.bounds), "+Inf"), self.counts, strict=True):
            running += count
            yield f'{name}_bucket{{{base},le="{bound}"}}', running
        yield f"{name}_sum{{{base}}}", self.total
        yield f"{name}_count{{{base}}}", running


def _bound(value: float) -> str:
    return str(float(value))


@dataclass(frozen=True, slots=True)
class Family:
    """Series of one metric: `kind` is counter, gauge or histogram; a counter's name ends in _total."""

    name: str
    kind: str
    help: str
    lines: list[Line]


def merged(families: Iterable[Family]) -> list[Family]:
    """Families of the same name become one, as the text format demands."""
    by_name: dict[str, Family] = {}
    for family in families:
        if family.name in by_name:
            by_name[family.name].lines.extend(family.lines)
        else:
            by_name[family.name] = Family(family.name, family.kind, family.help, list(family.lines))
    return list(by_name.values())


def number(value: float) -> str:
    """A sample's value as text: whole numbers without a fraction."""
    return str(int(value)) if value == int(value) else repr(float(value))


def exposition(families: Iterable[Family]) -> str:
    """Prometheus text format 0.0.4."""
    out: list[str] = []
    for family in merged(families):
        out.append(f"# HELP {family.name} {family.help}")
        out.append(f"# TYPE {family.name} {family.kind}")
        out.extend(f"{series} {number(value)}" for series, value in family.lines)
    return "\n".join(out) + "\n"
