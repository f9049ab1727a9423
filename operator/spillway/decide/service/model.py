"""What a request is, and the latency model of one replica.

One iteration with b sequences, k tokens held in the KV cache and p prompt tokens takes
T = alpha + beta*b + gamma*k/1000 + prefill*p/1000 milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

from spillway.api import ServiceProfile


@dataclass(frozen=True, slots=True)
class Mix:
    """What one request of a class is, in tokens."""

    input_tokens: float
    output_tokens: float
    cached_share: float = 0.0
    """Share of the input tokens that a provider bills as cached, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Coefficients:
    """The latency model of one replica."""

    alpha_ms: float
    beta_ms: float
    gamma_ms_per_ktoken: float
    prefill_ms_per_ktoken: float
    max_sequences: float
    kv_cache_tokens: float | None

    def scaled(self, factor: float) -> Coefficients:
        """Every time multiplied by ``factor``."""
        return Coefficients(
            self.alpha_ms * factor,
            self.beta_ms * factor,
            self.gamma_ms_per_ktoken * factor,
            self.prefill_ms_per_ktoken * factor,
            self.max_sequences,
            self.kv_cache_tokens,
        )

    def slope_ms(self, mix: Mix) -> float:
        """What one more sequence of this mix adds to an iteration, its share of prefill included."""
        held = mix.input_tokens + mix.output_tokens / 2
        prompt = mix.input_tokens / max(mix.output_tokens, 1.0)
        return self.beta_ms + (self.gamma_ms_per_ktoken * held + self.prefill_ms_per_ktoken * prompt) / 1000


def coefficients_of(profile: ServiceProfile) -> Coefficients:
    """The declared profile as numbers."""
    return Coefficients(
        float(profile.alpha_ms),
        float(profile.beta_ms_per_sequence),
        float(profile.gamma_ms_per_k_token),
        float(profile.prefill_ms_per_k_token),
        float(profile.max_sequences),
        None if profile.kv_cache_tokens is None else float(profile.kv_cache_tokens),
    )
