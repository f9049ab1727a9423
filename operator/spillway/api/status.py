"""What the operator reports on its resources: bounded, with decimal strings."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field, JsonValue

from spillway.api.common import Model
from spillway.api.why import WHY_LIST, WhyStatus


class ConditionStatus(StrEnum):
    """Kubernetes' three-valued truth."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(Model):
    """A Kubernetes condition."""

    type: str = Field(max_length=316, description="Type of the condition, in CamelCase.")
    status: ConditionStatus = Field(description="True, False or Unknown.")
    observed_generation: int | None = Field(
        default=None, description="Generation of the spec that the condition speaks of."
    )
    last_transition_time: str = Field(
        max_length=32,
        json_schema_extra={"format": "date-time"},
        description="When the status last changed, RFC 3339.",
    )
    reason: str = Field(max_length=128, description="Machine reason, in CamelCase.")
    message: str = Field(max_length=1024, description="One sentence for people.")


class UtilizationStatus(Model):
    """Five separate figures, each a ratio; absent means not observed."""

    allocated: str | None = Field(
        default=None,
        max_length=16,
        description="GPUs requested by the lane's pods over GPUs allocatable (ratio).",
    )
    busy: str | None = Field(
        default=None,
        max_length=16,
        description="Share of time in which some kernel ran on the lane's GPUs (ratio).",
    )
    effective: str | None = Field(
        default=None,
        max_length=16,
        description="Larger of the used shares of peak compute and memory bandwidth (ratio).",
    )
    load: str | None = Field(
        default=None,
        max_length=16,
        description="Demand over what the Ready replicas serve within the SLO (ratio): what scaling is decided on.",
    )
    saturation: str | None = Field(
        default=None,
        max_length=16,
        description="Larger of KV cache use and waiting over running requests, at most 1 (ratio).",
    )


class MoveState(StrEnum):
    """Where a lane stands in the safe order of replicas and traffic."""

    SETTLED = "Settled"
    SCALING_OUT = "ScalingOut"
    WAITING_READY = "WaitingReady"
    SHIFTING_IN = "ShiftingIn"
    SHIFTING_AWAY = "ShiftingAway"
    DRAINING = "Draining"
    SCALING_IN = "ScalingIn"
    HELD = "Held"


class LaneMoveStatus(Model):
    """Where a lane stands in the safe order, as observed."""

    state: MoveState = Field(
        description="Settled: nothing to do; ScalingOut: replicas are added; WaitingReady: they start, their share "
        "stays elsewhere; ShiftingIn, ShiftingAway: traffic comes, goes; Draining: what runs ends; ScalingIn: traffic "
        "is away, replicas go; Held: the next step must wait for what the message names."
    )
    since: str = Field(
        max_length=32,
        json_schema_extra={"format": "date-time"},
        description="When the lane came into this state, RFC 3339.",
    )
    reason: str = Field(max_length=128, description="Machine reason.")
    message: str = Field(max_length=512, description="One sentence with the figures for people.")


class LaneStatus(Model):
    """One lane as decided on."""

    name: str = Field(max_length=63, description="Name of the CapacityLane.")
    current: int | None = Field(default=None, description="Replicas asked for now (spec of the target).")
    ready: int | None = Field(default=None, description="Replicas Ready now.")
    recommended: int | None = Field(default=None, description="Replicas that Spillway recommends.")
    gpus: int | None = Field(default=None, description="GPUs that the current replicas take.")
    recommended_gpus: int | None = Field(default=None, description="GPUs that the recommended replicas take.")
    spill_percent: str | None = Field(
        default=None,
        max_length=16,
        description="Share of the plan's requests that this hosted lane gets (percent).",
    )
    utilization: UtilizationStatus | None = Field(default=None, description="The five utilization figures.")
    usd_per_hour: str | None = Field(
        default=None, max_length=24, description="What the lane costs now, in US dollars an hour."
    )
    usd_per_m_tok: str | None = Field(
        default=None,
        alias="usdPerMTok",
        max_length=24,
        description="What the lane's tokens cost now, in US dollars per million.",
    )
    reason: str | None = Field(default=None, max_length=128, description="Machine reason of the lane's decision.")
    message: str | None = Field(
        default=None, max_length=512, description="One sentence on the lane's decision for people."
    )
    move: LaneMoveStatus | None = Field(
        default=None, description="Where the lane stands in the safe order; own lanes of plans in mode Apply only."
    )
    why: tuple[WhyStatus, ...] | None = Field(
        default=None,
        max_length=10,
        json_schema_extra=WHY_LIST,
        description="Why so many replicas, as a chain of figures in the order of deciding; absent for hosted lanes.",
    )


