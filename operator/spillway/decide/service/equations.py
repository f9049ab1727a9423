"""What a stretch of a replica's time says of the latency model.

Three equations hold over a stretch of a replica's time with N iterations, D decoded and G generated tokens, P computed
prompt tokens, K tokens held on average, and S the sum of all inter-token latencies:

- Time. Each iteration ends once, so busy ms = alpha*N + beta*G + gamma*N*K/1000 + prefill*P/1000: a sequence is in as
  many iterations as it gets tokens. The requests there at a random moment over the batch is the share of time that a
  replica is busy; how often nothing was seen running corrects it.
- Latency. S counts an iteration once per sequence decoding in it, so S = alpha*D + beta*D*b + gamma*D*K/1000 +
  prefill*P*m/1000 with m decodes found by a prompt. Two sequences that share iterations meet once as prompt and decode,
  so m = (b - 1)*D/G, where b, the batch that a token sees, is G/N and a little more: between what it is if the batch
  hardly varies and if requests come whatever is there (Poisson, one at least). On an idle replica S shows alpha + beta.
- First token. A prompt waits for at most the end of an iteration, then takes one: alpha + prefill*(its tokens)/1000 ms
  and a little. That tells alpha and prefill apart where a lane has room; where it hasn't, prompts wait for more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from spillway.decide.service.model import Coefficients
from spillway.decide.snapshot import ServiceSample

Vector = tuple[float, ...]
Equation = tuple[Vector, float, float]
"""Row, target and noise, scaled to a target of about 1."""

TIME_SIGMA = 0.04
"""Relative noise of the equation of time on a loaded replica: iterations under way at the scrapes, misfit."""
LATENCY_SIGMA = 0.05
OVERLAP_SIGMA = 0.3
"""How wrong the latency equation's terms in batch and prompts may be, relative to them, where iterations aren't
counted; and at least, where they are."""
LEAST_OVERLAP_SIGMA = 0.1
MET_LESS = 0.35
"""Where iterations aren't counted: how many decodes fewer than at a random moment a prompt finds."""
MIN_DECODED = 10
"""Fewer decoded tokens than this in a stretch say too little of the latency."""
MOST_IDLE = 0.8
FIRST_TOKEN_IDLE = 0.1
"""The first token's time is looked at where at least this share of the time is idle."""
FIRST_TOKEN_SIGMA = 0.1
WAITING = 0.7
"""How many of those who find others there wait: all but the ones that a cap or a queue lets in."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A sample in the equations' terms; rates per second."""

    seconds: float
    latency_ms: float
    decoded: float
    generated: float
    prompts: float
    iterations: float | None
    batch: float
    """Sequences in the iteration that a random token is made in."""
    met: float
    """Decodes that a prompt finds."""
    met_sigma: float
    """How wrong that may be, relative to it."""
    held: float
    """Tokens held while the replica is busy."""
    idle: float
    """Share of the time without work, from the counters alone."""
    prompting: float
    """Share of the time in iterations with prompts."""
    first_token_ms: float | None
    prompt: float
    """Tokens of the prompts whose first tokens these are."""

    @classmethod
    def of(cls, sample: ServiceSample, alpha_ms: float, prefill_ms_per_ktoken: float) -> Stretch:
        """The sample's figures, with what engines don't count filled in; the times believed tell the prompts' share."""
        generated = sample.output_tokens_per_second_per_replica
        decoded = generated if sample.decodes_per_second is None else sample.decodes_per_second
        prompts = sample.computed_prompt_tokens_per_second
        if prompts is None:
            prompts = sample.input_tokens_per_second_per_replica
        decoding = sample.inter_token_latency_seconds * decoded
        firsts = max(generated - decoded, 0.0)
        prompting = (alpha_ms * firsts + prefill_ms_per_ktoken * prompts / 1000) / 1000
        present = decoding + prompting
        idle = math.exp(-present)
        batch, met, met_sigma = decoding + 0.5, decoding * decoding / (decoding + MET_LESS), OVERLAP_SIGMA
        if sample.iterations_per_second and generated > 0:
            mean = max(generated / sample.iterations_per_second, 1.0)
            idle = min(idle, max(0.0, 1.0 - present / mean))
            fewest, most = _steady_excess(mean), _poisson_excess(mean)
            excess = (fewest + most) / 2
            batch, met = 1.0 + excess, excess * decoded / generated
            met_sigma = max(LEAST_OVERLAP_SIGMA, (most - fewest) / (2 * max(excess, 1e-9)))
        held = sample.kv_tokens_per_replica or 0.0
        ttft = sample.time_to_first_token_seconds
        return cls(
            seconds=sample.window_seconds or 60.0,
            latency_ms=sample.inter_token_latency_seconds * 1000,
            decoded=decoded,
            generated=generated,
            prompts=prompts,
            iterations=sample.iterations_per_second,
            batch=batch,
            met=met,
            met_sigma=met_sigma,
            held=held / max(1.0 - idle, 0.2),
            idle=idle,
            prompting=prompting,
            first_token_ms=None if ttft is None else 1000 * ttft,
            prompt=sample.prompt_tokens_per_first_token or 0.0,
        )


