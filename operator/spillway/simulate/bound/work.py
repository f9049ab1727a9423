"""The least GPU time that a request takes of a replica, whatever else runs beside it.

A replica's busy time is the sum of its iterations, and an iteration's time is linear in what it does. Each request
takes part in O iterations (one of them finishes its prompt), holds I + O/2 tokens on average and puts in I prompt
tokens, so that it can be charged

    s = (beta*O + gamma*O*(I + O/2)/1000 + prefill*I/1000) / 1000   seconds.

What is left is alpha. An iteration of T ms has alpha of it for itself and T - alpha of such work. As no iteration is
longer than T_max (all sequences, a full KV cache, a full prompt budget), T - alpha <= T*(1 - alpha/T_max), so busy
time is at least the work in it over (1 - alpha/T_max): alpha is charged at the longest possible iteration.

Where the truth is a measured table, the charges per sequence, token held and prompt token are the largest linear
function below the table at every corner of it (bilinear pieces have their least distance at corners), largest for
the mix of the requests at hand; that charges alpha as well. With noise (a factor of mean 1 on each iteration, drawn
after the iteration was composed) the time is at least that in the mean, no longer on each draw.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import highspy
import numpy as np

from spillway.simulate.world import Floats, OwnTruth, StepTable, Workload


@dataclass(frozen=True, slots=True)
class Charges:
    """Seconds of a replica's time that a request is charged at least, by what it does."""

    per_step: float
    """Per iteration that it takes part in."""
    per_token_step: float
    """Per token held over one iteration."""
    per_prompt_token: float


def longest_step_s(lane: OwnTruth) -> float:
    """T_max: seconds of an iteration with every limit reached. Noise left out."""
    if lane.table is not None:
        table = lane.table
        prompts = (*table.prompt_tokens, float(lane.max_batched_tokens))
        longest_prefill = max(prefill_ms(table, float(p)) for p in prompts)
        return (float(_decode_corners(lane, table)[1].max()) + longest_prefill) / 1000.0
    return (
        lane.alpha_ms
        + lane.beta_ms_per_seq * lane.max_num_seqs
        + lane.gamma_ms_per_ktoken * lane.kv_cache_tokens / 1000.0
        + lane.prefill_ms_per_ktoken * lane.max_batched_tokens / 1000.0
    ) / 1000.0


def formula_charges(lane: OwnTruth, longest_s: float | None = None) -> Charges:
    """Charges of the linear truth, alpha charged at iterations of `longest_s` (T_max unless given)."""
    longest_ms = 1000.0 * (longest_step_s(lane) if longest_s is None else longest_s)
    if longest_ms <= lane.alpha_ms:
        return Charges(math.inf, math.inf, math.inf)
    factor = longest_ms / (longest_ms - lane.alpha_ms) / 1000.0
    return Charges(
        lane.beta_ms_per_seq * factor,
        lane.gamma_ms_per_ktoken / 1000.0 * factor,
        lane.prefill_ms_per_ktoken / 1000.0 * factor,
    )


def charges(lane: OwnTruth, workload: Workload) -> Charges:
    """The lane's charges; a table's depend on the mix of the workload."""
    if lane.table is None:
        return formula_charges(lane)
    return _table_charges(lane, lane.table, _totals(workload))


def work_s(lane_charges: Charges, workload: Workload) -> Floats:
    """(N,) least seconds of a replica's time per request."""
    tokens_in = workload.input_tokens.astype(np.float64)
    tokens_out = workload.output_tokens.astype(np.float64)
    work: Floats = (
        lane_charges.per_step * tokens_out
        + lane_charges.per_token_step * tokens_out * (tokens_in + tokens_out / 2.0)
        + lane_charges.per_prompt_token * tokens_in
    )
    return work


def residence_s(lane: OwnTruth, workload: Workload) -> Floats:
    """(N,) longest time from admission to the last token.

    A prompt is admitted when an iteration takes its first chunk, and goes on before any other one with what decodes
    leave of the token budget. Then each further token takes an iteration, none of them longer than T_max. Infinite
    where decodes may take the whole budget, or where noise has no upper end.
    """
    room = lane.max_batched_tokens - lane.max_num_seqs
    noisy = lane.table is not None and lane.table.noise_sigma > 0.0
    if room <= 0 or noisy:
        return np.full(workload.size, math.inf)
    steps: Floats = np.ceil(workload.input_tokens / room).astype(np.float64) + 1.0 + workload.output_tokens
    return steps * longest_step_s(lane)


