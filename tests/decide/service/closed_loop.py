"""One exact replica that always holds n requests: whoever ends is replaced at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spillway.decide.service import Mix
from spillway.simulate.arrivals import ArrivalOptions, lengths
from spillway.simulate.replica import Completion, Replica, ReplicaProfile, Request

LONGEST = 16_000
TRUTH = ReplicaProfile(25.0, 0.25, 0.02, 80.0, max_sequences=256, kv_cache_tokens=4_500_000)
"""The coefficients of a 70B-like model on two GPUs."""
CODE, OFFICE, CHAT = Mix(2000.0, 20.0), Mix(7500.0, 200.0), Mix(300.0, 250.0)


@dataclass(frozen=True, slots=True)
class Measured:
    """What came out once the start was over."""

    itl_ms: NDArray[np.float64]
    """Per request; 0 for answers of one token."""
    output_tokens: NDArray[np.int64]
    requests_per_second: float


class _Replacing(list[Completion]):
    """A list of completions that sends the next request as soon as one is added."""

    def __init__(self, replica: Replica, requests: Iterator[Request]) -> None:
        super().__init__()
        self._replica, self._requests = replica, requests

    def append(self, done: Completion) -> None:
        super().append(done)
        following = next(self._requests, None)
        if following is not None:
            self._replica.submit(following, done.end_s)


def closed_loop(
    mix: Mix, in_flight: int, requests: int, *, sigma: float = 0.8, seed: int = 0, profile: ReplicaProfile = TRUTH
) -> Measured:
    """Serve ``requests`` requests of the mix with ``in_flight`` of them on the replica all the time."""
    rng = np.random.default_rng(seed)
    options = ArrivalOptions(length_sigma=sigma, length_cap=LONGEST)
    inputs = lengths(mix.input_tokens, requests, options, rng)
    outputs = lengths(mix.output_tokens, requests, options, rng)
    coming = (
        Request(number, 0.0, "c", int(tokens_in), int(tokens_out))
        for number, (tokens_in, tokens_out) in enumerate(zip(inputs, outputs, strict=True))
    )
    replica = Replica(profile)
    replica.completions = _Replacing(replica, coming)
    for _ in range(in_flight):
        replica.submit(next(coming), 0.0)
    while replica.in_flight >= in_flight:
        replica.advance(replica.busy_s(0.0) + 60.0)
    # The last ones ran on a replica that emptied.
    kept = replica.completions[5 * in_flight : requests - in_flight]
    first, last = kept[0].end_s, kept[-1].end_s
    return Measured(
        np.array([1000.0 * (done.itl_s or 0.0) for done in kept]),
        np.array([done.request.output_tokens for done in kept]),
        (len(kept) - 1) / (last - first),
    )
