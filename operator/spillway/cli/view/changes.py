"""``spillway plan``: what mode Apply would change now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from spillway.advise.words import dollars
from spillway.api import LaneChange, Mode
from spillway.api.why import WhyStep
from spillway.cli.output import Form, print_json
from spillway.cli.view.judge import Finding, findings, waiting
from spillway.cli.view.reporting import reported_at
from spillway.cli.view.status import change_document, finding_document
from spillway.cli.view.text import amount, duration, labelled, paragraph, show, usd, width_of
from spillway.cli.view.world import PlanSeen, Seen
from spillway.decide.reasons import count

EXIT_CHANGES = 2
"""With --detailed-exitcode, as terraform has it."""
IN_THE_WAY = ("Operator", "Stopped", "Paused", "Mode", "Ready", "MetricsAvailable", "Degraded", "ManualOverride")
"""Subjects of findings that keep changes from being made, or from being known."""


@dataclass(frozen=True, slots=True)
class ReplicaChange:
    """A lane that should have another number of replicas."""

    lane: str
    now: int | None
    wanted: int

    def sentence(self) -> str:
        """For people."""
        return f"lane {self.lane}: {'?' if self.now is None else self.now} -> {count(self.wanted)}"


@dataclass(frozen=True, slots=True)
class WeightChange:
    """A route's rule that should have other weights, by lane."""

    class_name: str
    route: str
    now: dict[str, int | None]
    wanted: dict[str, int]

    def sentence(self) -> str:
        """For people."""
        moved = [f"{lane} {_weight(self.now.get(lane))} -> {weight}" for lane, weight in self.wanted.items()]
        return f"route {self.route} (class {self.class_name}): {', '.join(moved)}"


@dataclass(frozen=True, slots=True)
class Planned:
    """What would be changed of one plan."""

    seen: PlanSeen
    replicas: tuple[ReplicaChange, ...]
    weights: tuple[WeightChange, ...]
    guards: tuple[str, ...]
    """Lane and what holds some of it back."""
    waiting: tuple[LaneChange, ...]
    blockers: tuple[Finding, ...]

    @property
    def changes(self) -> int:
        """How many; proposals that wait for approval are none of them."""
        return len(self.replicas) + len(self.weights)

    def document(self) -> dict[str, Any]:
        """For programs; docs/kubectl.md names the keys."""
        totals = self.seen.status.totals
        return {
            "namespace": self.seen.namespace,
            "name": self.seen.plan.metadata.name,
            "mode": self.seen.plan.spec.mode.value,
            "changes": self.changes,
            "replicas": [{"lane": each.lane, "now": each.now, "wanted": each.wanted} for each in self.replicas],
            "weights": [
                {"class": each.class_name, "route": each.route, "now": each.now, "wanted": each.wanted}
                for each in self.weights
            ],
            "usdPerHourNow": None if totals is None else totals.billed_usd_per_hour,
            "usdPerHourExpected": None if totals is None else totals.expected_usd_per_hour,
            "guards": list(self.guards),
            "waiting": [change_document(change) for change in self.waiting],
            "blockers": [finding_document(each) for each in self.blockers],
        }


def planned(seen: PlanSeen) -> Planned:
    """What would be changed of the plan, from its status."""
    status = seen.status
    replicas = tuple(
        ReplicaChange(lane.name, lane.current, lane.recommended)
        for lane in status.lanes
        if lane.recommended is not None and lane.recommended != lane.current
    )
    weights = []
    for route in status.weights or ():
        now, wanted = {each.lane: each.now for each in route.lanes}, {each.lane: each.wanted for each in route.lanes}
        if any(wanted[lane] != (now[lane] or 0) for lane in wanted):
            weights.append(WeightChange(route.class_, route.route, now, wanted))
    guards = tuple(
        f"lane {lane.name}: {step.text}"
        for lane in status.lanes
        for step in lane.why or ()
        if step.step is WhyStep.GUARD and not step.text.startswith("binds: ")
    )
    blockers = tuple(each for each in findings(seen) if each.subject in IN_THE_WAY)
    return Planned(seen, replicas, tuple(weights), guards, waiting(seen), blockers)


def plan_command(seen: Seen, detailed: bool, form: Form) -> int:
    """Print; 0, or with ``detailed`` 2 where there is something to change."""
    found = [planned(plan) for plan in seen.plans]
    if form.as_json:
        print_json({"plans": [each.document() for each in found], "notes": list(seen.notes)})
    else:
        show(form, _parts(found, seen.notes, width_of(form)))
    return EXIT_CHANGES if detailed and any(each.changes for each in found) else 0


def _weight(weight: int | None) -> str:
    return "none" if weight is None else str(weight)


def _parts(found: list[Planned], notes: tuple[str, ...], width: int) -> Iterator[RenderableType]:
    for position, each in enumerate(found):
        if position:
            yield Text("")
        yield from _plan(each, width)
    for note in notes:
        yield labelled("note", note, width, "yellow")


def _plan(each: Planned, width: int) -> Iterator[RenderableType]:
    spec, at = each.seen.plan.spec, reported_at(each.seen.status)
    age = "" if at is None else f", reported {duration(each.seen.now - at)} ago"
    mode = f"{spec.mode.value}{', paused' if spec.paused else ''}"
    yield Text.assemble((each.seen.key, "bold"), f"  {mode}{age}")
    for change in each.replicas:
        yield labelled("  replicas", change.sentence(), width)
    for moved in each.weights:
        yield labelled("  weights", moved.sentence(), width)
    if each.changes and (cost := _cost(each)):
        yield labelled("  cost", cost, width)
    for guard in each.guards:
        yield labelled("  guard", guard, width)
    for change_ in each.waiting:
        yield labelled("  waiting", _proposal(change_), width, "yellow")
    for blocker in each.blockers:
        yield labelled("  held", blocker.sentence(), width, "yellow")
    yield paragraph(f"=> {answer(each)}", width, "bold")


def _cost(each: Planned) -> str:
    totals = each.seen.status.totals
    if totals is None:
        return ""
    now, expected = amount(totals.billed_usd_per_hour), amount(totals.expected_usd_per_hour)
    if now is None or expected is None:
        return "not known"
    return f"{usd(totals.billed_usd_per_hour)} an hour now, {usd(totals.expected_usd_per_hour)} expected"


def _proposal(change: LaneChange) -> str:
    effect: Decimal = change.spec.effect.usd_per_month
    sign = "+" if effect > 0 else ""
    name = change.metadata.name
    return (
        f"{name}: {change.spec.message.rstrip('.')}, {sign}{dollars(effect)} a month; until {change.spec.expires_at}"
        f" `kubectl spillway approve {name} -n {change.metadata.namespace}`"
    )


def answer(each: Planned) -> str:
    """The last line."""
    spec = each.seen.plan.spec
    if each.seen.status.decision is None:
        return "What would be changed is not known: the operator has not reported on this plan."
    if spec.mode is Mode.OBSERVE:
        return "Mode Observe recommends nothing: set spec.mode to Recommend to see what would be changed."
    if not each.changes:
        return "Nothing to change."
    things = f"{each.changes} {'change' if each.changes == 1 else 'changes'}"
    if spec.mode is Mode.RECOMMEND:
        return f"{things} that mode Apply would make; mode Recommend makes none."
    if any(blocker.subject in ("Stopped", "Paused") for blocker in each.blockers):
        return f"{things} that would be made, but nothing is changed now."
    return f"{things} about to be made: mode Apply."
