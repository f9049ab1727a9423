"""What a policy learns service from: the counters of each warm replica between two scrapes."""

from __future__ import annotations

import numpy as np

from spillway.decide.snapshot import ServiceSample
from spillway.simulate.policy import Sample

WARM_SECONDS = 120.0
"""A replica's first minutes after Ready teach nothing: compilation, cold caches, a batch that fills."""


def samples_of(before: Sample, after: Sample, lane_index: int, epoch: float = 0.0) -> tuple[ServiceSample, ...]:
    """One sample per replica that was there, warm, at both scrapes, of idle ones too; `at` counts from `epoch`."""
    seconds = after.at - before.at
    old, new = before.lanes[lane_index].replicas, after.lanes[lane_index].replicas
    if seconds <= 0:
        return ()
    _, was, now = np.intersect1d(old.number, new.number, assume_unique=True, return_indices=True)
    warm = old.ready_at[was] <= before.at - WARM_SECONDS
    was, now = was[warm], now[warm]
    decodes = new.itl_count[now] - old.itl_count[was]
    latency = new.itl_sum_s[now] - old.itl_sum_s[was]
    iterations = new.iterations[now] - old.iterations[was]
    prompts = new.prompt_tokens[now] - old.prompt_tokens[was]
    generated = new.generation_tokens[now] - old.generation_tokens[was]
    running = (new.running[now] + old.running[was]) / 2
    there = (new.running[now] + new.waiting[now] > 0).astype(float) + (old.running[was] + old.waiting[was] > 0)
    ttft, prompt = _first_tokens(before, after, lane_index)
    held = (new.tokens_held[now] + old.tokens_held[was]) / 2
    return tuple(
        ServiceSample(
            at=epoch + after.at,
            inter_token_latency_seconds=float(latency[i] / max(decodes[i], 1.0)),
            running_per_replica=float(running[i]),
            input_tokens_per_second_per_replica=float(prompts[i] / seconds),
            output_tokens_per_second_per_replica=float(generated[i] / seconds),
            kv_tokens_per_replica=float(held[i]),
            iterations_per_second=float(iterations[i] / seconds),
            decodes_per_second=float(decodes[i] / seconds),
            computed_prompt_tokens_per_second=float(prompts[i] / seconds),
            busy_share=float(there[i] / 2),
            time_to_first_token_seconds=ttft,
            prompt_tokens_per_first_token=prompt,
            window_seconds=float(seconds),
        )
        for i in range(len(now))
    )


def _first_tokens(before: Sample, after: Sample, lane_index: int) -> tuple[float | None, float | None]:
    """Mean time to the first token in seconds and prompt tokens of these requests; None where there was a queue."""
    old, new = before.lanes[lane_index], after.lanes[lane_index]
    count = new.ttft.count - old.ttft.count
    if count < 1 or old.replicas.waiting.any() or new.replicas.waiting.any():
        return None, None
    return float((new.ttft.sum_s - old.ttft.sum_s) / count), float((new.prompt_tokens - old.prompt_tokens) / count)