def _totals(workload: Workload) -> tuple[float, float, float]:
    tokens_in = workload.input_tokens.astype(np.float64)
    tokens_out = workload.output_tokens.astype(np.float64)
    held = tokens_out * (tokens_in + tokens_out / 2.0)
    return float(tokens_out.sum()), float(held.sum()), float(tokens_in.sum())


def _table_charges(lane: OwnTruth, table: StepTable, totals: tuple[float, float, float]) -> Charges:
    """The linear function below the table that charges this mix the most.

    A linear program: with a split e of the time between decodes and prompts, per_step*b + held*b*c <= decode(b, c) - e
    at every whole b and corner c, and prompt*p <= prefill(p) + e at every corner p.
    """
    decode_rows, decode_ms = _decode_corners(lane, table)
    prompts = np.unique([0.0, float(lane.max_batched_tokens), *table.prompt_tokens])
    prompts = prompts[(prompts >= 0.0) & (prompts <= lane.max_batched_tokens)]
    prompt_ms = np.array([prefill_ms(table, float(p)) for p in prompts])
    empty = np.zeros(len(prompts))
    rows = np.vstack((
        np.column_stack((decode_rows, np.zeros(len(decode_rows)), np.ones(len(decode_rows)))),
        np.column_stack((empty, empty, prompts, -np.ones(len(prompts)))),
    ))  # fmt: skip
    times = np.concatenate((decode_ms, prompt_ms))
    scale = np.array([*np.maximum(rows[:, :3].max(axis=0), 1.0), 1.0])
    gain = np.array([*totals, 0.0]) / scale
    solution = _maximise(gain / max(float(gain.sum()), 1e-12), rows / scale, times)
    per_step, held, prompt = (np.maximum(solution[:3], 0.0) / scale[:3]).tolist()
    # The solver's tolerance is taken back: the function must lie below every corner.
    slack_ms = float(
        np.min(decode_ms - decode_rows @ np.array([per_step, held])) + np.min(prompt_ms - prompt * prompts)
    )
    shrink = 1.0 if slack_ms >= 0.0 else max(0.0, 1.0 + slack_ms / float(decode_ms.min()))
    return Charges(per_step * shrink / 1000.0, held * shrink / 1000.0, prompt * shrink / 1000.0)


def _maximise(gain: Floats, rows: Floats, limits: Floats) -> Floats:
    """max gain @ x with rows @ x <= limits, x >= 0."""
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    columns = np.arange(len(gain), dtype=np.int32)
    for value in gain:
        solver.addVar(0.0, highspy.kHighsInf)
        solver.changeColCost(solver.getNumCol() - 1, -float(value))
    for row, limit in zip(rows, limits, strict=True):
        solver.addRow(-highspy.kHighsInf, float(limit), len(gain), columns, row)
    solver.run()
    return np.array(solver.getSolution().col_value, dtype=np.float64)


def _decode_corners(lane: OwnTruth, table: StepTable) -> tuple[Floats, Floats]:
    """(sequences, tokens held) and milliseconds at each whole number of sequences and corner of the context."""
    rows, times = [], []
    for batch in range(1, lane.max_num_seqs + 1):
        largest = lane.kv_cache_tokens / batch
        for context in np.unique([0.0, largest, *(k for k in table.context_tokens if 0.0 <= k <= largest)]):
            rows.append((float(batch), batch * float(context)))
            times.append(max(decode_ms(table, float(batch), float(context)), 0.0))
    return np.array(rows), np.array(times)


def decode_ms(table: StepTable, batch: float, context: float) -> float:
    """Milliseconds of a decode-only iteration: bilinear, linear beyond the outermost points."""
    at = np.array([_line(table.context_tokens, row, context) for row in table.decode_ms])
    return _line(table.batch, at, batch)


def prefill_ms(table: StepTable, tokens: float) -> float:
    """Milliseconds that prompt tokens add: from (0, 0) through the points, linear beyond the last."""
    if tokens <= 0.0:
        return 0.0
    first = float(table.prompt_tokens[0])
    if len(table.prompt_tokens) == 1 or tokens <= first:
        return float(table.prefill_ms[0]) * (tokens / first if first > 0.0 else 1.0)
    return _line(table.prompt_tokens, table.prefill_ms, tokens)


def _line(points: Floats, values: Floats, at: float) -> float:
    if len(points) == 1:
        return float(values[0])
    j = int(np.clip(np.searchsorted(points, at, side="right") - 1, 0, len(points) - 2))
    share = (at - float(points[j])) / float(points[j + 1] - points[j])
    return float(values[j]) + share * float(values[j + 1] - values[j])
