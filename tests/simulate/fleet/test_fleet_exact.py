"""The compiled fleet gives what the literal one gives, request by request, under policies that change everything."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from simulate.fleet.plain import PlainFleet
from simulate.fleet.test_conservation import CLASSES, HOSTED, LANES, SPAN, a_workload
from simulate.fleet.worlds import Scripted, known_nothing
from spillway.simulate.fleet import simulate
from spillway.simulate.outcome import Served
from spillway.simulate.policy import Action, LaneOverflow
from spillway.simulate.world import StepTable, World

TABLE = StepTable(
    batch=np.array([1.0, 4.0, 16.0]),
    context_tokens=np.array([64.0, 256.0, 300.0, 2048.0]),
    decode_ms=np.array([[20.0, 21.0, 24.0, 30.0], [26.0, 26.5, 27.0, 40.0], [40.0, 38.0, 41.0, 60.0]]),
    prompt_tokens=np.array([128.0, 256.0, 1024.0]),
    prefill_ms=np.array([9.0, 14.0, 60.0]),
)
WORLD = World(CLASSES, LANES, HOSTED, 0.0, 0.0, SPAN, 15.0)
WITH_TABLES = replace(WORLD, own=(replace(LANES[0], table=TABLE), replace(LANES[1], table=TABLE)))
CONSTANT = {"alpha_ms": 31.25, "beta_ms_per_seq": 0.0, "gamma_ms_per_ktoken": 0.0, "prefill_ms_per_ktoken": 0.0}
IN_STEP = replace(WORLD, own=(replace(LANES[0], **CONSTANT), replace(LANES[1], **CONSTANT)))
"""All iterations take alpha, so that many things happen at the same moment."""


def actions(seed: int) -> dict[float, Action]:
    """A random action for each tick, with all actuators."""
    random = np.random.default_rng(seed)

    def maybe(value: int) -> int | None:
        return None if random.random() < 0.4 else value

    def one() -> Action:
        return Action(
            tuple(int(n) for n in random.integers(0, 5, 2)),
            tuple(LaneOverflow(maybe(int(random.integers(0, 6))), maybe(int(random.integers(1, 14)))) for _ in LANES),
            tuple(float(h) for h in random.choice([0.0, 0.3, 3.0, 40.0], len(CLASSES))),
            tuple(float(s) for s in random.choice([0.0, 0.0, 0.2], len(CLASSES))),
            tuple((0.3, 0.7) if random.random() < 0.4 else () for _ in CLASSES),
        )

    return {15.0 * tick: one() for tick in range(int(SPAN / 15.0) + 1)}


@pytest.mark.parametrize(
    ("world", "seed", "rate"),
    [
        (WORLD, 1, 2.0),
        (WORLD, 2, 5.0),
        (WORLD, 3, 9.0),
        (WITH_TABLES, 4, 3.0),
        (WITH_TABLES, 5, 7.0),
        (IN_STEP, 6, 5.0),
    ],
)
def test_same_as_the_literal_fleet(world: World, seed: int, rate: float) -> None:
    work = a_workload(seed, rate)
    if world is IN_STEP:
        work = replace(work, arrival_s=np.round(work.arrival_s * 32.0) / 32.0)
    script = actions(seed)
    plain = PlainFleet(world, work, seed, script.__getitem__, 15.0)
    expected = plain.run()
    policy = Scripted(script[0.0], lambda seen: script[seen.now])
    out = simulate(world, work, known_nothing(), policy, seed)
    log = out.requests
    served = np.array([int(r.served) for r in expected])
    assert len(set(served)) >= 7
    differs = np.flatnonzero(served != log.served)
    assert not len(differs), [(i, Served(served[i]), Served(log.served[i])) for i in differs[:5]]
    assert (log.lane == [r.lane if r.served not in (Served.FAILED, Served.REJECTED) else -1 for r in expected]).all()
    np.testing.assert_allclose(work.arrival_s + log.ttft_s, [r.first for r in expected], atol=1e-6, rtol=0)
    np.testing.assert_allclose(log.end_s, [r.end for r in expected], atol=1e-6, rtol=0)
    np.testing.assert_allclose(log.itl_s, [r.itl for r in expected], atol=1e-6, rtol=0)
    np.testing.assert_allclose(log.held_s, [r.held for r in expected], atol=1e-6, rtol=0)
    for number, ended in plain.ended.items():
        assert out.replicas.ended_s[number] == pytest.approx(ended, abs=1e-6)
    assert len(out.replicas.lane) == plain.number
