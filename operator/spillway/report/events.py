"""Events for people, on transitions only. Pure: status before and after -> what to say."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum

from spillway.api import CapacityPlanStatus, Condition, LaneStatus, SimpleStatus
from spillway.api.status import ConditionStatus, LaneMoveStatus, MoveState
from spillway.decide.reasons import Code
from spillway.decide.snapshot import Finding
from spillway.report.figures import shorten


class EventType(StrEnum):
    """Kubernetes' two types of Event."""

    NORMAL = "Normal"
    WARNING = "Warning"


@dataclass(frozen=True, slots=True)
class Event:
    """One Event about an object."""

    type: EventType
    reason: str
    """Machine reason, CamelCase."""
    message: str
    """One sentence, at most 1024 characters."""


_GOOD_WHEN_TRUE = frozenset({"Ready", "MetricsAvailable"})
_BAD_WHEN_TRUE = frozenset({"Degraded", "CapacityUnavailable", "Stalled", "BudgetAtRisk"})
_SILENT = frozenset({"Stalled", "RecommendationAvailable", "ApprovalRequired"})
"""Stalled says what Ready says; a recommendation is told lane by lane, what waits for approval one by one."""

_MOMENTARY = frozenset({Code.REPLICAS_CONTESTED.value})
"""Warnings for which there is no condition: they hold until Spillway writes again, which is at the next tick."""


def plan_events(previous: CapacityPlanStatus | None, new: CapacityPlanStatus) -> tuple[Event, ...]:
    """What changed about a plan: conditions that turned, lanes whose recommendation changed or that are held now."""
    before = previous.conditions if previous else ()
    lanes = previous.lanes if previous else ()
    return (
        *_condition_events(before, new.conditions),
        *_lane_events(lanes, new.lanes),
        *_held_events(lanes, new.lanes),
    )


def object_events(previous: SimpleStatus | None, new: SimpleStatus) -> tuple[Event, ...]:
    """What changed about a lane or class."""
    return tuple(_condition_events(previous.conditions if previous else (), new.conditions))


def momentary_events(before: Collection[str], findings: Iterable[Finding]) -> tuple[Event, ...]:
    """Warnings that no condition tells. ``before``: reasons of the findings of the last tick."""
    return tuple(
        Event(EventType.WARNING, found.reason, shorten(found.message))
        for found in findings
        if found.reason in _MOMENTARY and found.reason not in before
    )


def _condition_events(previous: Iterable[Condition], new: Iterable[Condition]) -> Iterable[Event]:
    before = {condition.type: condition for condition in previous}
    for condition in new:
        old = before.get(condition.type)
        if condition.type in _SILENT or not _turned(old, condition):
            continue
        kind = EventType.WARNING if _bad(condition) else EventType.NORMAL
        said = f"{condition.type} is {condition.status.value}: {condition.message}"
        yield Event(kind, condition.reason, shorten(said))


def _turned(old: Condition | None, new: Condition) -> bool:
    if old is None:
        return _bad(new)
    if old.status is not new.status:
        return True
    return _bad(new) and old.reason != new.reason


def _bad(condition: Condition) -> bool:
    if condition.type in _GOOD_WHEN_TRUE:
        return condition.status is ConditionStatus.FALSE
    return condition.type in _BAD_WHEN_TRUE and condition.status is ConditionStatus.TRUE


def _lane_events(previous: Iterable[LaneStatus], new: Iterable[LaneStatus]) -> Iterable[Event]:
    before = {lane.name: lane.recommended for lane in previous}
    for lane in new:
        if lane.recommended is None or lane.recommended in (lane.current, before.get(lane.name)):
            continue
        said = f"lane {lane.name}: {lane.current} -> {lane.recommended} replicas recommended: {lane.message}"
        yield Event(EventType.NORMAL, lane.reason or "Recommendation", shorten(said))


def _held_events(previous: Iterable[LaneStatus], new: Iterable[LaneStatus]) -> Iterable[Event]:
    """Lanes that are held by the outside world; what the decision itself holds is told by its conditions."""
    before = {lane.name: _held(lane.move) for lane in previous}
    for lane in new:
        reason = _held(lane.move)
        if lane.move is None or reason in (None, lane.reason, before.get(lane.name)):
            continue
        yield Event(EventType.WARNING, lane.move.reason, shorten(f"lane {lane.name} is held: {lane.move.message}"))


def _held(move: LaneMoveStatus | None) -> str | None:
    return move.reason if move is not None and move.state is MoveState.HELD else None
