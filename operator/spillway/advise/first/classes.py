"""Classes out of what was found: by named route rules that carry own workloads, the rest by model."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from spillway.advise.first.demand import SuggestedSlo, suggest, told
from spillway.advise.first.facts import Backend, Counted, Found, Rule, TeamShare
from spillway.advise.first.lanes import HostedLane, Names, OwnLane
from spillway.advise.first.text import Field, field

MAX_BINDINGS = 16
SHOWN_TEAMS = 5
POOL = "InferencePool"


@dataclass(frozen=True, slots=True)
class Binding:
    """Which rule carries a class."""

    rule: Rule
    backends: tuple[tuple[str, Backend], ...]
    """Lane name to backend."""


@dataclass(frozen=True, slots=True)
class ClassDraft:
    """A proposed class."""

    name: str
    models: tuple[str, ...]
    """Own models that answer for it."""
    lanes: tuple[OwnLane, ...]
    hosted: tuple[HostedLane, ...]
    """Hosted lanes that could take its overflow: of the same model."""
    rule: Rule | None
    counted: Counted | None
    slo: SuggestedSlo
    binding: Binding | None
    notes: tuple[str, ...]
    """Why it is matched and bound as it is."""


def draft(
    found: Found, own: Sequence[OwnLane], hosted: Sequence[HostedLane], names: Names
) -> tuple[tuple[ClassDraft, ...], tuple[str, ...]]:
    """The classes of one namespace, and what of its routes could not be used."""
    drafts: list[ClassDraft] = []
    problems: list[str] = []
    for rule in found.rules:
        lanes = _lanes_of(rule, own)
        pools = [each.name for each in rule.backends if each.kind == POOL]
        if pools:
            problems.append(f"{rule.text}: it leads to InferencePool {pools[0]}, whose weights Spillway does not move")
        elif lanes:
            problem = rule_problem(rule, {lane.workload.key for lane in lanes}, len(drafts))
            if problem is None:
                drafts.append(_by_rule(rule, lanes, hosted, names))
            else:
                problems.append(f"{rule.text}: {problem}")
    covered = {(lane.name, model) for each in drafts for lane in each.lanes for model in each.models}
    drafts += _by_model(own, hosted, covered, names)
    return tuple(drafts), tuple(problems)


def rule_problem(rule: Rule, mine: Collection[str], bound: int) -> str | None:
    """Why Spillway can't adopt the rule; None where it can. ``mine``: workloads with a proposed lane."""
    if rule.generated is not None:
        return f"it is made by {rule.generated}, which would take weights back"
    if rule.name is None:
        return "it has no name; give it one (spec.rules[].name), then a binding can adopt it"
    if not _label(rule.name) or not _label(rule.route):
        return "its name or its route's has a dot or is longer than 63 characters; match.routeRule can't name it"
    dotted = [each.name for each in rule.backends if "." in each.name]
    if dotted:
        return f"a binding can't name {dotted[0]}, which has a dot"
    for each in rule.backends:
        if each.weight > 0 and (each.kind not in ("Service", "Backend") or not each.same_namespace):
            return f"{each.kind} {each.name} is no Service or Backend of its namespace"
        if each.weight > 0 and each.workload is None and each.proxy is None:
            return f"it also sends traffic to {each.kind} {each.name}, behind which no engine was found"
        if each.weight > 0 and each.workload is not None and each.workload not in mine:
            return f"it also sends traffic to {each.workload}, which has a lane already"
    return None if bound < MAX_BINDINGS else f"a plan takes {MAX_BINDINGS} bindings"


def _label(name: str) -> bool:
    return len(name) <= 63 and "." not in name


def _lanes_of(rule: Rule, own: Iterable[OwnLane]) -> tuple[OwnLane, ...]:
    behind = {each.workload for each in rule.backends if each.workload is not None}
    return tuple(lane for lane in own if lane.workload.key in behind)


