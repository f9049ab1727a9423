"""The simulated world as plain frozen values: what the fleet, the hosted lanes and the traffic really are.

No policy sees any of it: a policy sees what `spillway.simulate.policy` says. Times are seconds from the start of the
scenario, money is US dollars.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spillway.api import LatencyClass

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Interval = tuple[float, float]
"""[start, end) in seconds."""


@dataclass(frozen=True, slots=True)
class ClassTruth:
    """One workload class: its objective and where it may run. Lanes are indices into `World.own` and `World.hosted`."""

    key: str
    """``namespace/name``."""
    latency: LatencyClass
    ttft_slo_s: float
    """Infinite for deferrable classes."""
    itl_slo_s: float
    attainment: float
    """Share of requests (and of tokens) that must meet the SLO, 0 to 1."""
    own: tuple[int, ...]
    hosted: tuple[int, ...]
    """Hosted lanes that may take it, cheapest for its mean request first; empty: SelfHostedOnly or none."""
    deadline_s: float = math.inf
    """Deferrable: a request that ends later than this after its arrival is a miss."""

    @property
    def priority(self) -> int:
        """Lower goes first in every queue."""
        return {LatencyClass.INTERACTIVE: 0, LatencyClass.BACKGROUND: 1, LatencyClass.DEFERRABLE: 2}[self.latency]

    @property
    def patience_s(self) -> float:
        """A request that has waited this long goes hosted and is a miss (deferrable: when its deadline has passed)."""
        return self.deadline_s if self.latency is LatencyClass.DEFERRABLE else 10.0 * self.ttft_slo_s


@dataclass(frozen=True, slots=True, eq=False)
class StepTable:
    """Measured iteration times instead of the formula: bilinear between the points, linear beyond the last ones."""

    batch: Floats
    """(B,) running sequences, ascending."""
    context_tokens: Floats
    """(K,) mean tokens held per sequence, ascending; one point: no dependence."""
    decode_ms: Floats
    """(B, K) milliseconds of a decode-only iteration."""
    prompt_tokens: Floats
    """(P,) prompt tokens in the iteration, ascending."""
    prefill_ms: Floats
    """(P,) milliseconds that they add."""
    noise_sigma: float = 0.0
    """Sigma of a lognormal factor of mean 1 on each iteration."""


@dataclass(frozen=True, slots=True, eq=False)
class OwnTruth:
    """A self-hosted lane: its engine, its start-up and its price."""

    name: str
    startup_mean_s: float
    startup_sigma: float
    """Sigma of the lognormal whose mean is `startup_mean_s`."""
    max_num_seqs: int
    max_batched_tokens: int
    kv_cache_tokens: int
    max_queued: int | None
    """vLLM's own queue limit per replica; None: none."""
    alpha_ms: float
    beta_ms_per_seq: float
    gamma_ms_per_ktoken: float
    prefill_ms_per_ktoken: float
    table: StepTable | None
    min_replicas: int
    max_replicas: int
    usd_per_replica_hour: float
    """Avoidable dollars of one replica (all its GPUs)."""
    gpus_per_replica: int = 1
    pool: str | None = None
    stockouts: tuple[Interval, ...] = ()
    """No replica is created inside: it is Pending, unpaid, until the end."""


@dataclass(frozen=True, slots=True)
class HostedTruth:
    """A hosted lane: latencies (lognormal by p50 and p99), errors, outages, price and limits."""

    name: str
    ttft_p50_s: float
    ttft_p99_s: float
    itl_p50_s: float
    itl_p99_s: float
    error_rate: float
    outages: tuple[Interval, ...]
    usd_per_input_token: float
    usd_per_cached_input_token: float
    usd_per_output_token: float
    requests_per_minute: float = math.inf
    tokens_per_minute: float = math.inf
    concurrency: float = math.inf


@dataclass(frozen=True, slots=True)
class World:
    """Everything but the requests."""

    classes: tuple[ClassTruth, ...]
    own: tuple[OwnTruth, ...]
    hosted: tuple[HostedTruth, ...]
    node_release_s: float
    warmup_s: float
    duration_s: float
    """The whole span, warm-up included; arrivals end here."""
    metrics_lag_s: float
    cached_share: float = 0.0
    """Share of input tokens that hosted lanes bill as cached."""
    gaps: tuple[Interval, ...] = ()
    """Collection gaps: the load goes on, metrics are missing, the time is not scored."""
    gpu_pools: tuple[tuple[str, int], ...] = ()
    """(pool, GPUs)."""

    def scored(self, times_s: Floats) -> NDArray[np.bool_]:
        """Whether each moment is scored: after the warm-up, before the end, outside of gaps."""
        inside = (times_s >= self.warmup_s) & (times_s < self.duration_s)
        for start, end in self.gaps:
            inside &= (times_s < start) | (times_s >= end)
        return inside


@dataclass(frozen=True, slots=True, eq=False)
class Workload:
    """The realised requests of one seed in order of arrival; index i is the request's number everywhere."""

    arrival_s: Floats
    class_index: Integers
    """Into `World.classes`."""
    input_tokens: Integers
    output_tokens: Integers

    @property
    def size(self) -> int:
        """Number of requests."""
        return len(self.arrival_s)
