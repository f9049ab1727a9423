"""Limits that queueing theory knows."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from simulate.fleet.worlds import PATIENT, Fixed, class_truth, known_nothing, lane_truth, one_class_world, workload
from spillway.simulate.fleet import simulate
from spillway.simulate.outcome import Served
from spillway.simulate.policy import Action, LaneOverflow


def test_pollaczek_khinchine() -> None:
    """One sequence at a time and one token of prompt: M/G/1 with service = output x alpha (M/D/1 if constant)."""
    lane = lane_truth(max_num_seqs=1, max_batched_tokens=8192, alpha_ms=10.0, beta_ms_per_seq=0.0,
                      gamma_ms_per_ktoken=0.0, prefill_ms_per_ktoken=0.0)  # fmt: skip
    random = np.random.default_rng(11)
    size, load = 400_000, 0.7
    for outputs in (np.full(size, 20), random.geometric(1 / 20, size)):
        service = outputs * 0.010
        arrivals = np.cumsum(random.exponential(service.mean() / load, size))
        world = one_class_world(lane, classes=(PATIENT,), duration_s=float(arrivals[-1]) + 1.0)
        out = simulate(world, workload(arrivals, 1, outputs), known_nothing(), Fixed(Action((1,)), 3600.0), 1)
        waited = out.requests.end_s - arrivals - service
        expected = load / (1 - load) * (service**2).mean() / (2 * service.mean())
        assert waited.mean() == pytest.approx(expected, rel=0.05)
        assert waited.min() > -1e-6


def test_erlang_b() -> None:
    """Steps of constant length, a cap and no hold: the blocked share is Erlang's, whatever the service's law."""
    cap, replicas, rate, tokens, step = 4, 3, 20.0, 50, 0.010
    lane = lane_truth(alpha_ms=1000 * step, beta_ms_per_seq=0.0, gamma_ms_per_ktoken=0.0, prefill_ms_per_ktoken=0.0)
    random = np.random.default_rng(5)
    size = 300_000
    arrivals = np.cumsum(random.exponential(1 / rate, size))
    world = one_class_world(lane, duration_s=float(arrivals[-1]) + 1.0)
    policy = Fixed(Action((replicas,), (LaneOverflow(cap=cap),)), 3600.0)
    out = simulate(world, workload(arrivals, 1, random.geometric(1 / tokens, size)), known_nothing(), policy, 1)
    # An arrival waits half a step in the mean for the next one to begin, unless the replica is idle.
    offered = rate * (tokens * step + step / 2)
    blocked = 1.0
    for servers in range(1, cap * replicas + 1):
        blocked = offered * blocked / (servers + offered * blocked)
    share = (out.requests.served == Served.HOSTED_BY_CAP).mean()
    assert share == pytest.approx(blocked, rel=0.03)


def test_littles_law() -> None:
    """Mean in flight = rate x mean time in the system, over the scrapes of a long run."""
    random = np.random.default_rng(2)
    size, rate = 60_000, 6.0
    arrivals = np.cumsum(random.exponential(1 / rate, size))
    world = one_class_world(lane_truth(), classes=(replace(PATIENT),), duration_s=float(arrivals[-1]) + 1.0)
    work = workload(arrivals, random.geometric(1 / 500, size), random.geometric(1 / 150, size))
    out = simulate(world, work, known_nothing(), Fixed(Action((2,)), 3600.0), 1)
    seconds = (out.requests.end_s - arrivals).mean()
    assert out.timeline.in_flight[:, 0].mean() == pytest.approx(rate * seconds, rel=0.03)
    assert (out.requests.served == Served.OWN).all()


def test_holding_is_a_queue_with_bounded_patience() -> None:
    """Under an overload of cap x replicas, holds end exactly at their length, and the longer hold serves more."""
    lane = lane_truth(alpha_ms=10.0, beta_ms_per_seq=0.0, gamma_ms_per_ktoken=0.0, prefill_ms_per_ktoken=0.0)
    random = np.random.default_rng(8)
    size = 30_000
    arrivals = np.cumsum(random.exponential(1 / 22.0, size))
    work = workload(arrivals, 1, random.geometric(1 / 50, size))
    world = one_class_world(lane, classes=(class_truth(ttft_slo_s=math.inf),), duration_s=float(arrivals[-1]) + 1.0)
    own = []
    for hold in (0.0, 0.2, 2.0):
        policy = Fixed(Action((2,), (LaneOverflow(cap=5),), hold_s=(hold,)), 3600.0)
        out = simulate(world, work, known_nothing(), policy, 1)
        spilled = out.requests.served == Served.HOSTED_BY_CAP
        assert (out.requests.served[~spilled] == Served.OWN).all()
        assert out.requests.held_s.max() <= hold + 1e-9
        np.testing.assert_allclose(out.requests.held_s[spilled], hold, atol=1e-9)
        assert out.timeline.in_flight.max() <= 10
        own.append((~spilled).mean())
    assert own[0] + 0.02 < own[1]
    assert own[1] + 0.02 < own[2]
