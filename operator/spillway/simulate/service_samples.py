"""What a policy learns service from: the counters of each warm replica between two scrapes."""

from __future__ import annotations

import numpy as np

from spillway.decide.snapshot import ServiceSample
from spillway.simulate.policy import ReplicaSamples, Sample
from spillway.simulate.world import Integers

WARM_SECONDS = 120.0
"""A replica's first minutes after Ready teach nothing: compilation, cold caches, a batch that fills."""


def samples_of(before: Sample, after: Sample, lane_index: int, epoch: float = 0.0) -> tuple[ServiceSample, ...]:
    """One sample per replica that was there, warm, at both scrapes, of idle ones too; `at` counts from `epoch`."""
    seconds = after.at - before.at
    old, new = before.lanes[lane_index].replicas, after.lanes[lane_index].replicas
    if seconds <= 0:
        return ()
    was, now = _at_both(old, new)
    warm = old.ready_at[was] <= before.at - WARM_SECONDS
    was, now = was[warm], now[warm]
    decodes = new.itl_count[now] - old.itl_count[was]
    running, was_running = new.running[now], old.running[was]
    there = (running + new.waiting[now] > 0).astype(float) + (was_running + old.waiting[was] > 0)
    ttft, prompt = _first_tokens(before, after, lane_index)
    columns = (
        (new.itl_sum_s[now] - old.itl_sum_s[was]) / np.maximum(decodes, 1.0),
        (running + was_running) / 2,
        (new.prompt_tokens[now] - old.prompt_tokens[was]) / seconds,
        (new.generation_tokens[now] - old.generation_tokens[was]) / seconds,
        (new.tokens_held[now] + old.tokens_held[was]) / 2,
        (new.iterations[now] - old.iterations[was]) / seconds,
        decodes / seconds,
        there / 2,
    )
    by_replica = (column.tolist() for column in columns)
    return tuple(
        ServiceSample(
            at=epoch + after.at,
            inter_token_latency_seconds=itl,
            running_per_replica=ran,
            input_tokens_per_second_per_replica=tokens_in,
            output_tokens_per_second_per_replica=tokens_out,
            kv_tokens_per_replica=kv,
            iterations_per_second=steps,
            decodes_per_second=decoded,
            computed_prompt_tokens_per_second=tokens_in,
            busy_share=busy,
            time_to_first_token_seconds=ttft,
            prompt_tokens_per_first_token=prompt,
            window_seconds=float(seconds),
        )
        for itl, ran, tokens_in, tokens_out, kv, steps, decoded, busy in zip(*by_replica, strict=True)
    )


def _at_both(old: ReplicaSamples, new: ReplicaSamples) -> tuple[Integers, Integers]:
    """Rows of the replicas that are in both, by number."""
    rows = {number: row for row, number in enumerate(old.number.tolist())}
    both = sorted((number, rows[number], row) for row, number in enumerate(new.number.tolist()) if number in rows)
    found = np.array([pair[1:] for pair in both], dtype=np.int64).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def _first_tokens(before: Sample, after: Sample, lane_index: int) -> tuple[float | None, float | None]:
    """Mean time to the first token in seconds and prompt tokens of these requests; None where there was a queue."""
    old, new = before.lanes[lane_index], after.lanes[lane_index]
    count = new.ttft.count - old.ttft.count
    if count < 1 or old.replicas.waiting.any() or new.replicas.waiting.any():
        return None, None
    return float((new.ttft.sum_s - old.ttft.sum_s) / count), float((new.prompt_tokens - old.prompt_tokens) / count)
