"""Measured iteration times of a replica, from a CSV to a StepTable.

Columns ``batch,context_tokens,prompt_tokens,step_ms``; more columns are ignored. A row with prompt_tokens 0 is a
decode-only iteration of ``batch`` sequences that hold ``context_tokens`` each (mean); these rows are a full grid. A row
with batch 0 is an iteration of ``prompt_tokens`` prompt tokens alone.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spillway.simulate.scenario.errors import ScenarioError
from spillway.simulate.world import Floats, StepTable

COLUMNS = ("batch", "context_tokens", "prompt_tokens", "step_ms")
Rows = dict[tuple[float, ...], float]


@dataclass(frozen=True, slots=True)
class Coefficients:
    """Least squares of the table with the formula's terms, none negative; milliseconds."""

    alpha_ms: float
    beta_ms_per_seq: float
    gamma_ms_per_ktoken: float
    prefill_ms_per_ktoken: float


def read_table(path: Path, noise_sigma: float) -> StepTable:
    """Read and check a table. Raises ScenarioError."""
    decode, prefill = _rows(path)
    batches = np.array(sorted({key[0] for key in decode}))
    contexts = np.array(sorted({key[1] for key in decode}))
    if len(batches) < 2 or not prefill:
        raise ScenarioError(
            f"table {path}: needs decode rows (prompt_tokens 0) of two batch sizes or more and a prefill row (batch 0)"
        )
    grid = np.empty((len(batches), len(contexts)))
    for row, batch in enumerate(batches):
        for column, context in enumerate(contexts):
            if (batch, context) not in decode:
                raise ScenarioError(
                    f"table {path}: no row with batch {batch:g}, context_tokens {context:g}, prompt_tokens 0; "
                    "measure every batch at every context"
                )
            grid[row, column] = decode[batch, context]
    empty_ms = _empty_iteration_ms(batches, grid)
    prompts = np.array(sorted(key[0] for key in prefill))
    added = np.maximum(0.0, np.array([prefill[(p,)] for p in prompts]) - empty_ms)
    return StepTable(
        batch=np.concatenate(([0.0], batches)),
        context_tokens=contexts,
        decode_ms=np.vstack((np.full(len(contexts), empty_ms), grid)),
        prompt_tokens=np.concatenate(([0.0], prompts)),
        prefill_ms=np.concatenate(([0.0], added)),
        noise_sigma=noise_sigma,
    )


def coefficients(table: StepTable) -> Coefficients:
    """The formula nearest to the table, for what needs a formula (the cost bound, a declared profile)."""
    batch, context = np.meshgrid(table.batch, table.context_tokens, indexing="ij")
    terms = np.stack((np.ones(batch.size), batch.ravel(), (batch * context).ravel() / 1000.0), axis=1)
    alpha, beta, gamma = _non_negative(terms, table.decode_ms.ravel())
    tokens = table.prompt_tokens / 1000.0
    prefill = float(tokens @ table.prefill_ms / (tokens @ tokens))
    return Coefficients(alpha, beta, gamma, prefill)


def _empty_iteration_ms(batches: Floats, grid: Floats) -> float:
    """Milliseconds of an iteration without a sequence: the line through the two smallest batches, at 0."""
    first, second = grid[0, 0], grid[1, 0]
    slope = max(0.0, (second - first) / (batches[1] - batches[0]))
    return float(max(0.0, first - slope * batches[0]))


def _non_negative(terms: Floats, values: Floats) -> tuple[float, float, float]:
    """Least squares without negative coefficients: negative ones are set to 0, the worst first."""
    active = list(range(terms.shape[1]))
    solution = np.zeros(terms.shape[1])
    while active:
        found = np.linalg.lstsq(terms[:, active], values, rcond=None)[0]
        if (found >= 0).all():
            solution[active] = found
            break
        active.pop(int(np.argmin(found)))
    return float(solution[0]), float(solution[1]), float(solution[2])


def _rows(path: Path) -> tuple[Rows, Rows]:
    decode: Rows = {}
    prefill: Rows = {}
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream)
            if lacking := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
                raise ScenarioError(f"table {path}: no column {lacking[0]}; the columns are {','.join(COLUMNS)}")
            for line, row in enumerate(reader, start=2):
                batch, context, prompt, step_ms = (_number(path, line, row, name) for name in COLUMNS)
                if (batch > 0) == (prompt > 0):
                    raise ScenarioError(
                        f"table {path}, line {line}: either prompt_tokens is 0 (decode) or batch is 0 (prefill)"
                    )
                if step_ms <= 0:
                    raise ScenarioError(f"table {path}, line {line}: step_ms must be above 0")
                rows, key = (decode, (batch, context)) if batch > 0 else (prefill, (prompt,))
                if key in rows:
                    raise ScenarioError(f"table {path}, line {line}: this point is measured twice; give one row")
                rows[key] = step_ms
    except OSError as error:
        raise ScenarioError(f"table {path}: cannot be read: {error.strerror or error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ScenarioError(f"table {path}: is not a CSV in UTF-8") from error
    return decode, prefill


def _number(path: Path, line: int, row: dict[str, str | None], column: str) -> float:
    text = (row.get(column) or "").strip()
    try:
        value = float(text or "0")
    except ValueError:
        value = -1.0
    if not math.isfinite(value) or value < 0:
        raise ScenarioError(f"table {path}, line {line}: {column} is {text!r}; give a number of 0 or more")
    return value