def _by_rule(rule: Rule, lanes: tuple[OwnLane, ...], hosted: Sequence[HostedLane], names: Names) -> ClassDraft:
    models = _models(lanes)
    fitting = _same_model(models, hosted)
    pairs = [
        (lane.name, each) for each in rule.backends for lane in lanes if each.workload == lane.workload.key
    ]  # fmt: skip
    notes = []
    left: list[Backend] = []
    for each in rule.backends:
        if each.workload is not None:
            continue
        lane = next((one for one in fitting if each.proxy is not None and one.model.proxy == each.proxy), None)
        if lane is not None and lane.name not in dict(pairs):
            pairs.append((lane.name, each))
        else:
            left.append(each)
    active = [each for each in left if each.weight > 0]
    binding: Binding | None = Binding(rule, tuple(pairs))
    if len(dict(pairs)) < len(pairs):
        notes.append("Two backends of the rule lead to one workload, so that no binding is proposed.")
        binding = None
    elif active:
        notes.append(
            f"Not bound: the rule sends {_share(active, rule)} of its traffic to {active[0].name}, for which no lane "
            "with the same model and a price was found. Write that lane, then bind the rule in the plan."
        )
        binding = None
    counted = _rule_counted(rule, lanes, models)
    name = names.give(str(rule.name), f"{rule.route}-{rule.name}")
    used = tuple(lane for lane in fitting if any(lane.name == lane_name for lane_name, _ in pairs)) or fitting
    slo = suggest([each.latency for lane in lanes for each in lane.workload.models], _engine_source(lanes))
    return ClassDraft(name, models, lanes, used, rule, counted, slo, binding, tuple(notes))


def _share(backends: Sequence[Backend], rule: Rule) -> str:
    total = sum(each.weight for each in rule.backends)
    return f"{100 * sum(each.weight for each in backends) / total:.0f}%" if total else "some"


def _rule_counted(rule: Rule, lanes: Sequence[OwnLane], models: Sequence[str]) -> Counted | None:
    """The rule's own requests, with the engines' tokens a request where only they count tokens."""
    engines = _sum([each.counted for lane in lanes for each in lane.workload.models if each.name in models])
    if rule.counted is None or rule.counted.requests <= 0:
        return engines
    if engines is None or engines.requests <= 0 or engines.input_tokens is None or engines.output_tokens is None:
        return rule.counted
    scale = rule.counted.requests / engines.requests
    return replace(
        rule.counted,
        input_tokens=engines.input_tokens * scale,
        output_tokens=engines.output_tokens * scale,
        cached_tokens=None if engines.cached_tokens is None else engines.cached_tokens * scale,
        source=f"{rule.counted.source}, tokens a request by {engines.source}",
    )


def _by_model(
    own: Sequence[OwnLane], hosted: Sequence[HostedLane], covered: set[tuple[str, str]], names: Names
) -> list[ClassDraft]:
    left: dict[str, list[OwnLane]] = {}
    for lane in own:
        for served in lane.workload.models:
            if (lane.name, served.name) not in covered:
                left.setdefault(served.name, []).append(lane)
    drafts = []
    for model, lanes in left.items():
        parts = [each for lane in lanes for each in lane.workload.models if each.name == model]
        drafts.append(
            ClassDraft(
                names.give(model, f"model-{model}"),
                (model,),
                tuple(lanes),
                _same_model((model,), hosted),
                None,
                _sum([each.counted for each in parts]),
                suggest([each.latency for each in parts], _engine_source(lanes)),
                None,
                (),
            )
        )
    return drafts


def _models(lanes: Iterable[OwnLane]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each.name for lane in lanes for each in lane.workload.models))


def _same_model(models: Sequence[str], hosted: Iterable[HostedLane]) -> tuple[HostedLane, ...]:
    """Hosted lanes that clients ask for by the same model's name: only then is the model known to be the same."""
    return tuple(lane for lane in hosted if set(lane.model.served_as) & set(models))


def _engine_source(lanes: Sequence[OwnLane]) -> str:
    return f"histograms of {', '.join(lane.workload.key for lane in lanes)}"