def latency_equation(stretch: Stretch, prior: Coefficients, mean: Sequence[float]) -> Equation | None:
    """The sum of inter-token latencies; ``mean`` (relative to the prior) says how much its unsure terms weigh."""
    if stretch.decoded * stretch.seconds < MIN_DECODED:
        return None
    ms = stretch.latency_ms
    row = (
        prior.alpha_ms / ms,
        prior.beta_ms * stretch.batch / ms,
        prior.gamma_ms_per_ktoken * stretch.held / 1000 / ms,
        prior.prefill_ms_per_ktoken * stretch.prompts * stretch.met / stretch.decoded / 1000 / ms,
    )
    unsure = stretch.met_sigma * min(1.0, row[1] * max(mean[1], 0.0) + row[3] * max(mean[3], 0.0))
    return row, 1.0, math.hypot(LATENCY_SIGMA, unsure)


def time_equation(stretch: Stretch, prior: Coefficients, idle: tuple[float, float]) -> Equation | None:
    """Where the stretch's time went; ``idle`` is its share without work and the uncertainty of that."""
    if stretch.iterations is None or idle[0] > MOST_IDLE:
        return None
    row = (
        prior.alpha_ms * stretch.iterations / 1000,
        prior.beta_ms * stretch.generated / 1000,
        prior.gamma_ms_per_ktoken * stretch.iterations * stretch.held / 1e6,
        prior.prefill_ms_per_ktoken * stretch.prompts / 1e6,
    )
    return row, 1.0 - idle[0], math.hypot(TIME_SIGMA, idle[1])


def first_token_equation(stretch: Stretch, prior: Coefficients) -> Equation | None:
    """The first token's time on a replica with room; the wait for the iteration under way is half known."""
    ms = stretch.first_token_ms
    if ms is None or ms <= 0 or stretch.idle < FIRST_TOKEN_IDLE or stretch.iterations is None:
        return None
    # Who finds others there waits for half an iteration as a random moment sees it: longer ones more often. Who is let
    # in when another ends waits for none.
    prompting = min(stretch.prompting / (1.0 - stretch.idle), 1.0) if stretch.idle < 1.0 else 0.0
    residual = (prompting * ms + (1.0 - prompting) * min(stretch.latency_ms, ms)) / 2
    wait = WAITING * (1.0 - math.exp(1.0 - stretch.batch)) * residual
    row = (
        prior.alpha_ms / ms,
        prior.beta_ms * (1.0 + stretch.met) / ms,
        prior.gamma_ms_per_ktoken * (stretch.prompt + stretch.held * stretch.met / stretch.batch) / 1000 / ms,
        prior.prefill_ms_per_ktoken * stretch.prompt / 1000 / ms,
    )
    return row, 1.0 - wait / ms, math.hypot(FIRST_TOKEN_SIGMA, wait / ms)


def _steady_excess(mean: float) -> float:
    """The batch that a token sees, less 1, where the batch takes only the two whole numbers around its mean."""
    part = mean - math.floor(mean)
    return (mean * mean + part * (1.0 - part)) / mean - 1.0


def _poisson_excess(mean: float) -> float:
    """The same where the batch is Poisson, one at least: the m for which m / (1 - exp(-m)) is the mean."""
    found = min(2.0 * (mean - 1.0), mean)
    for _ in range(4):
        gone = math.exp(-found)
        slope = 1.0 - mean * gone
        if abs(slope) < 1e-6:
            break
        found = max(0.0, found - (found - mean * (1.0 - gone)) / slope)
    return found
