"""Which lane answers for which model name, with which weight, order and limits.

Only models that a class names ever answer for it, and a model name that a SelfHostedOnly class asks for has no hosted
deployment, whoever else asks for it: LiteLLM sees the name and not the class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from spillway.act.litellm.limits import share
from spillway.act.litellm.names import is_plain, key_variable
from spillway.act.litellm.values import Decided, Deployment, ProxyRole, ProxySettings, Sending
from spillway.api import CapacityLane, CapacityPlan, DataPolicy, LaneType, LatencyClass, WorkloadClass
from spillway.api.providers import OWN_PROVIDER, PROVIDERS
from spillway.decide.snapshot import Finding, Severity


@dataclass(frozen=True, slots=True)
class _Name:
    """One model name with the class that it stands for."""

    name: str
    owner: WorkloadClass
    own_only: bool


@dataclass(frozen=True, slots=True)
class _Job:
    """Everything that one configuration is made from; lanes in the plan's order."""

    settings: ProxySettings
    decided: Decided
    lanes: tuple[CapacityLane, ...]


def asked_names(item: WorkloadClass) -> tuple[str, ...]:
    """Model names that the class's clients ask for: the one it matches by, else any that may answer for it."""
    wanted = item.spec.match.model
    return (wanted,) if wanted else item.spec.equivalent_models


def deployments(
    plan: CapacityPlan,
    classes: Sequence[WorkloadClass],
    lanes: Sequence[CapacityLane],
    settings: ProxySettings,
    decided: Decided,
) -> tuple[tuple[Deployment, ...], tuple[Finding, ...]]:
    """The deployments by model name and order of use, and what had to be left out."""
    by_name = {lane.metadata.name: lane for lane in lanes}
    job = _Job(settings, decided, tuple(by_name[name] for name in plan.spec.lanes if name in by_name))
    names, findings = _names(classes)
    findings += _unreachable(job)
    found = []
    for name in names:
        made = _of_name(name, job)
        found += made
        if not made:
            message = f"model {name.name} has no lane to go to and is answered with 400"
            findings.append(_class_finding(name.owner, "NoLane", message))
    limited, more = _limited(found, job)
    return tuple(sorted(limited, key=lambda d: (d.model_name, d.order or 0, d.lane))), (*findings, *more)


def _names(classes: Sequence[WorkloadClass]) -> tuple[list[_Name], list[Finding]]:
    """Each name once: a SelfHostedOnly class's before all others', then the oldest class's."""
    aged = sorted(
        classes,
        key=lambda c: (
            c.spec.data_policy is DataPolicy.ANY,
            c.metadata.creation_timestamp or "9999",
            c.metadata.uid,
            c.metadata.key,
        ),
    )
    taken: dict[str, _Name] = {}
    findings = []
    for item in aged:
        own_only = item.spec.data_policy is not DataPolicy.ANY
        for name in asked_names(item):
            if not is_plain(name):
                findings.append(_class_finding(item, "ModelNameRefused", f"LiteLLM would not take {name!r} as a name"))
            elif name not in taken:
                taken[name] = _Name(name, item, own_only)
            elif taken[name].own_only and not own_only:
                other = taken[name].owner.metadata.key
                message = (
                    f"model {name} stays on own lanes, because SelfHostedOnly WorkloadClass {other} asks for it, too; "
                    "give one of them another model name (spec.match.model)"
                )
                findings.append(_class_finding(item, "DataPolicyShared", message))
            elif not own_only:
                message = f"model {name} is WorkloadClass {taken[name].owner.metadata.key}'s already; set spec.match"
                findings.append(_class_finding(item, "ModelNameTaken", message))
    return [taken[name] for name in sorted(taken)], findings


def _class_finding(item: WorkloadClass, reason: str, message: str) -> Finding:
    key = item.metadata.key
    return Finding(Severity.WARNING, reason, f"WorkloadClass {key}: {message}", f"WorkloadClass/{key}")


def _lane_finding(lane: CapacityLane, reason: str, message: str) -> Finding:
    key = lane.metadata.key
    return Finding(Severity.WARNING, reason, f"CapacityLane {key}: {message}", f"CapacityLane/{key}")


def _unreachable(job: _Job) -> list[Finding]:
    """Lanes that LiteLLM could not reach."""
    findings = []
    for lane in job.lanes:
        own = lane.spec.type is LaneType.SELF_HOSTED
        if own and job.settings.role is ProxyRole.FRONT and not job.settings.addresses.get(lane.metadata.name):
            message = "the proxy has no address for it; name the Service of its engines in the plan's binding"
            findings.append(_lane_finding(lane, "AddressMissing", message))
        if lane.spec.hosted is not None and not is_plain(lane.spec.hosted.model):
            findings.append(_lane_finding(lane, "ModelNameRefused", "LiteLLM would not take spec.hosted.model"))
        elif lane.spec.hosted is not None and not _hosted_model(lane, job.settings):
            message = (
                f"LiteLLM knows no provider {lane.spec.hosted.provider!r} with one API key; use one of "
                f"{', '.join(sorted(PROVIDERS))}, or give the lane an address of an OpenAI-style API"
            )
            findings.append(_lane_finding(lane, "ProviderUnknown", message))
    return findings


