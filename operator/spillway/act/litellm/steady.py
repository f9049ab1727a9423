"""When a proxy's configuration may change: each change restarts its pods, so small ones wait and all are spaced.

What is written stays until something has moved by more than the bands below. Then it is written again, at most once in
``SPACING_SECONDS``; what can't wait (a ceiling or a policy that binds, own capacity that is gone, an edit of the plan
or by hand) once in ``HURRY_SECONDS``; a model that may no longer leave own lanes, at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from spillway.act.litellm.compare import Written
from spillway.act.litellm.values import Budget, Decided, Limits, Rendered, Sending
from spillway.api.proxynote import NotedBudget, NotedLimits, ProxyNote

SPACING_SECONDS = 300.0
HURRY_SECONDS = 60.0
WEIGHT_BAND = 5
"""Points of a weight that are no reason for a rollout, unless to or from nothing."""
CAP_BAND = 0.2
"""Share of a cap, or of an armed limit, that is none."""


def steadied(wanted: Decided, before: Decided | None) -> Decided:
    """``wanted`` with what is written already wherever they are close."""
    if before is None or before.sending is not wanted.sending:
        return wanted
    weights = {name: _weights(before.weights.get(name), new) for name, new in wanted.weights.items()}
    caps = {lane: _near(before.in_flight.get(lane), new) for lane, new in wanted.in_flight.items()}
    armed = {lane: _limits(before.armed.get(lane), new) for lane, new in wanted.armed.items()}
    order = wanted.hosted_order
    if set(order) == set(before.hosted_order) and _same_prices(wanted.budget, before.budget):
        order = before.hosted_order
    budget = before.budget if _same_bounds(wanted.budget, before.budget) else wanted.budget
    return replace(wanted, weights=weights, in_flight=caps, armed=armed, hosted_order=order, budget=budget)


@dataclass(frozen=True, slots=True)
class Pace:
    """What a configuration that differs from the written one is held against."""

    now: float
    """Unix time, in seconds."""
    noted_at: float | None
    """When the last one was written."""
    hurry: bool
    """Whether what was decided can't wait."""
    at_home: frozenset[str]
    """Model names that must not leave own lanes."""


def due(rendered: Rendered, written: Written | None, pace: Pace) -> bool:
    """Whether it may be written now."""
    if written is None or pace.noted_at is None:
        return True
    age = pace.now - pace.noted_at
    if age >= SPACING_SECONDS or age < 0 or _leaks(written, pace.at_home):
        return True
    return age >= HURRY_SECONDS and (pace.hurry or not written.intact or _edited(rendered, written))


def note(decided: Decided, names: Mapping[str, str], now: float, deployments: int | None = None) -> ProxyNote:
    """What to note of it. ``names``: class key to the name that bindings and routes use; ``deployments``: how many."""
    budget = decided.budget
    return ProxyNote(
        at=now,
        sending=decided.sending.value,
        weights={names[key]: dict(weights) for key, weights in decided.weights.items() if key in names},
        in_flight=dict(decided.in_flight),
        hosted_order=decided.hosted_order,
        armed={
            lane: NotedLimits(
                tokens_per_minute=limits.tokens_per_minute, requests_per_minute=limits.requests_per_minute
            )
            for lane, limits in decided.armed.items()
        },
        budget=None
        if budget is None
        else NotedBudget(
            at=budget.at,
            ceilings=dict(budget.ceilings),
            left=dict(budget.left),
            tiers=dict(budget.tiers),
            prices=dict(budget.prices),
        ),
        deployments=deployments,
        mended_at=decided.mended_at,
    )


def decided_before(noted: ProxyNote, keys: Mapping[str, str]) -> Decided | None:
    """The decision that a note tells of; None where it makes no sense. ``keys``: class name to class key."""
    if noted.sending not in list(Sending):
        return None
    budget = noted.budget
    return Decided(
        sending=Sending(noted.sending),
        weights={keys[name]: weights for name, weights in noted.weights.items() if name in keys},
        in_flight=noted.in_flight,
        hosted_order=noted.hosted_order,
        armed={
            lane: Limits(limits.tokens_per_minute, limits.requests_per_minute) for lane, limits in noted.armed.items()
        },
        budget=None if budget is None else Budget(budget.at, budget.ceilings, budget.left, budget.tiers, budget.prices),
        mended_at=noted.mended_at,
    )


def _weights(before: Mapping[str, int] | None, new: Mapping[str, int]) -> Mapping[str, int]:
    if before is None or set(before) != set(new):
        return new
    close = all(abs(before[lane] - new[lane]) < WEIGHT_BAND and (not before[lane]) == (not new[lane]) for lane in new)
    return before if close else new


def _near(before: int | None, new: int) -> int:
    if before is None or (not before) != (not new):
        return new
    return before if abs(before - new) <= CAP_BAND * before else new


def _limits(before: Limits | None, new: Limits) -> Limits:
    """One rate follows from the other: both are kept, or none."""
    if before is None:
        return new
    pairs = (
        (before.tokens_per_minute, new.tokens_per_minute),
        (before.requests_per_minute, new.requests_per_minute),
    )
    for one, other in pairs:
        if (one is None) != (other is None) or (one is not None and other is not None and _near(one, other) != one):
            return new
    return before


def _same_bounds(one: Budget | None, other: Budget | None) -> bool:
    """Whether both bound the same; what is left of it is the proxy's own to count."""
    if one is None or other is None:
        return one is other
    return (one.ceilings, one.tiers, one.prices) == (other.ceilings, other.tiers, other.prices)


def _same_prices(one: Budget | None, other: Budget | None) -> bool:
    mine: Mapping[str, tuple[Decimal, ...]] = {} if one is None else one.prices
    theirs: Mapping[str, tuple[Decimal, ...]] = {} if other is None else other.prices
    return mine == theirs


def _leaks(written: Written, at_home: frozenset[str]) -> bool:
    return any(made.hosted and made.model_name in at_home for made in written.deployments)


def _edited(rendered: Rendered, written: Written) -> bool:
    """Whether model names come or go, or a lane is reached otherwise: somebody has edited a resource."""
    before = {made.id: (made.model, made.address) for made in written.deployments}
    names = {made.model_name for made in written.deployments}
    return names != {made.model_name for made in rendered.deployments} or any(
        made.id in before and before[made.id] != (made.model, made.address) for made in rendered.deployments
    )
