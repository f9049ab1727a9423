"""What a policy sees of a simulated fleet and what it may do: the same for Spillway and for every baseline.

Samples are taken each 15 s and become visible `metrics_lag_s` later; replica counts, limits, prices and the mean
start-up time are known at once. All actuators are those that a gateway has; they change only when a policy acts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from spillway.api import CapacityLane, CapacityPlan, WorkloadClass
from spillway.simulate.world import Floats

SCRAPE_SECONDS = 15.0

TTFT_BUCKETS_S = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
    160.0, 640.0, 2560.0,
)  # fmt: skip
"""vllm:time_to_first_token_seconds; a last, unbounded bucket follows."""
ITL_BUCKETS_S = (
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
)  # fmt: skip
"""vllm:inter_token_latency_seconds and vllm:request_time_per_output_token_seconds; an unbounded bucket follows."""


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """Cumulative counter of a latency: counts per bucket (not summed up over buckets), sum in seconds, count."""

    counts: Floats
    sum_s: float
    count: float


@dataclass(frozen=True, slots=True, eq=False)
class ReplicaSamples:
    """Gauges and counters of a lane's Ready replicas that get new work (draining ones are left out); arrays (R,)."""

    number: Floats
    """Identity of the replica: counts up in order of creation."""
    ready_at: Floats
    running: Floats
    waiting: Floats
    kv_usage: Floats
    """Reserved share of the KV cache, 0 to 1."""
    tokens_held: Floats
    """Tokens now in the KV cache."""
    prompt_tokens: Floats
    """Cumulative since the replica's creation, as are the rest."""
    generation_tokens: Floats
    iterations: Floats
    """vllm:iteration_tokens_total_count."""
    itl_sum_s: Floats
    """Sum over tokens of the time since the token before (per token, not per request)."""
    itl_count: Floats
    finished: Floats


@dataclass(frozen=True, slots=True, eq=False)
class LaneSample:
    """One own lane at one scrape. Counters run over all replicas that the lane ever had."""

    replicas: ReplicaSamples
    prompt_tokens: float
    generation_tokens: float
    finished: float
    rejected: float
    """503 answers of the engine's own queue limit."""
    busy_seconds: float
    """Seconds inside iterations, summed over replicas."""
    ttft: Histogram
    """From the arrival at the engine, as vLLM counts it (time held at the proxy is not in it)."""
    itl: Histogram
    """Per token."""
    tpot: Histogram
    """Per request: its mean inter-token latency."""


@dataclass(frozen=True, slots=True, eq=False)
class ClassSample:
    """One class at the gateway at one scrape: cumulative counters, and how many are held now."""

    arrived: float
    ended: float
    """Ended on any lane; tokens are known then."""
    ended_input_tokens: float
    ended_output_tokens: float
    hosted_by_weight: float
    hosted_by_queue: float
    hosted_by_cap: float
    """Spilled over a cap or at the end of a hold."""
    hosted_by_patience: float
    rejected: float
    held: float
    """Waiting at the proxy now."""
    to_lane: Floats
    """Requests routed so far by own lane, then by hosted lane."""
    own_ended: float
    """Ended on own lanes."""
    own_met: float
    """Of these, within the SLO as the gateway sees it (hold included); what the gateway's histograms tell."""
    own_tokens_ended: float
    own_tokens_met: float


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One scrape of everything."""

    at: float
    lanes: tuple[LaneSample, ...]
    classes: tuple[ClassSample, ...]
    hosted_failed: Floats = field(default_factory=lambda: np.zeros(0))
    """Attempts at each hosted lane that ended in an error, so far; 429s, after which the gateway tries the next lane
    at once, are not among them."""


@dataclass(frozen=True, slots=True)
class LaneCounts:
    """A lane's replicas now, unlagged."""

    desired: int
    """As last asked for."""
    ready: int
    """Ready and not draining."""
    starting: int
    starting_since: tuple[float, ...]
    """Creation times of those."""
    draining: int


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """What a policy sees at one tick."""

    now: float
    samples: Sequence[Sample]
    """All that are visible, oldest first, at most an hour's; none for scrapes in a collection gap."""
    counts: tuple[LaneCounts, ...]
    """By own lane."""


@dataclass(frozen=True, slots=True)
class LaneInfo:
    """What is known of an own lane beforehand."""

    resource: CapacityLane
    startup_mean_s: float


@dataclass(frozen=True, slots=True)
class Known:
    """What a policy knows beforehand: the manifests, in the order of `World`'s classes, own and hosted lanes."""

    plan: CapacityPlan
    classes: tuple[WorkloadClass, ...]
    own: tuple[LaneInfo, ...]
    hosted: tuple[CapacityLane, ...]
    metrics_lag_s: float
    gpu_pools: Mapping[str, int] = field(default_factory=dict)
    seed: int = 0


@dataclass(frozen=True, slots=True)
class LaneOverflow:
    """When an own lane's gateway stops sending to it. None: that actuator is not used."""

    queue_limit: int | None = None
    """Waiting requests per replica above which the engine answers 503 (retried at a hosted lane at once)."""
    cap: int | None = None
    """In-flight requests per Ready replica at the proxy."""


@dataclass(frozen=True, slots=True)
class Action:
    """What a policy asks for; it stays in force until the next one. Tuples are in the order of `Known`."""

    replicas: tuple[int, ...]
    """By own lane, starting ones included; clamped to the lane's min and max."""
    overflow: tuple[LaneOverflow, ...] = ()
    """By own lane; empty: none."""
    hold_s: tuple[float, ...] = ()
    """By class: longest wait at the proxy for room under the cap before the request spills; empty: 0. Classes that
    no hosted lane may take wait on."""
    hosted_share: tuple[float, ...] = ()
    """By class: probability that a request goes hosted at once; empty: 0."""
    own_split: tuple[tuple[float, ...], ...] = ()
    """By class: shares of its own lanes, by own lane; empty: over all Ready replicas, fewest in flight."""


class Policy(Protocol):
    """A scaler with its spill rule. One instance serves one run; it may keep state."""

    name: str
    tick_seconds: float

    def start(self, known: Known) -> Action:
        """Called once, before time 0."""

    def act(self, seen: Observation) -> Action:
        """Called each `tick_seconds`, first at `tick_seconds`."""
