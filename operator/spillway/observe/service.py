"""Moments of steady service out of a lane's history: what replica service is learned from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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
    pods = _largest(rows, "pods")
    needed = [total(rows, tag) for tag in ("running", "input_tokens", "output_tokens", "itl_sum", "itl_count")]
    if pods is None or any(values is None for values in needed):
        return ()
    running, tokens_in, tokens_out, latency_sum, latency_count = (v for v in needed if v is not None)
    with np.errstate(invalid="ignore"):
        steady = _unchanged(pods) & np.isfinite(tokens_in) & np.isfinite(tokens_out)
        steady &= (running > 0) & (latency_count > 0) & (latency_sum > 0)
        young = _largest(rows, "young")
        if young is not None:
            steady &= ~(young > 0)
    more = _Optional.of(rows)
    samples = []
    last = -RATE_SCRAPES
    for index in np.flatnonzero(steady).tolist():
        if index - last < RATE_SCRAPES:
            continue
        last = index
        replicas = float(pods[index])
        computed = float(tokens_in[index]) - (_at(more.cached, index) or 0.0)
        samples.append(
            ServiceSample(
                at=grid.start + index * grid.step_seconds,
                inter_token_latency_seconds=float(latency_sum[index] / latency_count[index]),
                running_per_replica=float(running[index]) / replicas,
                input_tokens_per_second_per_replica=float(tokens_in[index]) / replicas,
                output_tokens_per_second_per_replica=float(tokens_out[index]) / replicas,
                kv_tokens_per_replica=_held(more.kv, index, kv_size_tokens),
                iterations_per_second=_per(_at(more.iterations, index), replicas),
                decodes_per_second=float(latency_count[index]) / replicas,
                computed_prompt_tokens_per_second=max(0.0, computed) / replicas,
                busy_share=_busy(more.busy, index, replicas),
                time_to_first_token_seconds=more.first_token(index),
                prompt_tokens_per_first_token=_per(max(0.0, computed), _at(more.first_tokens, index)),
                window_seconds=float(RATE_SCRAPES * grid.step_seconds),
            )
        )
    return tuple(samples)


@dataclass(frozen=True, slots=True)
class _Optional:
    """Measures that an engine may lack."""

    kv: Values | None
    cached: Values | None
    iterations: Values | None
    busy: Values | None
    waiting: Values | None
    first_token_seconds: Values | None
    first_tokens: Values | None

    @classmethod
    def of(cls, rows: Sequence[EngineRow]) -> _Optional:
        """Over the models of a lane."""
        return cls(
            _largest(rows, "kv_usage"),
            total(rows, "cached_tokens"),
            total(rows, "iterations"),
            total(rows, "busy"),
            total(rows, "waiting"),
            total(rows, "ttft_sum"),
            total(rows, "ttft_count"),
        )

    def first_token(self, index: int) -> float | None:
        """Mean time to the first token in seconds, where no request waited in the engine."""
        waiting, seconds = _at(self.waiting, index), _at(self.first_token_seconds, index)
        if waiting is None or waiting > 0 or seconds is None:
            return None
        return _per(seconds, _at(self.first_tokens, index))


def _unchanged(pods: Values) -> NDArray[np.bool_]:
    """Points with replicas whose number was the same through the rate window."""
    same = pods > 0
    for back in range(1, RATE_SCRAPES + 1):
        before = np.roll(pods, back)
        before[:back] = np.nan
        same &= before == pods
    return same


def _busy(busy: Values | None, index: int, replicas: float) -> float | None:
    """Share of the readings of the rate window that saw something run."""
    if busy is None:
        return None
    seen = busy[max(0, index - RATE_SCRAPES + 1) : index + 1]
    seen = seen[np.isfinite(seen)]
    return float(np.clip(seen.mean() / replicas, 0.0, 1.0)) if seen.size else None


def _at(values: Values | None, index: int) -> float | None:
    if values is None or not np.isfinite(values[index]):
        return None
    return float(values[index])


def _per(value: float | None, number: float | None) -> float | None:
    return None if value is None or number is None or number <= 0 else value / number


def _held(kv: Values | None, index: int, size_tokens: float | None) -> float | None:
    share = _at(kv, index)
    return None if share is None or size_tokens is None else share * size_tokens
