"""What a stretch of a replica's time says of the latency model.

Two equations hold over a stretch of a replica's time with N iterations, D decoded and G generated tokens, P computed
prompt tokens, K tokens held on average, and S the sum of all inter-token latencies:

- Time. Each iteration ends once, so busy ms = alpha*N + beta*G + gamma*N*K/1000 + prefill*P/1000: a sequence is in as
  many iterations as it gets tokens. A replica is idle for about exp(-m) of the time, with m requests on it in the mean;
  by how much more or less is told by how often nothing was seen running.
- Latency. S counts an iteration once per sequence decoding in it, so S = alpha*D + beta*D*b + gamma*D*K/1000 +
  prefill*P*m/1000 with m decodes found by an arriving prompt. S over the stretch's length is how many decode at a
  random moment; a prompt finds somewhat fewer, since it is sent where there is room. Right up to how decodes and
  prompts fall together, and as good on an idle replica, where it shows alpha + beta.
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
"""How wrong the latency equation's terms in batch and prompts may be, relative to them."""
MET_LESS = 0.35
"""How many decodes fewer than at a random moment a prompt finds: none with random routing, half a one to a whole one
where the emptiest of many replicas gets it or a cap is full."""
MIN_DECODED = 10
"""Fewer decoded tokens than this in a stretch say too little of the latency."""
MOST_IDLE = 0.8


@dataclass(frozen=True, slots=True)
class Stretch:
    """A sample in the equations' terms; rates per second."""

    seconds: float
    latency_ms: float
    decoded: float
    generated: float
    prompts: float
    iterations: float | None
    decoding: float
    """Sequences that decode at a random moment."""
    held: float
    idle: float
    """Share of the time without work, as if requests came whatever is there (Poisson)."""

    @classmethod
    def of(cls, sample: ServiceSample, prefill_ms_per_ktoken: float) -> Stretch:
        """The sample's figures, with what engines don't count filled in."""
        generated = sample.output_tokens_per_second_per_replica
        decoded = generated if sample.decodes_per_second is None else sample.decodes_per_second
        prompts = sample.computed_prompt_tokens_per_second
        if prompts is None:
            prompts = sample.input_tokens_per_second_per_replica
        decoding = sample.inter_token_latency_seconds * decoded
        prefilling = min(prefill_ms_per_ktoken * prompts / 1e6, 1.0)
        return cls(
            seconds=sample.window_seconds or 60.0,
            latency_ms=sample.inter_token_latency_seconds * 1000,
            decoded=decoded,
            generated=generated,
            prompts=prompts,
            iterations=sample.iterations_per_second,
            decoding=decoding,
            held=sample.kv_tokens_per_replica or 0.0,
            idle=math.exp(-decoding - prefilling),
        )


def latency_equation(stretch: Stretch, prior: Coefficients, mean: Sequence[float]) -> Equation | None:
    """The sum of inter-token latencies; ``mean`` (relative to the prior) says how much its unsure terms weigh."""
    if stretch.decoded * stretch.seconds < MIN_DECODED:
        return None
    ms, decoding = stretch.latency_ms, stretch.decoding
    met = decoding * decoding / (decoding + MET_LESS)
    row = (
        prior.alpha_ms / ms,
        prior.beta_ms * (decoding + 0.5) / ms,
        prior.gamma_ms_per_ktoken * stretch.held / 1000 / ms,
        prior.prefill_ms_per_ktoken * stretch.prompts * met / stretch.decoded / 1000 / ms,
    )
    unsure = OVERLAP_SIGMA * min(1.0, row[1] * max(mean[1], 0.0) + row[3] * max(mean[3], 0.0))
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
