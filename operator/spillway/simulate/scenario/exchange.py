"""Realised requests to and from a file, so that two simulators can run the very same load.

CSV (gzip by the name's end): ``arrival_s,class,input_tokens,output_tokens``, in order of arrival, arrivals with six
decimals, the plan's class names. The hash is the SHA-256 (first 16 hexadecimal digits) over the class keys joined by
newlines and the raw little-endian columns arrival_s (float64), class index, input and output tokens (int64).
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from spillway.simulate.arrivals import requests_hash
from spillway.simulate.scenario.errors import ScenarioError
from spillway.simulate.traces import REQUEST_COLUMNS, RequestTrace, TraceError, read_trace
from spillway.simulate.world import Workload

CHUNK = 200_000


def seed_file(path: Path, seed: int, several: bool) -> Path:
    """The file of one seed: ``{seed}`` in the name is filled in, else with several seeds ``-SEED`` is put in."""
    if "{seed}" in path.name:
        return path.with_name(path.name.replace("{seed}", str(seed)))
    if not several:
        return path
    suffix = "".join(path.suffixes[-2:] if path.name.endswith(".csv.gz") else path.suffixes[-1:])
    return path.with_name(f"{path.name.removesuffix(suffix)}-{seed}{suffix}")


def dump_requests(path: Path, workload: Workload, names: Sequence[str]) -> None:
    """Write the requests; `names` are the classes' names by index. Raises OSError."""
    with io.TextIOWrapper(
        gzip.open(path, "wb", compresslevel=4) if path.suffix == ".gz" else path.open("wb"), encoding="utf-8"
    ) as stream:
        stream.write(",".join(REQUEST_COLUMNS) + "\n")
        for first in range(0, workload.size, CHUNK):
            part = slice(first, first + CHUNK)
            columns = (workload.arrival_s, workload.class_index, workload.input_tokens, workload.output_tokens)
            rows = zip(*(column[part].tolist() for column in columns), strict=True)
            stream.writelines(f"{at:.6f},{names[index]},{tokens},{out}\n" for at, index, tokens, out in rows)


def read_requests(path: Path, numbers: dict[str, int], duration_s: float) -> Workload:
    """Read the requests of one seed; those that arrive at or after the end are left out. Raises ScenarioError."""
    try:
        trace = read_trace(path)
    except TraceError as error:
        raise ScenarioError(f"requests: {error}") from error
    if not isinstance(trace, RequestTrace):
        raise ScenarioError(f"requests {path}: holds bins; give {','.join(REQUEST_COLUMNS)}")
    for name in trace.classes:
        if name not in numbers:
            known = ", ".join(sorted(numbers))
            raise ScenarioError(f"requests {path}: there is no WorkloadClass {name!r} in the plan; known: {known}")
    index = np.array([numbers[name] for name in trace.classes], dtype=np.int64)[trace.class_index]
    inside = slice(0, int(np.searchsorted(trace.arrival_s, duration_s, side="left")))
    if inside.stop == 0:
        raise ScenarioError(f"requests {path}: no request arrives within {duration_s:g} s; it is empty or too late")
    return Workload(trace.arrival_s[inside], index[inside], trace.input_tokens[inside], trace.output_tokens[inside])


def workload_hash(workload: Workload, keys: Sequence[str]) -> str:
    """Fingerprint of the requests; `keys` are the classes' keys by index."""
    columns = (workload.arrival_s, workload.class_index, workload.input_tokens, workload.output_tokens)
    return requests_hash(RequestTrace(tuple(keys), *columns))
