"""Demand of one class out of the counters that are its own: rate, tokens per request, history."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from spillway.decide.snapshot import Demand, DemandSource, Reading, Series
from spillway.observe.claims import Unit
from spillway.observe.counters import GatewayRow
from spillway.observe.history import HistoryGrid, Values, add
from spillway.observe.lanes import combine, rate_of

MIX_POINTS = 40
"""Newest points of the fine history that tokens per request are taken over; the whole of it when these were idle."""
MIN_MIX_REQUESTS = 20.0


@dataclass(frozen=True, slots=True)
class Mix:
    """Tokens per request, as measured."""

    input_tokens: Reading | None = None
    output_tokens: Reading | None = None
    cached_share: Reading | None = None


@dataclass(frozen=True, slots=True)
class Grids:
    """The grids that fine and coarse values lie on."""

    fine: HistoryGrid | None
    coarse: HistoryGrid | None


@dataclass(frozen=True, slots=True)
class Counted:
    """Requests a second of one class, now and over time."""

    source: DemandSource
    rate: Reading
    fine: Values | None
    coarse: Values | None
    grids: Grids


def summed(parts: Iterable[Mapping[str, Values]], tag: str) -> Values | None:
    """Sum of one measure, point by point; a gap in all parts stays a gap."""
    total: Values | None = None
    for part in parts:
        total = add(total, part.get(tag))
    return total


def reduced(total: Values | None, known: Iterable[Values | None]) -> Values | None:
    """What is left of ``total`` after what is known to be others', not below 0."""
    if total is None:
        return None
    others = [values for values in known if values is not None]
    for values in others:
        total = total - np.nan_to_num(values)
    return np.asarray(np.maximum(total, 0.0), dtype=np.float32) if others else total


def history(grids: Grids, fine_values: Values | None, coarse_values: Values | None) -> tuple[Series, ...]:
    """Finest first; what was never seen is left out."""
    found = []
    for grid, values in ((grids.fine, fine_values), (grids.coarse, coarse_values)):
        if grid is not None and values is not None and (series := grid.to_series(values)) is not None:
            found.append(series)
    return tuple(found)


def mix_of(grid: HistoryGrid | None, parts: Sequence[Mapping[str, Values]]) -> Mix:
    """Tokens per request over the newest points with traffic."""
    if grid is None:
        return Mix()
    done: Values | None = None
    for part in parts:
        done = add(done, part.get("requests_done", part.get("requests")))
    if done is None:
        done = summed(parts, "proxy_requests")
    tokens_in, tokens_out = summed(parts, "input_tokens"), summed(parts, "output_tokens")
    if done is None or tokens_in is None or tokens_out is None:
        return Mix()
    cached = summed(parts, "cached_tokens")
    usable = np.isfinite(done) & np.isfinite(tokens_in) & np.isfinite(tokens_out)
    for points in (MIX_POINTS, grid.points):
        chosen = np.flatnonzero(usable)
        chosen = chosen[chosen >= grid.points - points]
        requests = float(np.sum(done[chosen], dtype=np.float64))
        if requests * grid.step_seconds >= MIN_MIX_REQUESTS:
            return _mix(grid, chosen, requests, tokens_in, tokens_out, cached)
    return Mix()


def _mix(
    grid: HistoryGrid,
    chosen: np.ndarray[tuple[int], np.dtype[np.intp]],
    requests: float,
    tokens_in: Values,
    tokens_out: Values,
    cached: Values | None,
) -> Mix:
    at = grid.start + float(chosen[-1]) * grid.step_seconds
    total_in = float(np.sum(tokens_in[chosen], dtype=np.float64))
    total_out = float(np.sum(tokens_out[chosen], dtype=np.float64))
    share = None
    if cached is not None and total_in > 0 and np.isfinite(cached[chosen]).any():
        share = Reading(min(1.0, float(np.nansum(cached[chosen], dtype=np.float64)) / total_in), at)
    return Mix(Reading(total_in / requests, at), Reading(total_out / requests, at), share)


def counted_by_gateway(rows: Sequence[GatewayRow], grids: Grids) -> Counted | None:
    """A class's traffic as front gateways count it; None when the counters have no rate now."""
    for tag in ("requests", "proxy_requests"):
        if (rate := rate_of(rows, tag)) is not None:
            fine, coarse = summed((row.fine for row in rows), tag), summed((row.coarse for row in rows), tag)
            return Counted(DemandSource.GATEWAY, rate, fine, coarse, grids)
    return None


def counted_by_engines(
    units: Sequence[Unit], others: Sequence[Counted], zero_at: float | None, grids: Grids
) -> Counted | None:
    """A class's traffic as engines and egress count it, without ``others``' part of the same counters.

    ``zero_at``: own capacity is known to serve nothing at that time (no pod is Ready), so that the egress' counters,
    or 0, are all there is.
    """
    total = combine([(u.requests.value, u.requests.at) for u in units if u.requests is not None], sum)
    if total is None:
        if zero_at is None:
            return None
        total = Reading(0.0, zero_at)
    known = sum(other.rate.value for other in others)
    return Counted(
        DemandSource.ENGINES,
        Reading(max(0.0, total.value - known), total.at),
        reduced(summed((unit.fine for unit in units), "requests"), (other.fine for other in others)),
        reduced(summed((unit.coarse for unit in units), "requests"), (other.coarse for other in others)),
        grids,
    )


def to_demand(counted: Counted, mix: Mix, by_lane: Mapping[str, Reading]) -> Demand:
    """The snapshot's value."""
    return Demand(
        source=counted.source,
        requests_per_second=counted.rate,
        input_tokens_per_request=mix.input_tokens,
        output_tokens_per_request=mix.output_tokens,
        cached_input_share=mix.cached_share,
        requests_per_second_by_lane=by_lane,
        history=history(counted.grids, counted.fine, counted.coarse),
    )
