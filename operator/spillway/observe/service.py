"""Moments of steady service out of a lane's history: what replica service is learned from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spillway.decide.snapshot import ServiceSample
from spillway.observe.counters import EngineRow
from spillway.observe.history import HistoryGrid, Values, add
from spillway.observe.queries import RATE_SCRAPES


def total(rows: Sequence[EngineRow], tag: str) -> Values | None:
    """Sum of one measure over the models of a lane, point by point."""
    summed: Values | None = None
    for row in rows:
        summed = add(summed, row.fine.get(tag))
    return summed


def _largest(rows: Sequence[EngineRow], tag: str) -> Values | None:
    found = [row.fine[tag] for row in rows if tag in row.fine]
    return np.asarray(np.fmax.reduce(found), dtype=np.float32) if found else None


def service_samples(
    grid: HistoryGrid | None, rows: Sequence[EngineRow], kv_size_tokens: float | None
) -> tuple[ServiceSample, ...]:
    """One sample per rate window in which the same warm replicas served throughout.

    Left out: points with a pod that started within the warm-up, points whose number of pods changed within the rate
    window, and idle ones. Points with a queue stay in: they are what is known of the largest batches.
    """
    if grid is None:
        return ()
    pods, young = _largest(rows, "pods"), _largest(rows, "young")
    running, tokens_in, tokens_out = (total(rows, tag) for tag in ("running", "input_tokens", "output_tokens"))
    latency_sum, latency_count = total(rows, "itl_sum"), total(rows, "itl_count")
    kv = _largest(rows, "kv_usage")
    needed = (pods, running, tokens_in, tokens_out, latency_sum, latency_count)
    if any(values is None for values in needed):
        return ()
    assert pods is not None and running is not None and tokens_in is not None  # noqa: S101, PT018 - checked above
    assert tokens_out is not None and latency_sum is not None and latency_count is not None  # noqa: S101, PT018
    steady = np.isfinite(running) & np.isfinite(tokens_in) & np.isfinite(tokens_out)
    with np.errstate(invalid="ignore"):
        steady &= (pods > 0) & (running > 0) & (latency_count > 0) & (latency_sum > 0)
        if young is not None:
            steady &= ~(young > 0)
        for back in range(1, RATE_SCRAPES + 1):
            before = np.roll(pods, back)
            before[:back] = np.nan
            steady &= before == pods
    chosen = np.flatnonzero(steady)
    samples = []
    last = -RATE_SCRAPES
    for index in chosen.tolist():
        if index - last < RATE_SCRAPES:
            continue
        last = index
        replicas = float(pods[index])
        samples.append(
            ServiceSample(
                at=grid.start + index * grid.step_seconds,
                inter_token_latency_seconds=float(latency_sum[index] / latency_count[index]),
                running_per_replica=float(running[index]) / replicas,
                input_tokens_per_second_per_replica=float(tokens_in[index]) / replicas,
                output_tokens_per_second_per_replica=float(tokens_out[index]) / replicas,
                kv_tokens_per_replica=_held(kv, index, kv_size_tokens),
            )
        )
    return tuple(samples)


def _held(kv: Values | None, index: int, size_tokens: float | None) -> float | None:
    if kv is None or size_tokens is None or not np.isfinite(kv[index]):
        return None
    return float(kv[index]) * size_tokens
