"""What is learned from between two scrapes: which replicas, and their counters' differences."""

from __future__ import annotations

import numpy as np
import pytest

from spillway.simulate.policy import Histogram, LaneSample, ReplicaSamples, Sample
from spillway.simulate.service_samples import WARM_SECONDS, samples_of

EMPTY = Histogram(np.zeros(1), 0.0, 0.0)


def scrape(at: float, numbers: list[float], total: float, ready_at: float = 0.0) -> Sample:
    """Replicas whose counters all stand at ``total`` times their number."""
    number, zero = np.array(numbers), np.zeros(len(numbers))
    count = total * number
    replicas = ReplicaSamples(
        number=number, ready_at=zero + ready_at, running=number, waiting=zero, kv_usage=zero, tokens_held=count,
        prompt_tokens=count, generation_tokens=2 * count, iterations=count, itl_sum_s=0.5 * count, itl_count=count,
        finished=zero,
    )  # fmt: skip
    return Sample(at, (LaneSample(replicas, 0.0, 0.0, 0.0, 0.0, 0.0, EMPTY, EMPTY, EMPTY),), ())


def test_replicas_are_told_apart_by_number_wherever_they_stand() -> None:
    then, now = scrape(1000.0, [2.0, 7.0, 5.0], 100.0), scrape(1015.0, [7.0, 9.0, 5.0], 130.0)
    found = samples_of(then, now, 0, epoch=1e6)
    assert [sample.running_per_replica for sample in found] == [5.0, 7.0]
    for sample in found:
        number = sample.running_per_replica
        assert sample.at == 1_001_015.0
        assert sample.window_seconds == 15.0
        assert sample.input_tokens_per_second_per_replica == pytest.approx(2 * number)
        assert sample.computed_prompt_tokens_per_second == sample.input_tokens_per_second_per_replica
        assert sample.output_tokens_per_second_per_replica == pytest.approx(4 * number)
        assert sample.iterations_per_second == sample.decodes_per_second == pytest.approx(2 * number)
        assert sample.inter_token_latency_seconds == 0.5
        assert sample.kv_tokens_per_replica == 115 * number
        assert sample.busy_share == 1.0
        assert sample.time_to_first_token_seconds is None


def test_cold_replicas_and_a_clock_that_stands_teach_nothing() -> None:
    ready = 1000.0 - WARM_SECONDS + 1.0
    assert samples_of(scrape(1000.0, [1.0], 1.0, ready), scrape(1015.0, [1.0], 2.0, ready), 0) == ()
    assert samples_of(scrape(1000.0, [1.0], 1.0), scrape(1000.0, [1.0], 2.0), 0) == ()
