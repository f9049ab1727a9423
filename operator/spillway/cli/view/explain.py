"""``spillway explain``: why a lane has so many replicas, why a class is hosted so much, as a chain of figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import click
from rich.console import RenderableType
from rich.text import Text

from spillway.api import ClassStatus, LaneStatus, Mode
from spillway.api.why import WhyStatus, WhyStep, WhyUnit
from spillway.cli.output import Form, print_json
from spillway.cli.view.reporting import reported_at, silent_seconds
from spillway.cli.view.text import LABEL, duration, paragraph, percent, show, usd, width_of
from spillway.cli.view.world import PlanSeen, Seen
from spillway.decide.reasons import count

FIGURE = 12
"""Columns of a step's figure."""
SHOWN = {WhyUnit.REQUESTS_PER_SECOND: "req/s", WhyUnit.REPLICAS: "", WhyUnit.USD_PER_HOUR: "/h", WhyUnit.PERCENT: ""}


@dataclass(frozen=True, slots=True)
class Explained:
    """One lane or class with its chain."""

    plan: PlanSeen
    kind: str
    """lane or class."""
    name: str
    why: tuple[WhyStatus, ...]
    message: str | None
    """The operator's own sentence."""
    answer: str
    move: str | None = None
    """Where a lane stands in the safe order of replicas and traffic."""

    def document(self) -> dict[str, Any]:
        """For programs; docs/kubectl.md names the keys."""
        silent, at = silent_seconds(self.plan.status, self.plan.now), reported_at(self.plan.status)
        return {
            "kind": self.kind,
            "name": self.name,
            "plan": self.plan.key,
            "why": [step.to_wire() for step in self.why],
            "message": self.message,
            "move": self.move,
            "answer": self.answer,
            "reportedSecondsAgo": None if at is None else round(max(0.0, self.plan.now - at)),
            "operatorSilent": silent is not None,
        }


def explain_command(seen: Seen, wanted: str | None, form: Form) -> int:
    """Print; raises click.ClickException where nothing is called that."""
    found = explained(seen, wanted)
    if form.as_json:
        print_json({"explained": [each.document() for each in found], "notes": list(seen.notes)})
    else:
        show(form, _parts(found, seen.notes, width_of(form)))
    return 0


def explained(seen: Seen, wanted: str | None) -> list[Explained]:
    """What is called so ([lane/|class/][NAMESPACE/]NAME); None: every own lane."""
    every = [each for plan in seen.plans for each in (*_lanes(plan), *_classes(plan))]
    if wanted is None:
        found = [each for each in every if each.kind == "lane" and _own(each)]
        if not found:
            raise click.ClickException("no plan here has a lane of own GPUs; name a class, or see `spillway status`")
        return found
    kind, name = _wanted(wanted)
    found = [each for each in every if each.kind in kind and name in (each.name, each.name.rpartition("/")[2])]
    if not found:
        names = ", ".join(dict.fromkeys(f"{each.kind}/{each.name}" for each in every)) or "nothing at all"
        plans = ", ".join(plan.key for plan in seen.plans)
        raise click.ClickException(f"no lane or class {name} of plan {plans}, which has {names}")
    return found


def _wanted(text: str) -> tuple[tuple[str, ...], str]:
    head, slash, rest = text.partition("/")
    kinds = {"lane": "lane", "lanes": "lane", "clane": "lane", "capacitylane": "lane", "class": "class"}
    kinds |= {"classes": "class", "wclass": "class", "workloadclass": "class"}
    if slash and head.lower() in kinds:
        return (kinds[head.lower()],), rest
    return ("lane", "class"), text


def _own(each: Explained) -> bool:
    lane = each.plan.lanes.get(each.name)
    return bool(each.why) or lane is None or lane.spec.self_hosted is not None


def _lanes(plan: PlanSeen) -> Iterator[Explained]:
    told = {lane.name: lane for lane in plan.status.lanes}
    for name in dict.fromkeys((*plan.plan.spec.lanes, *told)):
        lane = told.get(name, LaneStatus(name=name))
        move = None if lane.move is None else f"{lane.move.state.value}: {lane.move.message}"
        yield Explained(plan, "lane", name, lane.why or (), lane.message, lane_answer(plan, lane), move)


def _classes(plan: PlanSeen) -> Iterator[Explained]:
    told = {f"{each.namespace}/{each.name}": each for each in plan.status.classes}
    for key in dict.fromkeys((*told, *plan.classes)):
        namespace, _, name = key.partition("/")
        each = told.get(key, ClassStatus(name=name, namespace=namespace))
        yield Explained(plan, "class", key, each.why or (), None, class_answer(each))


