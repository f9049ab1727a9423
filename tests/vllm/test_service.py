"""Learned service on the real engine: samples against the client, and predicted against measured iterations."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import numpy as np
import pytest

from spillway.decide.service import Coefficients, learned
from spillway.decide.snapshot import ServiceSample
from spillway_dev.vllm.load import LoadGenerator
from spillway_dev.vllm.server import SEQUENCES
from support.vllm import FIGURES, Seen, in_flight, tokens_between

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PHASE_SECONDS = 12.0
# Concurrency, prompt tokens, tokens of the answer: what varies the batch, the cache held, and the prompts.
PHASES = (
    (1, 50, 100),
    (8, 50, 100),
    (3, 600, 40),
    (6, 200, 80),
    (2, 1500, 60),
    (8, 500, 40),
    (4, 50, 300),
    (5, 900, 30),
)


async def varied(load: LoadGenerator) -> None:
    for concurrency, prompt, output in PHASES:
        async with load.holding([]) as tasks:
            vary = load.rng.uniform
            asks = [load.ask(round(prompt * vary(0.6, 1.4)), round(output * vary(0.6, 1.4))) for _ in range(100)]
            tasks.append(asyncio.create_task(load.closed(asks, concurrency)))
            await asyncio.wait(tasks, timeout=PHASE_SECONDS)


def iteration_ms(known: Coefficients, sample: ServiceSample) -> float:
    """What the latency model says of the stretch's mean iteration."""
    steps = sample.iterations_per_second
    batch = sample.output_tokens_per_second_per_replica / steps
    # What is held while something runs.
    held = (sample.kv_tokens_per_replica or 0.0) / max(sample.busy_share or 1.0, 0.1)
    prompts = sample.computed_prompt_tokens_per_second / steps
    return (
        known.alpha_ms
        + known.beta_ms * batch
        + known.gamma_ms_per_ktoken * held / 1000
        + known.prefill_ms_per_ktoken * prompts / 1000
    )


def errors(known: Coefficients, samples: Sequence[ServiceSample]) -> list[float]:
    """Relative errors of predicted iteration times. The closed loop leaves no idle time, so steps tell theirs."""
    return [iteration_ms(known, each) * each.iterations_per_second / 1000 - 1 for each in samples]


async def test_samples_are_the_clients_and_teach_what_an_iteration_takes(load: LoadGenerator, see: Seen) -> None:
    await varied(load)
    samples = (await see.engine(time.time())).samples
    assert len(samples) >= 15, "one for each rate window of 4 s in which requests ran"
    _are_the_clients(samples, load)
    busy = [each for each in samples if each.busy_share == 1 and each.iterations_per_second]
    teach, hold_out = busy[::2], busy[1::2]
    state = learned(None, None, teach, time.time())
    known, spread = state.coefficients, state.standard_errors
    seen, unseen = (np.abs(errors(known, part)) for part in (teach, hold_out))
    FIGURES.append(
        f"learned from {len(teach)} stretches of 4 s: alpha {known.alpha_ms:.1f} (+-{spread.alpha_ms:.1f}) ms, "
        f"beta {known.beta_ms:.2f} (+-{spread.beta_ms:.2f}) ms a sequence, "
        f"gamma {known.gamma_ms_per_ktoken:.2f} (+-{spread.gamma_ms_per_ktoken:.2f}) and "
        f"prefill {known.prefill_ms_per_ktoken:.0f} (+-{spread.prefill_ms_per_ktoken:.0f}) ms per 1,000 tokens"
    )
    FIGURES.append(
        f"predicted against measured iterations of {1000 / max(e.iterations_per_second for e in busy):.1f} to "
        f"{1000 / min(e.iterations_per_second for e in busy):.1f} ms: median error {np.median(seen):.0%} on those "
        f"learned from, {np.median(unseen):.0%} (90%: {np.quantile(unseen, 0.9):.0%}) on {len(hold_out)} others"
    )
    # Other programs share the cores: sane, no more.
    assert np.median(unseen) < 0.5


def _are_the_clients(samples: Sequence[ServiceSample], load: LoadGenerator) -> None:
    """Requests running and tokens made over all stretches, as the client counts them.

    One stretch may be off by a scrape's jitter, which `test_gauges` and `test_counters` have not.
    """
    spans = [(sample.at - sample.window_seconds, sample.at) for sample in samples]
    running = np.mean([sample.running_per_replica for sample in samples])
    client = np.mean([min(SEQUENCES, in_flight(load.answers, *span)) for span in spans])
    tokens = sum(sample.output_tokens_per_second_per_replica * sample.window_seconds for sample in samples)
    received = sum(tokens_between(load.answers, *span) for span in spans)
    FIGURES.append(
        f"{len(samples)} stretches: {running:.2f} running on average, {client:.2f} by the client; "
        f"{tokens:.0f} tokens made, {received} received"
    )
    assert running == pytest.approx(client, abs=1)
    assert tokens == pytest.approx(received, rel=0.15)
