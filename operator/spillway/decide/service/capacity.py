"""What one replica serves within the SLO at the present mix of requests.

One iteration with b sequences takes tau(b) = alpha + beta*b + gamma*kv/1000 + prefill*p/1000 ms; in steady state a
sequence holds I + O/2 tokens on average and brings I/O prompt tokens into each iteration. So tau is linear in b, and a
request takes tau*O/b of a replica's time, which splits into a sum over classes:
alpha*O/b + beta*O + gamma*O*(I + O/2)/1000 + prefill*I/1000 ms.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from spillway.api import ServiceProfile
from spillway.decide.service.model import Coefficients, Requirement, coefficients_of
from spillway.decide.snapshot import ServiceSample

MIN_SAMPLES = 30
"""Fewer steady-state samples than this teach nothing."""
CORRECTION_BOUNDS = (0.5, 2.0)
MIN_SPREAD = 1.5
"""A line is fitted only where the 90% quantile of the batch is this many times its 10% quantile."""
PROBE = 1.25
PROBE_ITL_SHARE = 0.8
"""Below this share of the ITL objective a lane of unknown service is planned with ``PROBE`` times what was seen."""
MAX_FITTED = 160
"""Samples of which all pairs are looked at."""


class ServiceSource(StrEnum):
    """What the service figures rest on, best first."""

    CORRECTED = "profile corrected by measurement"
    PROFILE = "declared profile"
    LEARNED = "learned from the engines"
    OBSERVED = "highest throughput seen within the SLO"


@dataclass(frozen=True, slots=True)
class Service:
    """One replica at the largest batch that still meets the SLO of every class on the lane."""

    source: ServiceSource
    batch: float
    """Requests in flight."""
    iteration_ms: float
    request_seconds: Mapping[str, float]
    """Seconds of a replica's time that one request takes, by class key."""
    reachable: bool = True
    """False where even a single request misses the SLO."""
    correction: float = 1.0

    @property
    def text(self) -> str:
        """How the figures were found, for people."""
        if self.source is ServiceSource.CORRECTED:
            return f"{self.source.value} x{self.correction:.2f}"
        return self.source.value


def service_of(
    profile: ServiceProfile | None, samples: Sequence[ServiceSample], classes: Mapping[str, Requirement]
) -> Service | None:
    """What one replica serves; None where nothing is known of it. ``classes`` must not be empty."""
    if profile is not None:
        prior = coefficients_of(profile)
        factor = _correction(prior, samples)
        if factor is None:
            return _at_slo(prior, classes, ServiceSource.PROFILE, 1.0)
        return _at_slo(prior.scaled(factor), classes, ServiceSource.CORRECTED, factor)
    learned = _fit(samples)
    if learned is not None:
        return _at_slo(learned, classes, ServiceSource.LEARNED, 1.0)
    return _observed(samples, classes)


def _at_slo(
    model: Coefficients, classes: Mapping[str, Requirement], source: ServiceSource, correction: float
) -> Service:
    shares = _slot_shares(classes)
    slope = sum(share * model.slope_ms(classes[key].mix) for key, share in shares.items())
    held = sum(
        share * (classes[key].mix.input_tokens + classes[key].mix.output_tokens) for key, share in shares.items()
    )
    tau_limit = min((_tau_limit_ms(model, need) for need in classes.values()), default=math.inf)
    batch = math.inf if slope <= 0 or math.isinf(tau_limit) else (tau_limit - model.alpha_ms) / slope
    batch = min(batch, model.max_sequences)
    if model.kv_cache_tokens is not None:
        batch = min(batch, model.kv_cache_tokens / max(held, 1.0))
    reachable = batch >= 1.0
    batch = max(batch, 1.0)
    seconds = {
        key: max(1e-6, need.mix.output_tokens * (model.alpha_ms / batch + model.slope_ms(need.mix)) / 1000)
        for key, need in classes.items()
    }
    return Service(source, batch, model.alpha_ms + slope * batch, seconds, reachable, correction)


