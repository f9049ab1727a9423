"""A lane's declared profile as the planning formulas of several products use it.

One iteration with b sequences that hold I + O/2 tokens on average and bring I/O prompt tokens each takes
alpha + b*(beta + gamma*(I + O/2)/1000 + prefill*(I/O)/1000) ms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from spillway.api import ServiceProfile


@dataclass(frozen=True, slots=True)
class Mix:
    """Mean tokens of a request."""

    input_tokens: float
    output_tokens: float

    @property
    def held(self) -> float:
        """Mean tokens that a running sequence holds in the KV cache."""
        return self.input_tokens + self.output_tokens / 2.0


@dataclass(frozen=True, slots=True)
class Service:
    """Coefficients of one replica."""

    alpha_ms: float
    beta_ms: float
    gamma_ms_per_ktoken: float
    prefill_ms_per_ktoken: float
    max_sequences: int
    kv_tokens: float
    """Infinite where the profile names none."""

    @classmethod
    def declared(cls, profile: ServiceProfile) -> Service:
        """From a lane's manifest."""
        return cls(
            float(profile.alpha_ms),
            float(profile.beta_ms_per_sequence),
            float(profile.gamma_ms_per_k_token),
            float(profile.prefill_ms_per_k_token),
            profile.max_sequences,
            math.inf if profile.kv_cache_tokens is None else float(profile.kv_cache_tokens),
        )

    def per_sequence_ms(self, mix: Mix) -> float:
        """What one more sequence adds to an iteration in steady state."""
        prompts = mix.input_tokens / max(mix.output_tokens, 1.0)
        return (
            self.beta_ms + self.gamma_ms_per_ktoken * mix.held / 1000.0 + self.prefill_ms_per_ktoken * prompts / 1000.0
        )

    def iteration_ms(self, batch: float, mix: Mix) -> float:
        """Milliseconds of an iteration in steady state."""
        return self.alpha_ms + batch * self.per_sequence_ms(mix)

    def prompt_ms(self, mix: Mix) -> float:
        """Milliseconds that one request's prompt takes."""
        return self.prefill_ms_per_ktoken * mix.input_tokens / 1000.0

    def most_sequences(self, mix: Mix) -> int:
        """Sequences that fit: by the KV cache at I + O/2 tokens each, and by the engine's limit; at least 1."""
        fits = self.kv_tokens / max(mix.held, 1.0)
        return max(1, int(min(fits, self.max_sequences)))

    def largest_batch(self, mix: Mix, itl_s: float, ttft_s: float = math.inf) -> int:
        """Largest batch whose iteration meets `itl_s`, and with the own prompt `ttft_s`; at least 1."""
        room_ms = min(itl_s * 1000.0, ttft_s * 1000.0 - self.prompt_ms(mix)) - self.alpha_ms
        most = self.most_sequences(mix)
        per_sequence = self.per_sequence_ms(mix)
        if room_ms >= most * per_sequence:
            return most
        return max(1, int(room_ms / per_sequence + 1e-9))

    def requests_per_second(self, batch: float, mix: Mix) -> float:
        """Throughput of one replica at a steady batch."""
        return batch * 1000.0 / (max(mix.output_tokens, 1.0) * self.iteration_ms(batch, mix))


def replicas_for_peak(
    service: Service, mix: Mix, requests_per_second: float, *, itl_s: float, ttft_s: float = math.inf
) -> int:
    """Replicas that serve a peak of `requests_per_second` of that mix at the largest batch within the objectives.

    This sizes `static-peak`: take the 99.9th percentile of demand over minutes as the peak.
    """
    batch = service.largest_batch(mix, itl_s, ttft_s)
    return max(1, math.ceil(requests_per_second / service.requests_per_second(batch, mix) - 1e-9))