def lane_answer(plan: PlanSeen, lane: LaneStatus) -> str:
    """The last line: how many, against how many now, and what decided it."""
    spec = plan.lanes.get(lane.name)
    if spec is not None and spec.spec.self_hosted is None:
        share = percent(lane.spill_percent)
        return f"Lane {lane.name} is hosted: {share if share != '-' else 'an unknown share'} of the plan's requests."
    held, guards = _step(lane.why, WhyStep.HELD), [step for step in lane.why or () if step.step is WhyStep.GUARD]
    now = "an unknown number" if lane.current is None else str(lane.current)
    if lane.recommended is None:
        why = "" if held is None else f": {held.text.rstrip('.')}"
        return f"No number is recommended, {now} stay{why}."
    number = count(lane.recommended)
    because = _because(lane, guards)
    if held is not None:
        why = held.text.rstrip(".")
        if lane.recommended == lane.current:
            return f"{number} as now: {why}."
        return f"{number} would be right{because}, {now} stay: {why}."
    if lane.recommended == lane.current:
        return f"{number}, as now{because}."
    verb = "wanted" if plan.plan.spec.mode is Mode.APPLY else "recommended"
    return f"{number} {verb}, {now} asked for now{because}."


def _because(lane: LaneStatus, guards: Sequence[WhyStatus]) -> str:
    cheapest = _step(lane.why, WhyStep.CHEAPEST)
    if cheapest is None or cheapest.value is None:
        return ""
    if guards and cheapest.value != str(lane.recommended):
        said = guards[-1].text.partition(": ")[2].rstrip(".")
        # Names such as GPU stay as they are.
        said = said[:1].lower() + said[1:] if said[1:2].islower() or said[1:2] == " " else said
        return f": {cheapest.value} would cost least, but {said}"
    if guards and guards[-1].text.startswith("binds: "):
        return f", which costs least within the bounds: {guards[-1].text.removeprefix('binds: ').rstrip('.')}"
    return ", which costs least"


def class_answer(each: ClassStatus) -> str:
    """The last line: the share, and why."""
    last = _step(each.why, WhyStep.OVERFLOW)
    held = _step(each.why, WhyStep.HELD)
    if last is None:
        return f"What share of {each.name} is hosted is not known: nothing has been decided on it."
    if held is not None and held.text != last.text:
        return f"{last.text} Nothing is changed now: {held.text}"
    return last.text


def _step(why: Sequence[WhyStatus] | None, kind: WhyStep) -> WhyStatus | None:
    return next((step for step in why or () if step.step is kind), None)


def _parts(found: Sequence[Explained], notes: Sequence[str], width: int) -> Iterator[RenderableType]:
    for position, each in enumerate(found):
        if position:
            yield Text("")
        yield from _one(each, width)
    for note in notes:
        yield paragraph(f"note: {note}", width, "yellow")


def _one(each: Explained, width: int) -> Iterator[RenderableType]:
    spec = each.plan.plan.spec
    mode = f"mode {spec.mode.value}{', paused' if spec.paused else ''}"
    where = f"{each.plan.namespace}/{each.name}" if each.kind == "lane" else each.name
    yield Text.assemble((f"{each.kind} {where}", "bold"), f" of plan {each.plan.key}, {mode}")
    silent = silent_seconds(each.plan.status, each.plan.now)
    if reported_at(each.plan.status) is None:
        yield paragraph("The operator has not reported on this plan yet: nothing is known.", width, "yellow")
        return
    if silent is not None:
        text = f"The operator has not reported for {duration(silent)}: this is what it said last."
        yield paragraph(text, width, "yellow")
    if not each.why and each.message:
        yield paragraph(each.message, width)
    for step in each.why:
        yield _line(step.step.value.lower(), _figure(step), step.text, width)
    if each.move is not None:
        yield _line("move", "", each.move, width)
    yield paragraph(f"=> {each.answer}", width, "bold")


def _figure(step: WhyStatus) -> str:
    if step.value is None:
        return "-"
    if step.unit is WhyUnit.USD_PER_HOUR:
        return f"{usd(step.value)}/h"
    if step.unit is WhyUnit.PERCENT:
        return percent(step.value)
    return f"{step.value} {SHOWN[step.unit]}".rstrip()


def _line(label: str, figure: str, text: str, width: int) -> Text:
    indent = 2 + LABEL + 1 + FIGURE + 2
    body = paragraph(text, max(width - indent, 20)).plain.replace("\n", "\n" + " " * indent)
    return Text.assemble(("  " + label.ljust(LABEL + 1), ""), (figure.rjust(FIGURE), "bold"), f"  {body}")
