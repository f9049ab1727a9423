"""What Prometheus would answer from the visible samples: rates, means, quantiles. The same for every baseline."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spillway.simulate.baselines.profile import Mix
from spillway.simulate.policy import Histogram, Observation, Sample
from spillway.simulate.world import Floats

RATE_WINDOW_SECONDS = 60.0
LOOKBACK_SECONDS = 300.0
"""Prometheus' default staleness: an older sample is no sample."""
_ROUNDING = 1e-6


def newest(seen: Observation, lag_s: float) -> Sample | None:
    """The newest sample, unless the collection has failed for longer than Prometheus looks back."""
    if not seen.samples:
        return None
    last = seen.samples[-1]
    return last if seen.now - last.at <= LOOKBACK_SECONDS + lag_s + _ROUNDING else None


def before(samples: Sequence[Sample], seconds: float) -> Sample | None:
    """The sample that a counter's rate over the last `seconds` starts from; None with one sample only.

    The newest of those at least `seconds` older than the last, or the oldest where none is that old. Across a gap
    that is older than asked for: rates divide by the true distance.
    """
    if len(samples) < 2:
        return None
    limit = samples[-1].at - seconds + _ROUNDING
    index = len(samples) - 2
    while index > 0 and samples[index].at > limit:
        index -= 1
    return samples[index]


def lane_mix(old: Sample, new: Sample, lane: int, known: Mix | None) -> Mix | None:
    """Mean input and output tokens of the lane's requests between two samples; `known` where none ended."""
    ended = new.lanes[lane].finished - old.lanes[lane].finished
    if ended < 1.0:
        return known
    generated = (new.lanes[lane].generation_tokens - old.lanes[lane].generation_tokens) / ended
    prompt = (new.lanes[lane].prompt_tokens - old.lanes[lane].prompt_tokens) / ended
    return Mix(max(prompt, 1.0), max(generated, 1.0))


def class_mix(old: Sample, new: Sample, classes: Sequence[int], known: Mix | None) -> Mix | None:
    """Mean input and output tokens of the classes' requests, on all lanes, by what ended between two samples."""
    ended = prompt = generated = 0.0
    for index in classes:
        a, b = old.classes[index], new.classes[index]
        ended += b.ended - a.ended
        prompt += b.ended_input_tokens - a.ended_input_tokens
        generated += b.ended_output_tokens - a.ended_output_tokens
    return known if ended < 1.0 else Mix(max(prompt / ended, 1.0), max(generated / ended, 1.0))


def arrivals_per_second(old: Sample, new: Sample, classes: Sequence[int]) -> float:
    """Requests a second of these classes at the gateway, wherever they were served."""
    arrived = sum(new.classes[index].arrived - old.classes[index].arrived for index in classes)
    return max(0.0, arrived) / (new.at - old.at)


def lane_shares(old: Sample, new: Sample, classes: Sequence[int], lanes: Sequence[int]) -> tuple[float, ...]:
    """How the gateway splits these classes over these own lanes: their shares of the requests that it routed.

    This is how a baseline without a notion of several lanes gets its share of the demand. Equal where none was routed.
    """
    routed = [
        sum(float(new.classes[i].to_lane[lane] - old.classes[i].to_lane[lane]) for i in classes) for lane in lanes
    ]
    total = sum(routed)
    return tuple(1.0 / len(routed) if total <= 0.0 else part / total for part in routed)


def held(sample: Sample, classes: Sequence[int]) -> float:
    """Requests of these classes that wait at the proxy now."""
    return sum(sample.classes[index].held for index in classes)


def quantile(bounds: Sequence[float], old: Histogram, new: Histogram, share: float) -> float | None:
    """PromQL's histogram_quantile over what was counted between two samples; None where nothing was.

    Linear inside a bucket, the first starts at 0; the highest finite bound in the unbounded one.
    """
    counts: Floats = new.counts - old.counts
    cumulative = np.cumsum(counts)
    total = float(cumulative[-1])
    if total <= 0.0:
        return None
    rank = share * total
    bucket = int(np.searchsorted(cumulative, rank))
    if bucket >= len(bounds):
        return float(bounds[-1])
    below = float(cumulative[bucket - 1]) if bucket else 0.0
    start = float(bounds[bucket - 1]) if bucket else 0.0
    return start + (float(bounds[bucket]) - start) * (rank - below) / (float(cumulative[bucket]) - below)


def mean(old: Histogram, new: Histogram) -> float | None:
    """Mean of what was counted between two samples, in seconds; None where nothing was."""
    count = new.count - old.count
    return None if count <= 0.0 else (new.sum_s - old.sum_s) / count
