"""What came out of one simulated run, request by request and replica by replica."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from spillway.simulate.world import Floats, Integers


class Served(IntEnum):
    """How a request ended. Every request ends exactly once."""

    OWN = 0
    HOSTED_BY_WEIGHT = 1
    HOSTED_BY_QUEUE = 2
    """The engine's own 503, retried at a hosted lane."""
    HOSTED_BY_CAP = 3
    """Over the cap with no hold, or at the end of the hold."""
    HOSTED_BY_PATIENCE = 4
    """Waited for 10 x its TTFT objective: hosted, billed, a miss."""
    HOSTED_NO_REPLICA = 5
    """No replica was Ready and nothing asked to hold it."""
    REJECTED = 6
    """SelfHostedOnly and waited too long (or longer than any replica's KV cache): a miss, unbilled."""
    FAILED = 7
    """Hosted error, limit or outage, also on the retry: a miss, unbilled."""


@dataclass(frozen=True, slots=True, eq=False)
class RequestLog:
    """By request number. Latencies as the client sees them: from the arrival at the gateway."""

    served: NDArray[np.int8]
    """Values of `Served`."""
    lane: Integers
    """Own lane for OWN, hosted lane for the HOSTED ones, -1 otherwise."""
    ttft_s: Floats
    """NaN for REJECTED and FAILED."""
    itl_s: Floats
    """(end - first token)/(output - 1); NaN where there was one token only."""
    end_s: Floats
    hosted_usd: Floats
    held_s: Floats
    """Waited at the proxy."""


@dataclass(frozen=True, slots=True, eq=False)
class ReplicaLog:
    """By replica in order of creation."""

    lane: Integers
    created_s: Floats
    ready_s: Floats
    """Infinite where it never got Ready."""
    ended_s: Floats
    """When its last request ended (draining) or it was dropped; node release not included. Those that live at the end
    of the scenario end with their last request, but not before `World.duration_s`."""


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """By scrape, for plots and for counting changes; (T,) and (T, lanes or classes)."""

    at_s: Floats
    desired: Integers
    ready: Integers
    in_flight: Floats
    """On own lanes, by lane."""
    arrived: Floats
    """Since the scrape before, by class."""
    hosted: Floats
    """Routed to hosted lanes since the scrape before, by class."""


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """One run of one policy on one seed."""

    requests: RequestLog
    replicas: ReplicaLog
    timeline: Timeline
    changes: tuple[tuple[float, int, int, int], ...]
    """(time, own lane, replicas before, replicas after) whenever the desired replicas changed."""
    decide_s: Floats
    """Seconds of each `Policy.act`."""
