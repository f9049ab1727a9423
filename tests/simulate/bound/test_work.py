"""The least work of a request: by hand, against real replicas, and below measured tables."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from simulate.bound.worlds import SMALL, table
from spillway.simulate.bound.work import charges, decode_ms, formula_charges, longest_step_s, prefill_ms, work_s
from spillway.simulate.replica import Replica, ReplicaProfile, Request
from spillway.simulate.world import OwnTruth, Workload

BIG = replace(
    SMALL, max_num_seqs=256, max_batched_tokens=8192, kv_cache_tokens=450_000, alpha_ms=25, beta_ms_per_seq=0.25,
    gamma_ms_per_ktoken=0.02, prefill_ms_per_ktoken=80,
)  # fmt: skip


def alike(count: int, tokens_in: int, tokens_out: int) -> Workload:
    ones = np.ones(count, dtype=np.int64)
    return Workload(np.arange(count, dtype=np.float64), 0 * ones, tokens_in * ones, tokens_out * ones)


def test_the_longest_iteration_has_every_limit_reached() -> None:
    assert longest_step_s(BIG) == pytest.approx((25 + 64 + 9 + 655.36) / 1000)


def test_work_by_hand_with_alpha_at_the_longest_iteration() -> None:
    service = (0.25 * 100 + 0.02 * 100 * (1000 + 50) / 1000 + 80 * 1000 / 1000) / 1000
    longest = 753.36
    assert work_s(charges(BIG, alike(1, 1000, 100)), alike(1, 1000, 100))[0] == pytest.approx(
        service * longest / (longest - 25)
    )
    assert work_s(formula_charges(BIG, 0.1), alike(1, 1000, 100))[0] == pytest.approx(service * 100 / 75)


@pytest.mark.parametrize("spacing_s", [0.0, 0.02, 0.3])
@pytest.mark.parametrize("lane", [BIG, SMALL], ids=["big", "small"])
def test_a_replica_is_busy_for_the_work_at_least(lane: OwnTruth, spacing_s: float) -> None:
    rng = np.random.default_rng(3)
    size = 400
    load = Workload(
        np.arange(size) * spacing_s,
        np.zeros(size, dtype=np.int64),
        np.clip(rng.lognormal(6.5, 1.0, size), 1, 16_000).astype(np.int64),
        np.clip(rng.lognormal(4.0, 1.0, size), 1, 2_000).astype(np.int64),
    )
    replica = Replica(
        ReplicaProfile(
            lane.alpha_ms, lane.beta_ms_per_seq, lane.gamma_ms_per_ktoken, lane.prefill_ms_per_ktoken,
            lane.max_num_seqs, lane.max_batched_tokens, lane.kv_cache_tokens,
        )
    )  # fmt: skip
    for number in range(size):
        at = float(load.arrival_s[number])
        replica.advance(at)
        replica.submit(Request(number, at, "chat", int(load.input_tokens[number]), int(load.output_tokens[number])), at)
    replica.advance(1e9)
    assert len(replica.completions) == size
    busy, work = replica.busy_s(1e9), work_s(charges(lane, load), load).sum()
    assert busy >= work
    if spacing_s == 0.0:
        assert work >= 0.7 * busy, "with everything at once the least work is not far off"


def test_table_charges_lie_below_the_table_everywhere() -> None:
    lane = replace(SMALL, table=table())
    found = charges(lane, alike(10, 1000, 100))
    rng = np.random.default_rng(4)
    for _ in range(5_000):
        batch = int(rng.integers(1, lane.max_num_seqs + 1))
        context = rng.uniform(0, min(lane.kv_cache_tokens / batch, 20_000))
        prompt = int(rng.integers(0, lane.max_batched_tokens + 1))
        time_s = (decode_ms(table(), batch, context) + prefill_ms(table(), prompt)) / 1000
        used = found.per_step * batch + found.per_token_step * batch * context + found.per_prompt_token * prompt
        assert used <= time_s * (1 + 1e-9)


def test_table_charges_are_the_cheapest_mix_of_iterations() -> None:
    """2,048 prompt tokens cost 150 ms on top of a decode, which 64 sequences share: nothing is left uncharged."""
    lane = replace(SMALL, table=table())
    load = alike(64, 500, 200)
    total = work_s(charges(lane, load), load).sum()
    steps, prompt_steps = 200, 64 * 500 / 2048
    held = 500 + 100
    best = (steps * decode_ms(table(), 64, held) + prompt_steps * prefill_ms(table(), 2048)) / 1000
    assert 0.8 * best <= total <= best * (1 + 1e-9)


def test_a_table_made_of_the_formula_charges_at_least_the_formula() -> None:
    """The program charges alpha where it is least, so never less than at the longest possible iteration."""
    batch, context, prompt = np.array([1.0, 64.0]), np.array([0.0, 2000.0]), np.array([1024.0, 2048.0])
    decode = SMALL.alpha_ms + batch[:, None] * (SMALL.beta_ms_per_seq + SMALL.gamma_ms_per_ktoken * context / 1000)
    lane = replace(SMALL, table=replace(table(), batch=batch, context_tokens=context, decode_ms=decode,
                                        prompt_tokens=prompt, prefill_ms=0.6 * prompt))  # fmt: skip
    load = alike(20, 1500, 120)
    assert work_s(charges(lane, load), load).sum() >= work_s(charges(SMALL, load), load).sum()
