"""The plan over what was found: mode Recommend, the lanes, the rules to adopt, a ceiling."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_UP, Decimal

from spillway.advise.figures import Figure, computed, given, plain
from spillway.advise.first.classes import Binding, ClassDraft
from spillway.advise.first.facts import World
from spillway.advise.first.lanes import HostedLane, OwnLane
from spillway.advise.first.text import Field, field

MAX_LANES = 32
TENTH = Decimal(10)
"""The first ceiling on hosted dollars, as a part of what the own GPUs cost: 1 over this."""
LEAST_CEILING = Decimal(1)


def fleet_cost(own: Sequence[OwnLane]) -> Figure:
    """What today's replicas cost, in US dollars an hour."""
    parts: list[Figure] = []
    total = Decimal(0)
    for lane in own:
        gpus = lane.workload.replicas * (lane.workload.gpus_per_replica or 1)
        count = given(f"GPUs of {lane.workload.key}", gpus, "GPUs", "its replicas and what its pods ask for")
        parts += [count, lane.price]
        total += count.value * lane.price.value
    return computed("today's GPUs", total, "USD/hour", "sum of GPUs x price", *parts)


def plan_spec(
    own: Sequence[OwnLane], hosted: Sequence[HostedLane], drafts: Sequence[ClassDraft], cost: Figure
) -> tuple[Field, ...]:
    """The spec of the CapacityPlan."""
    lanes = (*(lane.name for lane in own), *(lane.name for lane in hosted))
    spec = [
        field("mode", "Recommend", "Recommend changes nothing: it says in status what it would do. Apply comes after "
              "you have read its recommendations for a while."),
        field("lanes", lanes[:MAX_LANES]),
        _routing([each.binding for each in drafts if each.binding is not None], drafts),
    ]  # fmt: skip
    if hosted:
        spec.append(_overflow(cost))
    return tuple(spec)


def plan_notes(own: Sequence[OwnLane], drafts: Sequence[ClassDraft], cost: Figure, world: World) -> tuple[str, ...]:
    """What stands above the plan."""
    notes = [
        f"The GPUs of today's replicas cost ${cost.value:,.2f} an hour at the prices of the lanes.",
        "not known: what a missed SLO costs you (valueTiers), whether classes of other namespaces may come "
        "(allowedClasses). guards and forecast are left out: their defaults suit days and weeks as people live them.",
    ]
    conflicts = [lane.workload for lane in own if lane.workload.autoscaler]
    if conflicts:
        named = ", ".join(f"{each.key} ({each.autoscaler})" for each in conflicts)
        notes.append(f"Until these autoscalers are gone the plan will not be Ready, and still recommend: {named}.")
    if world.gateways_configured is False and any(each.rule is not None for each in drafts):
        notes.append(
            "The operator's configuration names no gateways, so that demand is read from engines alone. For the "
            "route's own counters: config.gateways: [{name: front, type: Envoy, role: Front}] in the chart's values."
        )
    return tuple(notes)


def _routing(bindings: Sequence[Binding], drafts: Sequence[ClassDraft]) -> Field:
    names = {id(each.binding): each.name for each in drafts if each.binding is not None}
    if not bindings:
        why = (
            "No rule was found that Spillway could adopt: replicas are recommended, traffic is not moved. "
            "docs/routing.md says what it takes."
        )
        return field("routing", (field("plane", "None"),), why)
    entries = tuple(_binding(each, names[id(each)]) for each in bindings)
    why = "Adopted: in mode Apply the weights of these rules, and nothing else of the routes, are Spillway's."
    return field("routing", (field("plane", "GatewayAPI"), field("bindings", entries)), why)


def _binding(binding: Binding, name: str) -> tuple[Field, ...]:
    rule = binding.rule
    gateways = f" on Gateway {', '.join(rule.gateways)}" if rule.gateways else ""
    services = [backend.name for _, backend in binding.backends]
    backends = tuple(
        field(lane, _backend_text(backend.kind, backend.name, backend.port, services.count(backend.name) > 1))
        for lane, backend in binding.backends
    )
    return (
        field("class", name, f"{rule.text}{gateways}."),
        field("ownership", "Adopted"),
        field("httpRoute", rule.route),
        field("rule", str(rule.name)),
        field("backends", backends),
    )


def _backend_text(kind: str, name: str, port: int | None, ambiguous: bool) -> str:
    text = name if kind == "Service" else f"{kind}/{name}"
    return f"{text}:{port}" if ambiguous and port else text


def _overflow(cost: Figure) -> Field:
    amount = max(LEAST_CEILING, (cost.value / TENTH).quantize(Decimal(1), ROUND_UP))
    ceiling = field(
        "perHour", plain(amount),
        f"not known: what overflow may cost. A tenth of today's GPUs (${cost.value:,.2f}/h), at least $1. perDay and "
        "perMonth need an egress gateway in the operator's configuration.",
    )  # fmt: skip
    return field("overflow", (field("mode", "Split"), field("ceilingUsd", (ceiling,))))
