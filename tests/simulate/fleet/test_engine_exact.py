"""The compiled engine gives what the reference replica gives, request by request."""

from __future__ import annotations

import numpy as np
import pytest

from simulate.fleet.worlds import PATIENT, Fixed, known_nothing, lane_from, one_class_world, workload
from spillway.api import LatencyClass
from spillway.simulate.fleet import simulate
from spillway.simulate.outcome import Served
from spillway.simulate.policy import Action
from spillway.simulate.replica import Replica, ReplicaProfile, Request
from spillway.simulate.world import Workload

ROOMY = ReplicaProfile(25.0, 0.25, 0.02, 80.0)
FEW_SEQUENCES = ReplicaProfile(12.0, 0.2, 0.05, 40.0, max_sequences=6, max_batched_tokens=512)
SMALL_CACHE = ReplicaProfile(12.0, 0.2, 0.05, 40.0, max_sequences=64, max_batched_tokens=256, kv_cache_tokens=6000)
NO_SLOPE = ReplicaProfile(20.0, 0.0, 0.0, 0.0, max_sequences=8, max_batched_tokens=64)


def reference(profile: ReplicaProfile, work: Workload, priorities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First token and end by request."""
    replica = Replica(profile)
    for number, arrival in enumerate(work.arrival_s):
        replica.advance(arrival)
        sizes = int(work.input_tokens[number]), int(work.output_tokens[number])
        replica.submit(Request(number, float(arrival), "c", *sizes, int(priorities[number])), float(arrival))
    replica.advance(1e9)
    first, end = np.full(work.size, np.nan), np.full(work.size, np.nan)
    for done in replica.completions:
        first[done.request.number], end[done.request.number] = done.first_token_s, done.end_s
    return first, end


def random_work(seed: int, size: int, rate: float, mean_input: float, mean_output: float) -> Workload:
    """Poisson arrivals, geometric outputs, lognormal inputs, three classes."""
    random = np.random.default_rng(seed)
    inputs = np.clip(random.lognormal(np.log(mean_input), 0.9, size), 1, 4000)
    outputs = np.minimum(random.geometric(1.0 / mean_output, size), 1500)
    return workload(np.cumsum(random.exponential(1.0 / rate, size)), inputs, outputs, random.integers(0, 3, size))


@pytest.mark.parametrize("scrapes", [True, False])
@pytest.mark.parametrize(
    ("profile", "rate", "mean_input", "mean_output"),
    [
        (ROOMY, 3.0, 400.0, 150.0),
        (ROOMY, 30.0, 900.0, 1.3),
        (FEW_SEQUENCES, 2.0, 300.0, 60.0),
        (FEW_SEQUENCES, 0.4, 1500.0, 200.0),
        (SMALL_CACHE, 4.0, 500.0, 100.0),
        (NO_SLOPE, 5.0, 30.0, 20.0),
    ],
)
def test_same_times_as_the_reference(
    profile: ReplicaProfile, rate: float, mean_input: float, mean_output: float, scrapes: bool
) -> None:
    work = random_work(7, 3000, rate, mean_input, mean_output)
    kinds = (LatencyClass.INTERACTIVE, LatencyClass.BACKGROUND, LatencyClass.DEFERRABLE)
    classes = tuple(type(PATIENT)(f"team/{kind}", kind, np.inf, 0.1, 0.95, (0,), (), np.inf) for kind in kinds)
    span = float(work.arrival_s[-1]) + 1.0
    world = one_class_world(lane_from(profile), classes=classes, duration_s=span)
    policy = Fixed(Action(replicas=(1,)), tick_seconds=15.0 if scrapes else 1e6)
    out = simulate(world, work, known_nothing(), policy, seed=1)
    first, end = reference(profile, work, work.class_index)
    assert (out.requests.served == Served.OWN).all()
    np.testing.assert_allclose(work.arrival_s + out.requests.ttft_s, first, atol=1e-6, rtol=0)
    np.testing.assert_allclose(out.requests.end_s, end, atol=1e-6, rtol=0)
    several = work.output_tokens > 1
    assert np.isnan(out.requests.itl_s[~several]).all()
    itl = (end - first)[several] / (work.output_tokens[several] - 1)
    np.testing.assert_allclose(out.requests.itl_s[several], itl, atol=1e-6, rtol=0)