def _hosted_model(lane: CapacityLane, settings: ProxySettings) -> str:
    """LiteLLM's name of the lane's model; empty when it has none."""
    hosted = lane.spec.hosted
    if hosted is None or not is_plain(hosted.model):
        return ""
    known = PROVIDERS.get(hosted.provider)
    if known is None and settings.addresses.get(lane.metadata.name):
        known = "openai"
    return f"{known}/{hosted.model}" if known else ""


def _of_name(name: _Name, job: _Job) -> list[Deployment]:
    own = [made for lane in job.lanes if (made := _own(name, lane, job)) is not None]
    hosted = [made for lane in _in_order(job) if (made := _hosted(name, lane, job)) is not None]
    if job.settings.role is ProxyRole.EGRESS:
        return _shared(hosted, name, job) or _ordered(hosted)
    if job.decided.sending is Sending.SPILL:
        serving = [made for made in own if job.decided.in_flight.get(made.lane) != 0]
        return _ordered([*(serving if hosted else own), *hosted])
    # A deployment with weight 0 would still get what others refuse: only those with a share are written.
    # Where nothing is decided yet own lanes serve; a class without any is served all the same.
    return _shared([*own, *hosted], name, job) or [replace(made, weight=1) for made in own] or _ordered(hosted)


def _in_order(job: _Job) -> list[CapacityLane]:
    order = {name: index for index, name in enumerate(job.decided.hosted_order)}
    return sorted(job.lanes, key=lambda lane: order.get(lane.metadata.name, len(order)))


def _ordered(found: Sequence[Deployment]) -> list[Deployment]:
    return [replace(made, order=index) for index, made in enumerate(found, start=1)]


def _shared(found: Sequence[Deployment], name: _Name, job: _Job) -> list[Deployment]:
    """Those with a share, by weight; none when nobody has decided."""
    if job.decided.sending is not Sending.SPLIT:
        return []
    weights = job.decided.weights.get(name.owner.metadata.key, {})
    return [replace(made, weight=weights[made.lane]) for made in found if weights.get(made.lane, 0) > 0]


def _answering(name: _Name, lane: CapacityLane) -> str | None:
    """The model of the lane that answers: the one asked for, else the first that the class prefers."""
    models = lane.spec.models
    wanted = [name.name] if name.name in name.owner.spec.equivalent_models else []
    return next((model for model in (*wanted, *name.owner.spec.equivalent_models) if model in models), None)


def _own(name: _Name, lane: CapacityLane, job: _Job) -> Deployment | None:
    address = job.settings.addresses.get(lane.metadata.name, "")
    model = _answering(name, lane)
    if lane.spec.type is not LaneType.SELF_HOSTED or model is None or not address:
        return None
    if job.settings.role is ProxyRole.EGRESS or not is_plain(model):
        return None
    return Deployment(name.name, lane.metadata.name, False, f"{OWN_PROVIDER}/{model}", address)


def _hosted(name: _Name, lane: CapacityLane, job: _Job) -> Deployment | None:
    flex = lane.spec.type is LaneType.FLEX
    if name.own_only or name.owner.spec.data_policy is not DataPolicy.ANY or job.decided.sending is Sending.NEVER:
        return None
    if lane.spec.type not in (LaneType.HOSTED_REALTIME, LaneType.FLEX) or _answering(name, lane) is None:
        return None
    # Flex may wait for minutes, or refuse.
    if flex and name.owner.spec.latency is LatencyClass.INTERACTIVE:
        return None
    model = _hosted_model(lane, job.settings)
    if not model:
        return None
    lane_name = lane.metadata.name
    address = job.settings.addresses.get(lane_name, "")
    return Deployment(name.name, lane_name, True, model, address, key_variable(lane_name), flex=flex)


def _limited(found: Sequence[Deployment], job: _Job) -> tuple[list[Deployment], list[Finding]]:
    """With each lane's limits, shared out over the names and the processes that use it."""
    limited, findings = [], list[Finding]()
    names = {lane: sum(made.lane == lane for made in found) for lane in {made.lane for made in found}}
    lanes = {lane.metadata.name: lane for lane in job.lanes}
    for made in found:
        parts = names[made.lane] * job.settings.processes
        if not made.hosted:
            cap = job.decided.in_flight.get(made.lane) if job.decided.sending is Sending.SPILL else None
            limited.append(replace(made, max_parallel_requests=share(cap or None, parts)))
            if cap and cap < parts:
                message = (
                    f"its cap of {cap} requests in flight becomes {parts}, one for each of {names[made.lane]} model "
                    f"names in each of {job.settings.processes} proxy processes; run fewer processes"
                )
                findings.append(_lane_finding(lanes[made.lane], "CapBelowProcesses", message))
            continue
        hosted, armed = lanes[made.lane].spec.hosted, job.decided.armed.get(made.lane)
        own = hosted.limits if hosted else None
        tokens = [each.tokens_per_minute for each in (own, armed) if each and each.tokens_per_minute is not None]
        requests = [each.requests_per_minute for each in (own, armed) if each and each.requests_per_minute is not None]
        limited.append(
            replace(
                made,
                max_parallel_requests=share(own.concurrency if own else None, parts),
                tokens_per_minute=share(min(tokens, default=None), parts),
                requests_per_minute=share(min(requests, default=None), parts),
            )
        )
    return limited, list(dict.fromkeys(findings))