class TeamBudgetStatus(Model):
    """One team's part of a class's budget this month."""

    team: str = Field(max_length=128, description="Name of the team, as the gateway's team label has it.")
    spent_usd: str = Field(max_length=24, description="What the team has cost this month (UTC), in US dollars.")
    cap_usd: str | None = Field(default=None, max_length=24, description="Its cap, in US dollars a month.")


class ClassBudgetStatus(Model):
    """Where a class stands in its budget this month (UTC)."""

    reason: str = Field(max_length=128, description="Machine reason: how the class stands.")
    cap_usd: str | None = Field(
        default=None, max_length=24, description="The budget, declared or measured, in US dollars a month."
    )
    spent_usd: str = Field(max_length=24, description="What the class has cost this month, in US dollars.")
    hosted_usd: str = Field(max_length=24, description="The part of it that hosted lanes took, in US dollars.")
    own_usd: str = Field(max_length=24, description="The part of it that is its share of the GPU bill, in US dollars.")
    shared_usd: str | None = Field(
        default=None,
        max_length=24,
        description="What may be the class's or another's, in none of the other figures, in US dollars.",
    )
    projected_usd: str | None = Field(
        default=None, max_length=24, description="What the whole month is expected to cost, in US dollars."
    )
    projected_low_usd: str | None = Field(
        default=None, max_length=24, description="Lower end of the projection's band, in US dollars."
    )
    projected_high_usd: str | None = Field(
        default=None, max_length=24, description="Upper end of the projection's band, in US dollars."
    )
    pool_balance_usd: str | None = Field(
        default=None, max_length=24, description="What is left of the overflow pool, in US dollars."
    )
    teams: tuple[TeamBudgetStatus, ...] = Field(
        default=(),
        max_length=8,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["team"]},
        description="Teams with caps; the eight that have used most of theirs.",
    )


class ClassStatus(Model):
    """One class as observed."""

    name: str = Field(max_length=63, description="Name of the WorkloadClass.")
    namespace: str = Field(max_length=63, description="Namespace of the WorkloadClass.")
    attainment_percent: str | None = Field(
        default=None,
        max_length=16,
        description="Share of own-GPU requests that met the SLO lately, read from histograms (percent).",
    )
    requests_per_second: str | None = Field(default=None, max_length=24, description="Demand, in requests a second.")
    tokens_per_second: int | None = Field(default=None, description="Demand, in input and output tokens a second.")
    usd_per_hour: str | None = Field(
        default=None,
        max_length=24,
        description="Hosted dollars and the share of GPU dollars that the class causes, in US dollars an hour.",
    )
    spill_percent: str | None = Field(
        default=None,
        max_length=16,
        description="Share of the class that should go to hosted lanes (percent).",
    )
    budget: ClassBudgetStatus | None = Field(
        default=None, description="Where the class stands in its budget; absent without one."
    )
    why: tuple[WhyStatus, ...] | None = Field(
        default=None,
        max_length=6,
        json_schema_extra=WHY_LIST,
        description="Why hosted lanes should get this share, as a chain of figures.",
    )


class RouteStage(StrEnum):
    """How far the weights of a route have come."""

    WRITTEN = "Written"
    ACCEPTED = "Accepted"
    NOT_ACCEPTED = "NotAccepted"
    CONFIRMED = "Confirmed"
    NOT_CONFIRMED = "NotConfirmed"


class RouteStatus(Model):
    """One binding's weights: whether gateways have them, and whether traffic shows it."""

    class_: str = Field(max_length=63, alias="class", description="Name of the WorkloadClass.")
    stage: RouteStage = Field(
        description="Written: the apiserver has the weights; Accepted, NotAccepted: what the gateway says of them; "
        "Confirmed, NotConfirmed: what request counters show."
    )
    reason: str = Field(max_length=128, description="Machine reason.")
    message: str = Field(max_length=512, description="One sentence with the figures for people.")
    hosted_percent: str | None = Field(
        default=None,
        max_length=16,
        description="Share of the class's requests that hosted lanes serve, by counters (percent).",
    )


