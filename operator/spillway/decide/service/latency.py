"""How often a request misses its latency objective when a replica holds n requests in flight.

Attainment is per request, and a request's mean inter-token latency varies around the lane's: while it decodes its
O - 1 tokens, the replica works on the prompts of those that come meanwhile, and a short answer that overlaps a long
prompt is late even where the mean is far below the objective. With n in flight a slot is renewed once in mean O
iterations, so over O - 1 iterations (n-1)(O-1)/mean(O) prompts come, as good as Poisson, and

    mean ITL = alpha + beta*n + gamma*kv/1000 + prefill * (prompt tokens worked on meanwhile) / (1000 (O - 1)).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spillway.decide.service.lengths import (
    Floats,
    Lengths,
    Sizes,
    Stream,
    output_nodes,
    renewal_dispersion,
    second_moment,
    sum_exceeds,
)
from spillway.decide.service.model import Coefficients, Mix

MAX_BATCHED_TOKENS = 8192
"""What an iteration takes of prompts and decodes together, where nothing else is known (vLLM's usual default)."""
TYPICAL = Lengths()
"""Where nothing was observed."""
_HERMITE = ((-math.sqrt(3.0), 1 / 6), (0.0, 2 / 3), (math.sqrt(3.0), 1 / 6))


@dataclass(frozen=True, slots=True)
class _Load:
    """What a replica works on, over all its streams: tokens per request, sizes, tokens held per sequence."""

    prompts: Sizes
    output_mean: float
    output_sigma: float
    held_mean: float
    held_sigma: float


def itl_miss(
    coefficients: Coefficients,
    mix: Mix,
    lengths: Lengths,
    in_flight: Floats,
    itl_slo_ms: float,
    *,
    traffic: Sequence[Stream] = (),
    max_batched_tokens: float = MAX_BATCHED_TOKENS,
) -> Floats:
    """Share of requests of this mix whose mean inter-token latency exceeds the objective, by requests in flight.

    ``in_flight`` is per replica, all of them running, kept constant (a cap that is full). ``traffic`` is all that the
    replica serves where that is more than this mix; its shares are by requests. Result like ``in_flight``, 0 to 1.
    """
    load = _load(traffic or (Stream(1.0, mix, lengths),))
    number = np.maximum(np.asarray(in_flight, dtype=np.float64), 1.0)[:, None]
    outputs, chance = output_nodes(mix.output_tokens, lengths.output_sigma, lengths.longest_output)
    steps = np.maximum(outputs - 1.0, 0.0)[None, :]
    rate = (number - 1.0) * steps / load.output_mean
    dispersion = renewal_dispersion(steps / load.output_mean, load.output_sigma)
    prefill = max(coefficients.prefill_ms_per_ktoken, 1e-9) / 1000
    missed = np.zeros((number.shape[0], outputs.size))
    for node, weight in _HERMITE:
        held = number * load.held_mean + node * np.sqrt(number) * load.held_sigma
        room_ms = itl_slo_ms - _decode_ms(coefficients, number, np.maximum(held, 0.0))
        over = sum_exceeds(rate, steps * room_ms / prefill, load.prompts, dispersion)
        # No iteration takes more prompt tokens than the engine's budget.
        possible = room_ms / prefill < np.maximum(max_batched_tokens - number, 1.0)
        missed += weight * np.where(possible, over, 0.0)
    missed[:, steps[0] <= 0] = 0.0
    return np.asarray(missed @ chance)


def ttft_miss(
    coefficients: Coefficients,
    mix: Mix,
    lengths: Lengths,
    in_flight: Floats,
    ttft_slo_ms: float,
    *,
    traffic: Sequence[Stream] = (),
    max_batched_tokens: float = MAX_BATCHED_TOKENS,
) -> Floats:
    """Share of requests of this mix whose first token takes longer than ``ttft_slo_ms`` from the engine's door.

    A request waits for the end of the iteration under way, then for one (or more, where prompts exceed the engine's
    budget) that holds its prompt and those that came with it. Time held at a proxy before is not in it.
    """
    load = _load(traffic or (Stream(1.0, mix, lengths),))
    number = np.maximum(np.asarray(in_flight, dtype=np.float64), 1.0)[:, None]
    budget = np.maximum(max_batched_tokens - number, 1.0)
    base_ms = _decode_ms(coefficients, number, number * load.held_mean)
    prefill = max(coefficients.prefill_ms_per_ktoken, 1e-9) / 1000
    each = (number - 1.0) / load.output_mean
    full = np.minimum(each * load.prompts.mean / budget, 0.98)
    # Those of the request's own iteration and of half the one before. Where prompts fill the budget they queue up,
    # but only a little: what waits for its prompt doesn't decode and brings no successor.
    rate = each * (1.5 + full / 4.0)
    inputs, chance = output_nodes(mix.input_tokens, lengths.input_sigma, lengths.longest_input)
    per_token = prefill + base_ms / budget
    room_ms = ttft_slo_ms - 1.5 * base_ms
    tokens = room_ms / np.where(full > 0.05, per_token, prefill) - inputs[None, :]
    over = sum_exceeds(rate, tokens, load.prompts)
    return np.asarray(over @ chance)


def iteration_work_ms(coefficients: Coefficients, mix: Mix, lengths: Lengths = TYPICAL) -> float:
    """A request's service work without alpha: beta*O + gamma*E[O(I + O/2)]/1000 + prefill*I/1000 milliseconds."""
    output_square = second_moment(mix.output_tokens, lengths.output_sigma, lengths.longest_output)
    token_steps = mix.output_tokens * mix.input_tokens + output_square / 2
    return (
        coefficients.beta_ms * mix.output_tokens
        + (coefficients.gamma_ms_per_ktoken * token_steps + coefficients.prefill_ms_per_ktoken * mix.input_tokens)
        / 1000
    )


def throughput(coefficients: Coefficients, mix: Mix, lengths: Lengths, in_flight: Floats) -> Floats:
    """Requests a second of one replica that always holds ``in_flight`` requests: 1000 / (work + alpha*O/n).

    Bound where prompts fill the engine's budget of tokens per iteration; see `prefill_bound`.
    """
    number = np.maximum(np.asarray(in_flight, dtype=np.float64), 1.0)
    work_ms = iteration_work_ms(coefficients, mix, lengths)
    return np.asarray(1000.0 / (work_ms + coefficients.alpha_ms * max(mix.output_tokens, 1.0) / number))


def _decode_ms(coefficients: Coefficients, number: Floats, held: Floats) -> Floats:
    return coefficients.alpha_ms + coefficients.beta_ms * number + coefficients.gamma_ms_per_ktoken * held / 1000


def _load(traffic: Sequence[Stream]) -> _Load:
    total = sum(stream.share for stream in traffic)
    inputs = outputs = squares = output_squares = slots = held = held_square = longest = 0.0
    for stream in traffic:
        share, mix, spread = stream.share / total, stream.mix, stream.lengths
        inputs += share * mix.input_tokens
        outputs += share * mix.output_tokens
        square = second_moment(mix.input_tokens, spread.input_sigma, spread.longest_input)
        squares += share * square
        # Seen at a random iteration, a sequence of O tokens is O times as likely and half done.
        seen = share * mix.output_tokens
        output_square = second_moment(mix.output_tokens, spread.output_sigma, spread.longest_output)
        output_squares += share * output_square
        ahead = output_square / (2 * mix.output_tokens)
        slots += seen
        held += seen * (mix.input_tokens + ahead)
        held_square += seen * (square + 2 * mix.input_tokens * ahead + 2 * ahead * ahead)
        longest = max(longest, spread.longest_input)
    inputs = max(inputs, 1e-9)
    first = traffic[0].lengths
    sigma, output_sigma = first.input_sigma, first.output_sigma
    if len(traffic) > 1:
        sigma = math.sqrt(math.log(max(squares / inputs**2, 1.0001)))
        output_sigma = math.sqrt(math.log(max(output_squares / outputs**2, 1.0001)))
    mean = held / slots
    held_sigma = math.sqrt(max(held_square / slots - mean * mean, 0.0))
    return _Load(Sizes(inputs, sigma, longest), max(outputs, 1.0), output_sigma, mean, held_sigma)
