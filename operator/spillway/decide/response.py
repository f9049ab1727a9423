"""What an own lane does with the work that is offered to it, under an in-flight cap and a hold: how much spills.

The number of requests at a lane of N replicas, in flight and held, is a diffusion between 0 and N*cap + the hold's
room. With n in flight each replica finishes X(n) = n/(O*alpha + n*W) requests a millisecond, where W is a request's own
service (see `spillway.decide.service.latency`) and its O iterations share the fixed alpha. Arrivals vary with an index
of dispersion; what arrives at the upper boundary spills. The stationary density is p(x) ~ exp(integral of
2*(lambda - mu)/sigma^2)/sigma^2 with sigma^2 = lambda*dispersion + mu, and the loss is sigma^2/2*p at the boundary
(Browne and Whitt, piecewise-linear diffusion processes, 1995). Whole requests stand half a request to either side, so
the boundaries do as well: for Poisson arrivals this is the birth-and-death chain, to a few thousandths from 4 on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spillway.decide.forecast import Floats
from spillway.decide.service import Coefficients, Mix
from spillway.decide.service.latency import iteration_work_ms
from spillway.decide.service.lengths import Lengths, Stream

LEVELS = 96
"""Points of the density over the in-flight range."""


@dataclass(frozen=True, slots=True)
class RequestModel:
    """The mean request of a lane's mix as one replica sees it."""

    iterations: float
    """O: the one that finishes the prompt, and O - 1 that decode."""
    alpha_ms: float
    service_ms: float
    """W."""

    def rate(self, in_flight: Floats) -> Floats:
        """Requests a second that one replica finishes with so many in flight."""
        n = np.asarray(in_flight, dtype=np.float64)
        return np.asarray(1000.0 * n / (self.iterations * self.alpha_ms + n * self.service_ms))

    def itl_ms(self, in_flight: Floats) -> Floats:
        """Mean inter-token latency."""
        return np.asarray(self.alpha_ms + np.asarray(in_flight) * self.service_ms / self.iterations)


@dataclass(frozen=True, slots=True)
class Valve:
    """How a lane's gateway lets work in."""

    cap: float
    """In-flight requests per Ready replica."""
    hold_seconds: float


def request_model(model: Coefficients, traffic: Sequence[Stream]) -> RequestModel:
    """The mean request of a lane's traffic; its shares are by requests."""
    shares = np.array([stream.share for stream in traffic])
    shares = shares / shares.sum()
    outputs = np.array([max(stream.mix.output_tokens, 1.0) for stream in traffic])
    service = np.array([iteration_work_ms(model, stream.mix, stream.lengths) for stream in traffic])
    return RequestModel(float(shares @ outputs), model.alpha_ms, float(shares @ service))


def request_seconds(model: Coefficients, mix: Mix, lengths: Lengths, cap: float) -> float:
    """Replica-seconds that one request takes at a full cap."""
    shared = model.alpha_ms * max(mix.output_tokens, 1.0) / cap
    return (iteration_work_ms(model, mix, lengths) + shared) / 1000.0


def left(request: RequestModel, valve: Valve, counts: Floats, load: Floats, dispersion: float = 1.0) -> Floats:
    """Mean work that spills, in replicas, (counts, load); ``load`` is the offered work in replicas at the full cap."""
    counts = np.asarray(counts, dtype=np.float64)
    load = np.asarray(load, dtype=np.float64)
    found = np.broadcast_to(load, (counts.size, load.size)).copy()
    some = np.flatnonzero(counts > 0)
    n = counts[some, None]
    widths = (n * valve.cap + 1.0) / LEVELS
    departs = n * whole_rate(request, valve.cap, ((np.arange(LEVELS) + 0.5) * widths - 0.5) / n)
    full = float(request.rate(np.array(valve.cap)))
    offered = np.maximum(load, 1e-9) / (1.0 / full)
    # One number of replicas after the other: what one needs fits the processor's cache.
    for row, width, leaves in zip(some.tolist(), widths[:, 0].tolist(), departs, strict=True):
        at_full = float(counts[row]) * full
        lost = _lost(offered, leaves, width, at_full, at_full * valve.hold_seconds, dispersion)
        # What can't be served spills in any case; nothing more than what comes can.
        found[row] = np.clip(lost * (1.0 / full), np.maximum(load - counts[row], 0.0), load)
    return found


def _lost(offered: Floats, departs: Floats, width: float, at_full: float, room: float, dispersion: float) -> Floats:
    """Requests a second that find no room, by those offered; ``departs`` by levels of this width in flight."""
    arrives = offered[:, None]
    variance = arrives * dispersion + departs
    steps = 2.0 * (arrives - departs) / variance * width
    half = steps / 2
    exponent = np.cumsum(steps, axis=1) - half
    edge = exponent[:, -1] + half[:, -1]
    edge_variance = offered * dispersion + at_full
    rise = 2.0 * (offered - at_full) / edge_variance
    top = np.maximum(np.maximum(exponent.max(axis=1), edge), edge + rise * room)
    mass = (np.exp(exponent - top[:, None]) * edges(half) / variance).sum(axis=1) * width
    held = _ramp(edge - top, rise, room) / edge_variance
    return np.asarray(0.5 * np.exp(edge + rise * room - top) / (mass + held))


def whole_rate(request: RequestModel, cap: float, in_flight: Floats) -> Floats:
    """Requests a second of one of many replicas that share so many each: some have one more than others."""
    shared = np.clip(in_flight, 0.0, cap)
    low = np.floor(shared)
    high = np.minimum(low + 1.0, cap)
    part = np.divide(shared - low, high - low, out=np.zeros_like(shared), where=high > low)
    return np.asarray(request.rate(low) * (1.0 - part) + request.rate(high) * part)


def edges(half_steps: Floats) -> Floats:
    """Mean of exp over a step of the exponent, which is linear within it, over exp at its middle; from half of it."""
    half = np.minimum(np.maximum(np.abs(half_steps), 1e-6), 300.0)
    return np.asarray(np.sinh(half) / half)


def _ramp(start: Floats, rise: Floats, room: float) -> Floats:
    """Integral of exp(start + rise*z) over [0, room]; no exponent in it is above 0, so nothing overflows."""
    product = rise * room
    flat = np.abs(product) < 1e-6
    sloped = (np.exp(start + product) - np.exp(start)) / np.where(flat, 1.0, rise)
    return np.asarray(np.where(flat, np.exp(start) * room * (1 + product / 2), sloped))


def jittered(table: Floats, load: Floats, factors: Floats, weights: Floats) -> Floats:
    """The table (counts, load) where the load itself varies within a period: by these factors, of mean 1."""
    found = np.zeros_like(table)
    for factor, weight in zip(factors.tolist(), weights.tolist(), strict=True):
        moved = load * factor
        index = np.clip(np.searchsorted(load, moved, side="right") - 1, 0, len(load) - 2)
        part = np.clip((moved - load[index]) / (load[index + 1] - load[index]), 0.0, 1.0)
        inside = table[:, index] * (1 - part) + table[:, index + 1] * part
        found += weight * (inside + np.maximum(moved - load[-1], 0.0))
    return found
