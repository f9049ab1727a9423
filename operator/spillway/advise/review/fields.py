"""What every field of a spec is called in a review, its unit, and which way it loosens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Severity(StrEnum):
    """How much a reviewer should mind."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Bearing(StrEnum):
    """Which way a change goes."""

    LOOSENS = "loosens"
    """More may happen than before: more money, more places for data, more misses, less kept ready."""
    TIGHTENS = "tightens"
    NEUTRAL = "neutral"


class Unit(StrEnum):
    """How a value is written."""

    TEXT = "text"
    NUMBER = "number"
    USD = "usd"
    MS = "ms"
    SECONDS = "seconds"
    PERCENT = "percent"


@dataclass(frozen=True, slots=True)
class Words:
    """How a review speaks of one field."""

    label: str
    unit: Unit = Unit.TEXT
    per: str = ""
    """Behind the amount: "per million tokens", "an hour"."""
    absent: str = "none"
    """What it means when the field is not set."""
    order: tuple[str, ...] = ()
    """Of an enum: from tight to loose."""
    looser: str = ""
    """Of a number: "up" or "down"; absent counts as infinite where ``unbounded``."""
    unbounded: bool = False
    level: Severity = Severity.LOW
    """Where it loosens or goes neither way; one less where it tightens."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """By new value: what follows."""
    binds: bool = False
    """Of an object or an entry: whether having it restricts."""


LOW, MEDIUM, HIGH = Severity.LOW, Severity.MEDIUM, Severity.HIGH
MTOK = "per million tokens"

CLASS_FIELDS: Mapping[str, Words] = {
    "planRef": Words("plan", level=HIGH),
    "match": Words("traffic that counts as this class", level=HIGH),
    "latency": Words("latency", order=("Interactive", "Background", "Deferrable"), level=MEDIUM, notes={
        "Interactive": "people wait for it",
        "Background": "served within its objective, but moved to hosted lanes first",
        "Deferrable": "may wait for hours, and no GPU is kept for it",
    }),
    "slo": Words("objective", level=HIGH, binds=True),
    "slo.timeToFirstTokenMs": Words("time to first token, at most", Unit.MS, looser="up", level=MEDIUM),
    "slo.interTokenLatencyMs": Words("time between tokens, at most", Unit.MS, looser="up", level=MEDIUM),
    "slo.attainmentPercent": Words("share of requests within both limits", Unit.PERCENT, looser="down", level=MEDIUM),
    "dataPolicy": Words("data policy", order=("SelfHostedOnly", "Any"), level=HIGH),
    "equivalentModels": Words("models that may answer", level=MEDIUM),
    "valueTier": Words("value tier", level=MEDIUM),
    "demand": Words("declared demand"),
    "demand.developers": Words("declared developers", Unit.NUMBER),
    "demand.tasksPerDeveloperDay": Words("declared tasks per developer and day", Unit.NUMBER),
    "demand.tokensPerTask": Words("declared tokens per task", Unit.NUMBER),
    "demand.workdaysPerMonth": Words("declared workdays a month", Unit.NUMBER),
    "demand.inputSharePercent": Words("declared share of input tokens", Unit.PERCENT),
    "demand.cachedInputSharePercent": Words("declared share of input from the prompt cache", Unit.PERCENT),
    "demand.retryInflationPercent": Words("declared tokens added by retries", Unit.PERCENT),
    "demand.monthlyGrowthPercent": Words("declared growth a month", Unit.PERCENT),
    "successRatePercent": Words("share of tasks that succeed", Unit.PERCENT, absent="not known"),
    "revenuePerSuccessUsd": Words("worth of a successful task", Unit.USD, absent="not known"),
    "budget": Words("budget", absent="no budget", level=MEDIUM, binds=True),
    "budget.monthlyUsd": Words("budget", Unit.USD, "a month", looser="up", unbounded=True, level=MEDIUM),
    "budget.measuredPlusPercent": Words(
        "budget above the measured month", Unit.PERCENT, looser="up", unbounded=True, level=MEDIUM
    ),
    "budget.alertPercent": Words("share of the budget from which to warn", Unit.PERCENT, looser="up"),
    "budget.teamCaps[]": Words("budget of team", level=MEDIUM, binds=True),
    "budget.teamCaps[].team": Words("team"),
    "budget.teamCaps[].monthlyUsd": Words("cap", Unit.USD, "a month", looser="up", unbounded=True, level=MEDIUM),
    "budget.overflowPoolUsd": Words("pool for teams beyond their caps", Unit.USD, "a month", looser="up", level=MEDIUM),
}  # fmt: skip

LANE_FIELDS: Mapping[str, Words] = {
    "type": Words("type", level=HIGH),
    "models": Words("models served", level=MEDIUM),
    "selfHosted": Words("own GPUs", level=HIGH),
    "selfHosted.targetRef": Words("workload that is scaled", level=HIGH),
    "selfHosted.engine": Words("engine", level=MEDIUM),
    "selfHosted.gpu": Words("GPUs of a replica", level=MEDIUM),
    "selfHosted.gpu.type": Words("GPU type", level=MEDIUM),
    "selfHosted.gpu.perReplica": Words("GPUs of a replica", Unit.NUMBER, level=MEDIUM),
    "selfHosted.gpu.pool": Words("GPU pool", absent="none (bounded by its most replicas alone)", level=MEDIUM),
    "selfHosted.price": Words("GPU price", level=MEDIUM),
    "selfHosted.price.usdPerGpuHour": Words("GPU price", Unit.USD, "an hour", level=MEDIUM),
    "selfHosted.price.commitment": Words("GPUs are paid as", level=MEDIUM, notes={
        "OnDemand": "a released GPU stops costing",
        "Spot": "a released GPU stops costing, and the provider may take one back",
        "Reserved": "GPUs are paid whether used or not",
        "Owned": "GPUs are paid whether used or not",
    }),
    "selfHosted.price.releaseValueUsdPerGpuHour": Words(
        "worth of a released GPU", Unit.USD, "an hour", absent="by how it is paid (its price, or $0 where it is paid "
        "anyway)",
    ),
    "selfHosted.replicas": Words("replicas", level=MEDIUM),
    "selfHosted.replicas.min": Words("fewest replicas", Unit.NUMBER, looser="down", level=MEDIUM),
    "selfHosted.replicas.max": Words("most replicas", Unit.NUMBER, level=MEDIUM),
    "selfHosted.startupSeconds": Words(
        "start-up of a replica", Unit.SECONDS, absent="learned from its pods", level=MEDIUM
    ),
    "selfHosted.profile": Words("declared speed", absent="none (learned from the engine)", level=MEDIUM),
    "selfHosted.profile.alphaMs": Words("declared speed: each iteration takes", Unit.MS),
    "selfHosted.profile.betaMsPerSequence": Words("declared speed: each running sequence adds", Unit.MS),
    "selfHosted.profile.gammaMsPerKToken": Words("declared speed: 1,000 tokens in the KV cache add", Unit.MS),
    "selfHosted.profile.prefillMsPerKToken": Words("declared speed: 1,000 prompt tokens take", Unit.MS),
    "selfHosted.profile.maxSequences": Words("sequences that a replica runs at once", Unit.NUMBER),
    "selfHosted.profile.kvCacheTokens": Words("KV cache of a replica in tokens", Unit.NUMBER, absent="not a limit"),
    "hosted": Words("hosted API", level=HIGH),
    "hosted.provider": Words("provider", level=HIGH),
    "hosted.model": Words("the provider's model", level=MEDIUM),
    "hosted.price": Words("contract price", absent="none (dated list price)", level=MEDIUM),
    "hosted.price.inputUsdPerMTok": Words("input price", Unit.USD, MTOK, level=MEDIUM),
    "hosted.price.cachedInputUsdPerMTok": Words(
        "cached input price", Unit.USD, MTOK, absent="the input price", level=MEDIUM
    ),
    "hosted.price.outputUsdPerMTok": Words("output price", Unit.USD, MTOK, level=MEDIUM),
    "hosted.limits": Words("limits", absent="no limits", level=MEDIUM, binds=True),
    "hosted.limits.requestsPerMinute": Words(
        "requests a minute, at most", Unit.NUMBER, absent="no limit", looser="up", unbounded=True, level=MEDIUM
    ),
    "hosted.limits.tokensPerMinute": Words(
        "tokens a minute, at most", Unit.NUMBER, absent="no limit", looser="up", unbounded=True, level=MEDIUM
    ),
    "hosted.limits.concurrency": Words(
        "requests in flight, at most", Unit.NUMBER, absent="no limit", looser="up", unbounded=True, level=MEDIUM
    ),
    "hosted.latency": Words("declared latency", absent="unknown, taken as fast enough"),
    "hosted.latency.timeToFirstTokenMs": Words("declared time to first token", Unit.MS),
    "hosted.latency.interTokenLatencyMs": Words("declared time between tokens", Unit.MS),
}  # fmt: skip

PLAN_FIELDS: Mapping[str, Words] = {
    "mode": Words("mode", order=("Observe", "Recommend", "Apply"), level=HIGH, notes={
        "Observe": "the operator only measures, and changes nothing",
        "Recommend": "the operator says what it would do, and changes nothing",
        "Apply": "the operator changes replicas and traffic by itself",
    }),
    "paused": Words("paused", order=("yes", "no"), level=HIGH, notes={
        "yes": "nothing is changed, whatever the load", "no": "the operator acts again as its mode says",
    }),
    "allowedClasses": Words("whose classes it serves", level=MEDIUM),
    "allowedClasses.from": Words("classes allowed from", order=("Same", "Selector"), level=MEDIUM, notes={
        "Same": "the plan's own namespace", "Selector": "namespaces with certain labels",
    }),
    "allowedClasses.namespaceSelector": Words("namespaces whose classes it serves, by label", level=MEDIUM),
    "allowedClasses.namespaceSelector.matchLabels": Words("namespace labels", level=MEDIUM),
    "allowedClasses.namespaceSelector.matchLabels.*": Words("namespace label", level=MEDIUM, binds=True),
    "lanes": Words("lanes of the plan", level=MEDIUM),
    "valueTiers[]": Words("value tier", level=MEDIUM),
    "valueTiers[].name": Words("name"),
    "valueTiers[].missUsd": Words("cost of a missed request", Unit.USD, absent="nothing extra", level=MEDIUM),
    "valueTiers[].maxSpillUsdPerHour": Words(
        "most spent on hosted lanes", Unit.USD, "an hour", absent="the plan's ceiling alone", looser="up",
        unbounded=True, level=MEDIUM,
    ),
    "routing": Words("routing"),
    "routing.plane": Words("what moves traffic", level=HIGH, notes={"None": "only replicas are decided on"}),
    "routing.bindings[]": Words("route of class", level=MEDIUM),
    "routing.bindings[].class": Words("class"),
    "routing.bindings[].ownership": Words("ownership", level=MEDIUM, notes={
        "Managed": "Spillway writes the whole route", "Adopted": "Spillway moves only the weights of one rule",
    }),
    "routing.bindings[].httpRoute": Words("HTTP route", level=MEDIUM),
    "routing.bindings[].rule": Words("rule", level=MEDIUM),
    "routing.bindings[].gateway": Words("gateway", level=MEDIUM),
    "routing.bindings[].gateway.name": Words("gateway", level=MEDIUM),
    "routing.bindings[].gateway.namespace": Words("namespace of the gateway", absent="the plan's", level=MEDIUM),
    "routing.bindings[].gateway.sectionName": Words("listener", absent="every one that allows it", level=MEDIUM),
    "routing.bindings[].backends": Words("backends", level=MEDIUM),
    "routing.bindings[].backends.*": Words("backend of lane", level=MEDIUM),
    "routing.litellm": Words("LiteLLM proxy", level=MEDIUM),
    "routing.litellm.configMap": Words("ConfigMap of the proxy", level=MEDIUM),
    "routing.litellm.deployment": Words("Deployment of the proxy", level=MEDIUM),
    "routing.litellm.processesPerReplica": Words("processes of a proxy replica", Unit.NUMBER),
    "routing.litellm.addresses": Words("addresses of lanes", level=MEDIUM),
    "routing.litellm.addresses.*": Words("address of lane", level=MEDIUM),
    "overflow": Words("overflow"),
    "overflow.mode": Words("overflow", order=("Never", "Split", "Spill"), level=HIGH, notes={
        "Never": "nothing goes to hosted lanes, also when own GPUs are full",
        "Split": "the operator moves shares of the traffic to hosted lanes",
        "Spill": "the gateway sends a hosted lane each request that own GPUs refuse",
    }),
    "overflow.ceilingUsd": Words("ceiling of hosted spending", level=HIGH),
    "overflow.ceilingUsd.perHour": Words(
        "most spent on hosted lanes an hour", Unit.USD, absent="no ceiling", looser="up", unbounded=True, level=MEDIUM
    ),
    "overflow.ceilingUsd.perDay": Words(
        "most spent on hosted lanes a day", Unit.USD, absent="no ceiling", looser="up", unbounded=True, level=MEDIUM
    ),
    "overflow.ceilingUsd.perMonth": Words(
        "most spent on hosted lanes a month", Unit.USD, absent="no ceiling", looser="up", unbounded=True, level=MEDIUM
    ),
    "guards": Words("guards"),
    "guards.maxScaleUpPerMinute": Words("replicas added to a lane within a minute, at most", Unit.NUMBER, looser="up"),
    "guards.maxScaleDownPerMinute": Words(
        "replicas removed from a lane within a minute, at most", Unit.NUMBER, looser="up", level=MEDIUM
    ),
    "guards.scaleDownStabilizationSeconds": Words(
        "a lane goes down only after lower demand for", Unit.SECONDS, looser="down", level=MEDIUM
    ),
    "guards.manualOverrideSeconds": Words("a person's kubectl scale is respected for", Unit.SECONDS, looser="down"),
    "approval": Words("approval", level=MEDIUM),
    "approval.structural": Words("proposals of structural changes", level=MEDIUM, notes={
        "Required": "the operator proposes them, and a person approves each", "Off": "none is proposed",
    }),
    "approval.maxMonthlyIncreaseUsd": Words(
        "most that a proposed change may add to the bill a month", Unit.USD, absent="no limit", looser="up",
        unbounded=True, level=MEDIUM,
    ),
    "forecast": Words("forecast"),
    "forecast.seasonalitySeconds": Words("rhythms that the forecast looks for, in seconds"),
}  # fmt: skip

FIELDS: Mapping[str, Mapping[str, Words]] = {
    "WorkloadClass": CLASS_FIELDS,
    "CapacityLane": LANE_FIELDS,
    "CapacityPlan": PLAN_FIELDS,
}
"""By kind, then by the field's path below spec, with ``[]`` for an entry of a list and ``.*`` for one of a map."""

WHOLE = frozenset({"planRef", "match", "selfHosted.targetRef"})
"""Objects that are told as one."""


def words_of(kind: str, pattern: str) -> Words:
    """How to speak of the field; one that has no words is called by its path."""
    return FIELDS[kind].get(pattern) or Words(pattern, level=MEDIUM)
