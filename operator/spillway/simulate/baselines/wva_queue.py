"""WVA's state-dependent M/M/1/K queue: the highest arrival rate of a replica within the SLO."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from spillway.simulate.baselines.profile import Mix, Service
from spillway.simulate.world import Floats

QUEUE_FACTOR = 10
"""K = N + 10 N."""
BISECTIONS = 24


@dataclass(frozen=True, slots=True)
class Latencies:
    """Milliseconds by concurrency."""

    prefill: Callable[[Floats], Floats]
    decode: Callable[[Floats], Floats]


def first_form(service: Service, mix: Mix) -> Latencies:
    """v0.1-0.4: ITL = alpha + beta*b, prefill = gamma + delta*I*b, from the declared profile.

    alpha and beta are those of a decode-only step at the mix's mean context; gamma is the step's fixed time and delta
    the time of a prompt token. So the ITL that it promises leaves out other requests' prompts.
    """
    beta = service.beta_ms + service.gamma_ms_per_ktoken * mix.held / 1000.0
    delta = service.prompt_ms(mix)
    return Latencies(lambda n: service.alpha_ms + delta * n, lambda n: service.alpha_ms + beta * n)


@dataclass(frozen=True, slots=True)
class Coefficients:
    """Of the newer form: milliseconds fixed, per computed token, per held token."""

    alpha: float
    beta: float
    gamma: float

    @classmethod
    def declared(cls, service: Service, mix: Mix) -> Coefficients:
        """From a profile: beta is the mean over the tokens of a request, prompt and generated."""
        whole = mix.input_tokens + mix.output_tokens
        beta = (service.prompt_ms(mix) + service.beta_ms * mix.output_tokens) / whole
        return cls(service.alpha_ms, beta, service.gamma_ms_per_ktoken / 1000.0)


def newer_form(terms: Coefficients, mix: Mix) -> Latencies:
    """T(n) = alpha + n*(beta*(I+O)/(O+1) + gamma*(I+O/2)); T + (beta+gamma)*I; T + beta + gamma*(I+O/2)."""
    whole = mix.input_tokens + mix.output_tokens
    slope = terms.beta * whole / (mix.output_tokens + 1.0) + terms.gamma * mix.held
    own_prompt = (terms.beta + terms.gamma) * mix.input_tokens
    own_token = terms.beta + terms.gamma * mix.held
    return Latencies(
        lambda n: terms.alpha + slope * n + own_prompt,
        lambda n: terms.alpha + slope * n + own_token,
    )


@dataclass(frozen=True, slots=True)
class Steady:
    """Means of the queue at one arrival rate."""

    ttft_ms: float
    itl_ms: float
    throughput: float
    """Requests a second that are not turned away."""


class ReplicaQueue:
    """One replica: mu(n) = n/(prefill(n) + O*decode(n)) up to N in service, K = 11 N in all."""

    def __init__(self, latencies: Latencies, output_tokens: float, sequences: int) -> None:
        self._in_service = np.arange(1, sequences + 1, dtype=np.float64)
        self._prefill = latencies.prefill(self._in_service)
        self._decode = latencies.decode(self._in_service)
        rates = 1000.0 * self._in_service / (self._prefill + output_tokens * self._decode)
        self.rates = rates
        states = sequences * (1 + QUEUE_FACTOR)
        # log of the product of service rates, so that the weight of state k is k*log(lambda) - this[k].
        self._log_rates = np.concatenate(
            ([0.0], np.cumsum(np.log(np.concatenate((rates, np.full(states - sequences, rates[-1]))))))
        )
        self._states = np.arange(states + 1, dtype=np.float64)
        self._sequences = sequences

    def steady(self, arrivals_per_second: float) -> Steady:
        """Steady state at this Poisson rate."""
        logs = self._states * math.log(arrivals_per_second) - self._log_rates
        weights = np.exp(logs - logs.max())
        weights /= weights.sum()
        accepted = arrivals_per_second * (1.0 - float(weights[-1]))
        served = weights[1 : self._sequences + 1].copy()
        served[-1] += float(weights[self._sequences + 1 :].sum())
        queue = float(weights[self._sequences + 1 :] @ (self._states[self._sequences + 1 :] - self._sequences))
        busy = float(served.sum())
        prefill = float(served @ self._prefill) / busy if busy > 0.0 else float(self._prefill[0])
        decode = float(served @ self._decode) / busy if busy > 0.0 else float(self._decode[0])
        return Steady(1000.0 * queue / accepted + prefill, decode, accepted)

    def highest_rate(self, ttft_s: float, itl_s: float) -> float:
        """Largest arrival rate with mean TTFT and ITL within the SLO, by bisection; the lowest tried if none is."""
        low, high = float(self.rates[0]) * 1e-3, float(self.rates.max())

        def holds(rate: float) -> bool:
            at = self.steady(rate)
            return at.ttft_ms <= ttft_s * 1000.0 and at.itl_ms <= itl_s * 1000.0

        if holds(high):
            return high
        if not holds(low):
            return low
        for _ in range(BISECTIONS):
            middle = 0.5 * (low + high)
            if holds(middle):
                low = middle
            else:
                high = middle
        return low