class LaneWeightStatus(Model):
    """One lane's weight in a route's rule."""

    lane: str = Field(max_length=63, description="Name of the CapacityLane.")
    now: int | None = Field(
        default=None, description="Weight in the rule now, as the rule has it; absent where it has none."
    )
    wanted: int = Field(description="Weight that the lane should have (percent).")


class RouteWeightsStatus(Model):
    """The weights of the rule that carries a class."""

    class_: str = Field(max_length=63, alias="class", description="Name of the WorkloadClass.")
    route: str = Field(max_length=253, description="Name of the route.")
    lanes: tuple[LaneWeightStatus, ...] = Field(
        default=(),
        max_length=32,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["lane"]},
        description="The weights by lane.",
    )


class TotalsStatus(Model):
    """Dollars of the whole plan, in US dollars an hour."""

    billed_usd_per_hour: str | None = Field(
        default=None,
        max_length=24,
        description="What the bill runs at now, in US dollars an hour: GPUs paid for and hosted tokens.",
    )
    allocated_usd_per_hour: str | None = Field(
        default=None,
        max_length=24,
        description="The part of the GPU bill that is in use, and hosted tokens, in US dollars an hour.",
    )
    static_usd_per_hour: str | None = Field(
        default=None,
        max_length=24,
        description="What the lanes' replicas.max would cost as a static fleet, in US dollars an hour.",
    )
    saving_usd_per_hour: str | None = Field(
        default=None,
        max_length=24,
        description="Static minus billed, in US dollars an hour; negative when Spillway costs more.",
    )
    expected_usd_per_hour: str | None = Field(
        default=None, max_length=24, description="What the recommendation is expected to cost, in US dollars an hour."
    )
    gpus: int | None = Field(default=None, description="GPUs now.")
    recommended_gpus: int | None = Field(default=None, description="GPUs recommended.")
    spill_percent: str | None = Field(
        default=None,
        max_length=16,
        description="Share of the plan's requests that hosted lanes get now (percent).",
    )


class DecisionStatus(Model):
    """The last decision."""

    at: str = Field(max_length=32, json_schema_extra={"format": "date-time"}, description="When it was made, RFC 3339.")
    reason: str = Field(max_length=128, description="Machine reason.")
    message: str = Field(max_length=1024, description="One sentence for people.")
    plan_hash: str = Field(max_length=64, description="Hash of what was decided.")
    valid_until: str = Field(
        max_length=32,
        json_schema_extra={"format": "date-time"},
        description="When the decision is stale unless renewed, RFC 3339.",
    )


CONDITIONS_LIST: dict[str, JsonValue] = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}


class CapacityPlanStatus(Model):
    """What the operator knows and decided; written on a transition, else at most once a minute."""

    observed_generation: int | None = Field(
        default=None, description="Generation of the spec that this status speaks of."
    )
    conditions: tuple[Condition, ...] = Field(
        default=(), max_length=16, json_schema_extra=CONDITIONS_LIST, description="Conditions of the plan."
    )
    lanes: tuple[LaneStatus, ...] = Field(
        default=(),
        max_length=32,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        description="The plan's lanes.",
    )
    classes: tuple[ClassStatus, ...] = Field(
        default=(),
        max_length=16,
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["namespace", "name"],
        },
        description="The plan's classes; the sixteen largest.",
    )
    routes: tuple[RouteStatus, ...] = Field(
        default=(),
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["class"]},
        description="The plan's bindings: how far their weights have come.",
    )
    weights: tuple[RouteWeightsStatus, ...] | None = Field(
        default=None,
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["class"]},
        description="The weights of the plan's rules, now and as they should be; absent where it has no rules.",
    )
    totals: TotalsStatus | None = Field(default=None, description="Dollars and GPUs of the whole plan.")
    decision: DecisionStatus | None = Field(default=None, description="The last decision.")


class SimpleStatus(Model):
    """Status of lanes and classes: whether the object can be used, and by which plan it is."""

    observed_generation: int | None = Field(
        default=None, description="Generation of the spec that this status speaks of."
    )
    conditions: tuple[Condition, ...] = Field(
        default=(), max_length=16, json_schema_extra=CONDITIONS_LIST, description="Conditions of the object."
    )
    plan: str | None = Field(
        default=None, max_length=317, description="The plan that decides on this object, as namespace/name."
    )
