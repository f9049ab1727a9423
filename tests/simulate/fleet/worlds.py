"""Small worlds and policies for tests of the fleet simulator."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np

from spillway.api import CapacityPlan, LatencyClass
from spillway.simulate.outcome import Outcome
from spillway.simulate.policy import Action, Known, Observation
from spillway.simulate.replica import ReplicaProfile
from spillway.simulate.world import ClassTruth, HostedTruth, OwnTruth, Workload, World


def known_nothing() -> Known:
    """What a policy that looks at nothing needs to know."""
    return Known(cast(CapacityPlan, None), (), (), (), 15.0)


def lane_truth(**changes: Any) -> OwnTruth:
    """An own lane as in the format's example."""
    lane = OwnTruth(
        name="own",
        startup_mean_s=240.0,
        startup_sigma=0.2,
        max_num_seqs=256,
        max_batched_tokens=8192,
        kv_cache_tokens=450_000,
        max_queued=None,
        alpha_ms=25.0,
        beta_ms_per_seq=0.25,
        gamma_ms_per_ktoken=0.02,
        prefill_ms_per_ktoken=80.0,
        table=None,
        min_replicas=0,
        max_replicas=20,
        usd_per_replica_hour=10.0,
    )
    return replace(lane, **changes)


def lane_from(profile: ReplicaProfile, **changes: Any) -> OwnTruth:
    """The own lane of a replica profile."""
    return lane_truth(
        max_num_seqs=profile.max_sequences,
        max_batched_tokens=profile.max_batched_tokens,
        kv_cache_tokens=profile.kv_cache_tokens,
        max_queued=profile.max_queued,
        alpha_ms=profile.alpha_ms,
        beta_ms_per_seq=profile.beta_ms_per_sequence,
        gamma_ms_per_ktoken=profile.gamma_ms_per_ktoken_kv,
        prefill_ms_per_ktoken=profile.prefill_ms_per_ktoken,
        **changes,
    )


def hosted_truth(**changes: Any) -> HostedTruth:
    """A hosted lane as in the format's example, without errors."""
    lane = HostedTruth("hosted", 0.5, 1.5, 0.015, 0.03, 0.0, (), 2e-6, 5e-7, 8e-6)
    return replace(lane, **changes)


def class_truth(**changes: Any) -> ClassTruth:
    """An interactive class on own lane 0 and hosted lane 0."""
    truth = ClassTruth("team/chat", LatencyClass.INTERACTIVE, 2.0, 0.1, 0.95, (0,), (0,))
    return replace(truth, **changes)


def one_class_world(lane: OwnTruth, **changes: Any) -> World:
    """One class, one own lane, one hosted lane."""
    world = World((class_truth(),), (lane,), (hosted_truth(),), 0.0, 0.0, 3600.0, 15.0)
    return replace(world, **changes)


PATIENT = class_truth(ttft_slo_s=math.inf, hosted=())
"""Waits for ever, on own lanes only."""


@dataclass
class Fixed:
    """Always the same action."""

    action: Action
    tick_seconds: float = 15.0
    name: str = "fixed"

    def start(self, known: Known) -> Action:
        """The action."""
        return self.action

    def act(self, seen: Observation) -> Action:
        """The action."""
        return self.action


@dataclass
class Scripted:
    """Actions by a function of what is seen; keeps what it saw."""

    first: Action
    choose: Callable[[Observation], Action]
    tick_seconds: float = 15.0
    name: str = "scripted"
    seen: list[Observation] = field(default_factory=list)

    def start(self, known: Known) -> Action:
        """The first action."""
        return self.first

    def act(self, seen: Observation) -> Action:
        """What the function says."""
        self.seen.append(seen)
        return self.choose(seen)


def workload(arrival_s: Any, input_tokens: Any, output_tokens: Any, class_index: Any = None) -> Workload:
    """A workload of arrays or lists; the class is 0 unless given."""
    arrivals = np.asarray(arrival_s, dtype=np.float64)
    classes = np.zeros(len(arrivals)) if class_index is None else np.asarray(class_index)
    return Workload(
        arrivals,
        classes.astype(np.int64),
        np.broadcast_to(input_tokens, arrivals.shape).astype(np.int64),
        np.broadcast_to(output_tokens, arrivals.shape).astype(np.int64),
    )


def same(one: Outcome, other: Outcome) -> bool:
    """Whether two runs are the same, request by request."""
    pairs = (
        (getattr(one.requests, name), getattr(other.requests, name))
        for name in ("served", "lane", "ttft_s", "itl_s", "end_s", "hosted_usd", "held_s")
    )
    return all(np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in pairs)
