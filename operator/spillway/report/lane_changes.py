"""Proposals in words: their own status, the plan's condition ``ApprovalRequired``, Events and metrics. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from spillway.advise.structural.lifecycle import Stand
from spillway.api import CapacityPlan, ChangeState, LaneChange, LaneChangeStatus, StructuralApproval
from spillway.report.conditions import State, dated
from spillway.report.events import Event, EventType
from spillway.report.figures import shorten, timestamp

APPROVAL_REQUIRED = "ApprovalRequired"
DEFINITION = ("spillway_lane_changes", "Proposals of the plan by state.", ("plan", "state"))
"""Name, help and labels of the metric."""
_WARNS = frozenset({ChangeState.EXPIRED})


@dataclass(frozen=True, slots=True)
class PlanChanges:
    """What is known of one plan's proposals."""

    known: bool = False
    """False: they can't be read now."""
    states: Mapping[str, ChangeState] = field(default_factory=dict)
    """By name."""
    too_dear: tuple[str, ...] = ()
    """What would be better and raises the bill by more than the plan allows to propose, one sentence each."""
    refused: tuple[str, ...] = ()
    """What would be better and could not be stored, one sentence each."""
    short: str = ""
    """Why what was observed may not be enough after a restart; "" where it is."""

    def names(self, state: ChangeState) -> list[str]:
        """The proposals in that state."""
        return sorted(name for name, each in self.states.items() if each is state)


UNKNOWN = PlanChanges()


def approval_state(plan: CapacityPlan, changes: PlanChanges) -> State:
    """``ApprovalRequired`` of a plan; a proposal that waits leaves it Ready."""
    if not changes.known:
        return State(APPROVAL_REQUIRED, None, "ProposalsUnknown", "LaneChanges can't be read now")
    if waiting := changes.names(ChangeState.PROPOSED):
        return State(APPROVAL_REQUIRED, True, "ProposalsWait", f"waits for a person: {', '.join(waiting)}")
    if approved := changes.names(ChangeState.APPROVED):
        said = f"approved, and not yet in place: {', '.join(approved)}"
        return State(APPROVAL_REQUIRED, False, "ApprovedNotApplied", said)
    if plan.spec.approval.structural is StructuralApproval.OFF:
        said = "spec.approval.structural is Off: structural changes are not proposed"
        return State(APPROVAL_REQUIRED, False, "Off", said)
    if changes.refused:
        return State(APPROVAL_REQUIRED, False, "ProposalRefused", "; ".join((*changes.refused, *changes.too_dear)))
    if changes.too_dear:
        return State(APPROVAL_REQUIRED, False, "IncreaseTooLarge", "; ".join(changes.too_dear))
    said = "no structural change waits for approval" + (f"; {changes.short}" if changes.short else "")
    return State(APPROVAL_REQUIRED, False, "NothingProposed", said)


def change_status(change: LaneChange, found: Stand, now: float) -> LaneChangeStatus:
    """The proposal's status. It is Ready whatever becomes of it: nothing of it is in progress or has failed."""
    before, generation = change.status, change.metadata.generation
    waits = found.state is ChangeState.PROPOSED
    states = (
        State("Ready", True, found.state.value, found.message),
        State(APPROVAL_REQUIRED, waits, found.state.value, found.message),
        State("Stalled", False, "Progressing", "nothing of the proposal has failed"),
    )
    ended = None if found.state.open else (before and before.ended_at) or timestamp(now)
    return LaneChangeStatus(
        observed_generation=generation,
        state=found.state,
        message=shorten(found.message),
        ended_at=ended,
        conditions=dated(states, before.conditions if before else (), generation, now),
    )


def status_is_news(before: LaneChangeStatus | None, new: LaneChangeStatus) -> bool:
    """Whether the status says something else than before."""
    if before is None or not before.conditions:
        return True
    told = (before.state, before.message, before.observed_generation)
    return told != (new.state, new.message, new.observed_generation)


def change_events(change: LaneChange, new: LaneChangeStatus) -> tuple[Event, ...]:
    """What to say of a proposal, on itself and on its plan, when its state has changed."""
    known = change.status is not None and bool(change.status.conditions)
    if known and change.state is new.state:
        return ()
    kind = EventType.WARNING if new.state in _WARNS else EventType.NORMAL
    text = change.spec.message if new.state is ChangeState.PROPOSED else new.message
    return (Event(kind, f"LaneChange{new.state.value}", shorten(f"{change.metadata.name}: {text}")),)


def change_samples(plan: str, changes: PlanChanges) -> Iterator[tuple[tuple[str, str], float]]:
    """Labels and value of every series; none where they can't be read."""
    if changes.known:
        counted = Counter(changes.states.values())
        yield from (((plan, state.value), float(counted[state])) for state in ChangeState)
