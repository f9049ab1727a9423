"""``spillway status``: how each plan stands, and whether somebody has to do something."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from spillway.api import ClassStatus, LaneChange
from spillway.cli.output import Form, print_json
from spillway.cli.view.judge import Finding, findings, waiting
from spillway.cli.view.reporting import reported_at, silent_seconds
from spillway.cli.view.rows import LaneRow, lane_rows
from spillway.cli.view.text import amount, duration, grid, labelled, number, percent, ratio, show, usd, width_of
from spillway.cli.view.world import PlanSeen, Seen

CEILING_REASONS = ("WithinCeilings", "CeilingNear", "CeilingReached", "RateOnly")


def status_command(seen: Seen, form: Form) -> int:
    """Print; 1 where something needs a person, else 0."""
    told = [(plan, findings(plan)) for plan in seen.plans]
    if form.as_json:
        print_json({"plans": [document(plan, found) for plan, found in told], "notes": list(seen.notes)})
    else:
        show(form, _parts(told, seen.notes, width_of(form)))
    return int(any(each.person for _, found in told for each in found))


def document(plan: PlanSeen, found: tuple[Finding, ...]) -> dict[str, Any]:
    """One plan for programs; docs/kubectl.md names the keys."""
    status, at = plan.status, reported_at(plan.status)
    return {
        "namespace": plan.namespace,
        "name": plan.plan.metadata.name,
        "mode": plan.plan.spec.mode.value,
        "paused": plan.plan.spec.paused,
        "stopped": plan.stopped,
        "needsPerson": any(each.person for each in found),
        "reportedSecondsAgo": None if at is None else round(max(0.0, plan.now - at)),
        "operatorSilent": silent_seconds(status, plan.now) is not None,
        "generation": plan.plan.metadata.generation,
        "observedGeneration": status.observed_generation,
        "lanes": [row.document() for row in lane_rows(plan)],
        "classes": [_class_document(each) for each in status.classes],
        "totals": None if status.totals is None else status.totals.to_wire(),
        "ceilings": _ceilings(plan),
        "waiting": [change_document(change) for change in waiting(plan)],
        "findings": [finding_document(each) for each in found],
    }


def finding_document(each: Finding) -> dict[str, Any]:
    """A finding for programs."""
    return {
        "subject": each.subject,
        "reason": each.reason,
        "message": each.message,
        "wayOut": each.way_out,
        "needsPerson": each.person,
    }


def change_document(change: LaneChange) -> dict[str, Any]:
    """A proposal for programs."""
    return {
        "name": change.metadata.name,
        "reason": change.spec.reason.value,
        "message": change.spec.message,
        "usdPerMonth": str(change.spec.effect.usd_per_month),
        "expiresAt": change.spec.expires_at,
    }


def _class_document(each: ClassStatus) -> dict[str, Any]:
    return {
        "namespace": each.namespace,
        "name": each.name,
        "hostedPercent": each.spill_percent,
        "budget": None if each.budget is None else each.budget.to_wire(),
    }


def _parts(
    told: list[tuple[PlanSeen, tuple[Finding, ...]]], notes: tuple[str, ...], width: int
) -> Iterator[RenderableType]:
    for position, (plan, found) in enumerate(told):
        if position:
            yield Text("")
        yield from _plan(plan, found, width)
    if notes:
        yield Text("")
    for note in notes:
        yield labelled("note", note, width, "yellow")


def _plan(plan: PlanSeen, found: tuple[Finding, ...], width: int) -> Iterator[RenderableType]:
    yield headline(plan, found)
    if rows := lane_rows(plan):
        headings = ("  LANE", "NOW", "READY", "WANTED", "LOAD", "HOSTED", "$/H")
        yield grid(headings, ((f"  {row.name}", *_cells(row)) for row in rows))
    for label, text in (
        ("  cost", _cost(plan)),
        ("  hosted", _hosted(plan)),
        ("  ceilings", _ceilings(plan)),
        ("  budgets", _budgets(plan)),
        ("  decided", _decided(plan)),
    ):
        if text:
            yield labelled(label, text, width)
    for each in found:
        yield labelled("  ACT" if each.person else "  note", each.sentence(), width, "red" if each.person else "yellow")


def headline(plan: PlanSeen, found: tuple[Finding, ...]) -> Text:
    """The plan, its mode, the verdict and the age of what is told."""
    spec, person = plan.plan.spec, sum(each.person for each in found)
    mode = f"{spec.mode.value}{', paused' if spec.paused else ''}"
    verdict = "healthy" if not person else f"{person} {'thing needs' if person == 1 else 'things need'} a person"
    at = reported_at(plan.status)
    age = "" if at is None else f", reported {duration(plan.now - at)} ago"
    return Text.assemble((plan.key, "bold"), f"  {mode}  ", (verdict, "bold red" if person else "green"), age)


def _cells(row: LaneRow) -> tuple[str, ...]:
    return (
        number(row.current),
        number(row.ready),
        number(row.recommended),
        ratio(row.load),
        percent(row.hosted_percent),
        usd(row.usd_per_hour),
    )


def _cost(plan: PlanSeen) -> str:
    totals = plan.status.totals
    billed = None if totals is None else amount(totals.billed_usd_per_hour)
    if totals is None or billed is None:
        return "" if totals is None else "not known"
    text = f"{usd(totals.billed_usd_per_hour)} an hour"
    saving = amount(totals.saving_usd_per_hour)
    if saving is not None:
        than = "less" if saving >= 0 else "more"
        text += f", {usd(str(abs(saving)))} {than} than all lanes at their max ({usd(totals.static_usd_per_hour)})"
    if amount(totals.expected_usd_per_hour) is not None:
        text += f"; {usd(totals.expected_usd_per_hour)} expected with what is recommended"
    return text


def _hosted(plan: PlanSeen) -> str:
    totals = plan.status.totals
    if totals is None or totals.spill_percent is None:
        return ""
    return f"{percent(totals.spill_percent)} of the requests"


def _ceilings(plan: PlanSeen) -> str | None:
    """What the operator says of ceilings, where it is not told as a finding."""
    found = next((each for each in plan.status.conditions if each.type == "BudgetAtRisk"), None)
    return found.message if found is not None and found.reason in CEILING_REASONS else None


def _budgets(plan: PlanSeen) -> str:
    parts = []
    for each in plan.status.classes:
        budget = each.budget
        if budget is None:
            continue
        cap = "" if budget.cap_usd is None else f" of {usd(budget.cap_usd)}"
        projected = "" if budget.projected_usd is None else f", {usd(budget.projected_usd)} expected"
        parts.append(f"{each.name} {usd(budget.spent_usd)}{cap} this month{projected}")
    return "; ".join(parts)


def _decided(plan: PlanSeen) -> str:
    decision = plan.status.decision
    return "" if decision is None else decision.message