def _sum(parts: Iterable[Counted | None]) -> Counted | None:
    known = [each for each in parts if each is not None]
    if not known:
        return None
    if len(known) == 1:
        return known[0]

    def total(name: str) -> float | None:
        values = [getattr(each, name) for each in known]
        return None if any(value is None for value in values) else sum(values)

    return Counted(
        seconds=max(each.seconds for each in known),
        requests=sum(each.requests for each in known),
        peak_requests_per_second=sum(each.peak_requests_per_second for each in known),
        input_tokens=total("input_tokens"),
        output_tokens=total("output_tokens"),
        cached_tokens=total("cached_tokens"),
        source=" and ".join(dict.fromkeys(each.source for each in known)),
    )


def class_spec(each: ClassDraft, plan: str) -> tuple[Field, ...]:
    """The spec of a WorkloadClass."""
    return (
        field("planRef", (field("name", plan),)),
        _match(each),
        field("latency", "Interactive", "not known: whether people wait, or how long work may. Background spills "
              "first, Deferrable may wait for hours and needs no slo."),
        field("slo", (
            field("timeToFirstTokenMs", each.slo.ttft_ms), field("interTokenLatencyMs", each.slo.itl_ms),
            field("attainmentPercent", each.slo.attainment)), each.slo.why),
        field("dataPolicy", "SelfHostedOnly", *_policy_notes(each)),
        field("equivalentModels", each.models[:16], _equivalents_note(each)),
    )  # fmt: skip


def _match(each: ClassDraft) -> Field:
    if each.rule is not None:
        place = (field("route", each.rule.route), field("rule", str(each.rule.name)))
        weights = ", ".join(f"{one.name} {one.weight}" for one in each.rule.backends)
        return field("match", (field("routeRule", place),), f"{each.rule.text} leads to its engines ({weights}).")
    note = "Everything that asks for this model. No named route rule carries it alone."
    return field("match", (field("model", each.models[0]),), note)


def _policy_notes(each: ClassDraft) -> tuple[str, ...]:
    unknown = "not known: whether its data may leave. Closed until somebody who may decide says otherwise."
    if not each.hosted:
        return (f"{unknown} No hosted lane with the same model was found, so that nothing could spill either way.",)
    where = ", ".join(f"{lane.name} ({lane.model.provider})" for lane in each.hosted)
    notes = [f"{unknown} For overflow to {where}: dataPolicy: Any."]
    leaving = [one for one in (each.rule.backends if each.rule else ()) if one.proxy is not None and one.weight > 0]
    if leaving and each.rule is not None:
        notes.append(
            f"Today the rule already sends {_share(leaving, each.rule)} of its traffic out by {leaving[0].name}."
        )
    return tuple(notes)


def _equivalents_note(each: ClassDraft) -> str:
    if each.hosted:
        names = ", ".join(lane.model.model for lane in each.hosted)
        return f"The same name at the hosted lane ({names}). not known: whether quantization or version differ."
    return "not known: whether another model answers as well; add it here once somebody has judged it."


def class_notes(each: ClassDraft, teams: Sequence[TeamShare]) -> tuple[str, ...]:
    """What stands above the class."""
    return (
        *told(each.counted),
        *team_notes(each, teams),
        *each.notes,
        "not known: demand (developers, tasks), successRatePercent, revenuePerSuccessUsd, valueTier; left out. A "
        "budget can start as budget: {measuredPlusPercent: 20} once one or two weeks are measured.",
    )


def team_notes(each: ClassDraft, teams: Sequence[TeamShare]) -> tuple[str, ...]:
    """Who asks for the class's models, by a gateway's team labels."""
    mine = [one for one in teams if one.model in each.models and one.requests > 0]
    if not mine:
        return ()
    total = sum(one.requests for one in mine)
    largest = sorted(mine, key=lambda one: -one.requests)[:SHOWN_TEAMS]
    shares = ", ".join(f"{one.team} {100 * one.requests / total:.0f}%" for one in largest)
    more = f" and {len(mine) - len(largest)} more" if len(mine) > len(largest) else ""
    return (f"Requests by team, as LiteLLM's labels have them: {shares}{more}. One class each: match: {{team: NAME}}.",)