def _tau_limit_ms(model: Coefficients, need: Requirement) -> float:
    """Longest iteration that meets ITL, and TTFT: half an iteration's wait, then one that holds the prompt."""
    by_itl = math.inf if need.itl_ms is None else need.itl_ms
    if need.ttft_ms is None:
        return by_itl
    prompt_ms = model.prefill_ms_per_ktoken * need.mix.input_tokens / 1000
    return min(by_itl, (need.ttft_ms - prompt_ms) / 1.5)


def _slot_shares(classes: Mapping[str, Requirement]) -> dict[str, float]:
    """Share of the batch that each class holds: by requests a second times output tokens."""
    slots = {key: need.requests_per_second * need.mix.output_tokens for key, need in classes.items()}
    total = sum(slots.values())
    if total <= 0:
        return {key: 1 / len(slots) for key in slots}
    return {key: slot / total for key, slot in slots.items()}


def _steady(samples: Sequence[ServiceSample]) -> list[ServiceSample]:
    return [s for s in samples if s.running_per_replica > 0.5 and s.inter_token_latency_seconds > 0]


def _correction(prior: Coefficients, samples: Sequence[ServiceSample]) -> float | None:
    """Median ratio of measured to predicted ITL, within bounds; None with too few samples."""
    ratios = []
    for sample in _steady(samples):
        held = sample.kv_tokens_per_replica or 0.0
        base = prior.alpha_ms + prior.beta_ms * sample.running_per_replica + prior.gamma_ms_per_ktoken * held / 1000
        prefill_share = prior.prefill_ms_per_ktoken * sample.input_tokens_per_second_per_replica / 1e6
        if prefill_share < 0.9:
            ratios.append(sample.inter_token_latency_seconds * 1000 * (1 - prefill_share) / base)
    if len(ratios) < MIN_SAMPLES:
        return None
    low, high = CORRECTION_BOUNDS
    return min(high, max(low, float(np.median(ratios))))


def _fit(samples: Sequence[ServiceSample]) -> Coefficients | None:
    """alpha and the slope at the present mix: the median slope over all pairs of samples (Theil-Sen), which outliers
    don't move; None without spread."""
    steady = _steady(samples)
    if len(steady) < MIN_SAMPLES:
        return None
    batch = np.array([s.running_per_replica for s in steady])
    itl_ms = np.array([s.inter_token_latency_seconds * 1000 for s in steady])
    low, high = np.quantile(batch, [0.1, 0.9])
    if high < MIN_SPREAD * max(low, 1.0):
        return None
    pick = np.linspace(0, batch.size - 1, min(batch.size, MAX_FITTED)).round().astype(int)
    batch, itl_ms = batch[pick], itl_ms[pick]
    first, second = np.triu_indices(batch.size, k=1)
    apart = batch[second] - batch[first]
    distinct = np.abs(apart) > 0.01 * high
    slope = np.median((itl_ms[second] - itl_ms[first])[distinct] / apart[distinct])
    alpha = np.median(itl_ms - slope * batch)
    if slope <= 0 or alpha <= 0:
        return None
    # Nothing was seen beyond twice the highest batch, so no claim is made beyond it.
    return Coefficients(float(alpha), float(slope), 0.0, 0.0, float(2 * batch.max()), None)


def _observed(samples: Sequence[ServiceSample], classes: Mapping[str, Requirement]) -> Service | None:
    """The highest throughput seen while ITL was within the strictest SLO, and a little more while ITL has room.

    Without that little a lane at low load would be taken for a weak one, get more replicas and never show what it can.
    """
    strictest = min((need.itl_ms for need in classes.values() if need.itl_ms is not None), default=math.inf)
    good = [s for s in _steady(samples) if s.inter_token_latency_seconds * 1000 <= strictest]
    best = max(good, key=lambda s: s.output_tokens_per_second_per_replica, default=None)
    if best is None or best.output_tokens_per_second_per_replica <= 0:
        return None
    probe = PROBE if best.inter_token_latency_seconds * 1000 <= PROBE_ITL_SHARE * strictest else 1.0
    rate = probe * best.output_tokens_per_second_per_replica
    seconds = {key: need.mix.output_tokens / rate for key, need in classes.items()}
    return Service(
        ServiceSource.OBSERVED,
        max(1.0, probe * best.running_per_replica),
        best.inter_token_latency_seconds * 1000,
        seconds,
    )
