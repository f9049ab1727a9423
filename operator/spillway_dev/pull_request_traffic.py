"""`python -m spillway_dev.pull_request_traffic`: the traffic of the example pull requests, out of the public traces.

A week in bins of 600 s, Monday first; before it its own last day once more, for the warm-up.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spillway.simulate.traces import BIN_COLUMNS, BinTrace, read_trace

EXAMPLES = Path(__file__).parents[2] / "examples"
TRAFFIC = EXAMPLES / "gitops" / "pull-requests" / "traffic.csv.gz"
WIDTH_SECONDS = 600
DAY_BINS, WEEK_BINS = 144, 7 * 144
Table = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Part:
    """One class: the first week of a trace's stream, scaled."""

    file: str
    stream: str
    requests: int
    """In the week."""
    lengths: int = 1
    """Factor."""
    monday: int = 0
    """Day of the trace that the week begins with."""


PARTS: Mapping[str, Part] = {
    "engineering/coding-assistant": Part("azure2024_code_7d.csv.gz", "code", 2_000_000, monday=3),
    "legal/document-summaries": Part("o365_A_7d.csv.gz", "a-prod", 800_000, monday=1),
    "support/chat": Part("servegen_m-small_14d.csv.gz", "client-5", 4_000_000, lengths=30),
}


def week(part: Part, traces: Path = EXAMPLES / "traces") -> Table:
    """(bins, 3) requests, input and output tokens."""
    trace = read_trace(traces / part.file)
    if not isinstance(trace, BinTrace):
        raise TypeError(f"{part.file} holds no bins")
    series = next(each for each in trace.series if each.class_name == part.stream)
    together = round(WIDTH_SECONDS / trace.width_s)
    columns = [_bins(values, together) for values in (series.requests, series.input_tokens, series.output_tokens)]
    table = np.roll(np.stack(columns, axis=1), -part.monday * DAY_BINS, axis=0)
    counts = np.rint(table[:, 0] * (part.requests / table[:, 0].sum()))
    means = table[:, 1:] / np.maximum(table[:, :1], 1) * part.lengths
    return np.concatenate((counts[:, None], np.rint(counts[:, None] * means)), axis=1)


def _bins(values: Table, together: int) -> Table:
    """The first week in bins of 600 s; one that the source lacks lies halfway between its neighbours."""
    week_values = np.full(WEEK_BINS * together, np.nan)
    week_values[: len(values)] = values[: len(week_values)]
    rows = week_values.reshape(WEEK_BINS, together)
    sums = np.where(np.isnan(rows).all(axis=1), np.nan, np.nansum(rows, axis=1))
    known = np.flatnonzero(~np.isnan(sums))
    return np.asarray(np.interp(np.arange(WEEK_BINS), known, sums[known]), dtype=np.float64)


def text(weeks: Mapping[str, Table]) -> str:
    """The trace as CSV."""
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(BIN_COLUMNS)
    for number in range(DAY_BINS + WEEK_BINS):
        for name in sorted(weeks):
            values: Sequence[float] = weeks[name][(number - DAY_BINS) % WEEK_BINS].tolist()
            rows.writerow([number * WIDTH_SECONDS, name, *(int(value) for value in values)])
    return out.getvalue()


def main() -> None:
    """Write the file."""
    content = text({name: week(part) for name, part in PARTS.items()}).encode()
    with TRAFFIC.open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as out:
        out.write(content)


if __name__ == "__main__":
    main()
