"""CapacityPlan: the contract between platform team, application teams and the operator."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field

from spillway.api.common import DecimalText, Model, Name, ObjectMeta, ObjectName, TierName
from spillway.api.litellm import LiteLLMProxy
from spillway.api.status import CapacityPlanStatus


class Mode(StrEnum):
    """What the operator may do."""

    OBSERVE = "Observe"
    RECOMMEND = "Recommend"
    APPLY = "Apply"


class RoutingPlane(StrEnum):
    """What moves traffic between lanes."""

    NONE = "None"
    GATEWAY_API = "GatewayAPI"
    LITELLM = "LiteLLM"
    ENVOY_AI_GATEWAY = "EnvoyAIGateway"

    @property
    def has_routes(self) -> bool:
        """Whether it moves the routes that bindings name."""
        return self in (RoutingPlane.GATEWAY_API, RoutingPlane.ENVOY_AI_GATEWAY)


class Ownership(StrEnum):
    """Who owns the HTTPRoute of a binding."""

    MANAGED = "Managed"
    ADOPTED = "Adopted"


class OverflowMode(StrEnum):
    """How work leaves own GPUs."""

    SPILL = "Spill"
    SPLIT = "Split"
    NEVER = "Never"


class AllowedFrom(StrEnum):
    """Whose classes a plan accepts."""

    SAME = "Same"
    SELECTOR = "Selector"


class NamespaceSelector(Model):
    """Namespaces by label."""

    match_labels: dict[str, Annotated[str, Field(max_length=63)]] = Field(
        min_length=1,
        max_length=16,
        description="Labels that a namespace must all carry.",
    )


class AllowedClasses(Model):
    """Whose WorkloadClasses the plan accepts."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                {
                    "rule": "(has(self.from) && self.from == 'Selector') == has(self.namespaceSelector)",
                    "message": "namespaceSelector belongs to from: Selector, and is required there",
                }
            ]
        }
    )

    from_: AllowedFrom = Field(
        default=AllowedFrom.SAME,
        alias="from",
        description="Same: classes of the plan's namespace; Selector: of namespaces that match namespaceSelector. "
        "Default: Same.",
    )
    namespace_selector: NamespaceSelector | None = Field(
        default=None, description="Which namespaces; required with from: Selector, else absent."
    )


class ValueTier(Model):
    """What a miss costs and what may be spent to avoid one."""

    name: TierName = Field(description="Name that classes refer to by valueTier.")
    miss_usd: DecimalText | None = Field(
        default=None,
        description="What one request that misses its SLO costs, in US dollars. Default: nothing extra.",
    )
    max_spill_usd_per_hour: DecimalText | None = Field(
        default=None,
        description="Most that the classes of this tier may spend on hosted lanes together, in US dollars an hour. "
        "Default: the plan's ceiling alone.",
    )


class ParentGateway(Model):
    """The Gateway that a managed HTTPRoute attaches to."""

    name: ObjectName = Field(description="Name of the Gateway.")
    namespace: Name | None = Field(default=None, description="Namespace of the Gateway. Default: the plan's namespace.")
    section_name: Name | None = Field(
        default=None, description="Name of the listener. Default: every listener that allows the route."
    )


BackendText = Annotated[
    str,
    Field(
        min_length=1,
        max_length=253,
        pattern=r"^((Service|Backend)/)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(:[0-9]{1,5})?$",
    ),
]


class Binding(Model):
    """Which route rule carries a class, and which of its backends stands for which lane."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                {
                    "rule": "self.ownership != 'Managed' || has(self.gateway)",
                    "message": "a Managed binding needs gateway: what the generated HTTPRoute attaches to",
                },
                {
                    "rule": "self.backends.all(lane, !self.backends[lane].contains(':') || "
                    "(int(self.backends[lane].split(':')[1]) >= 1 && int(self.backends[lane].split(':')[1]) <= 65535))",
                    "message": "a backend's port must be from 1 to 65535",
                },
            ]
        }
    )

    class_: Name = Field(
        alias="class", description="Name of the WorkloadClass. Two classes of one name need two plans."
    )
    ownership: Ownership = Field(
        description="Managed: Spillway owns the whole generated HTTPRoute; Adopted: only the weights of one named "
        "rule of somebody's HTTPRoute."
    )
    http_route: ObjectName = Field(
        alias="httpRoute",
        description="Name of the HTTPRoute (with EnvoyAIGateway: AIGatewayRoute) in the plan's namespace: the one to "
        "generate, or the one to adopt.",
    )
    rule: Name | None = Field(
        default=None,
        description="Name of the rule in the adopted route (spec.rules[].name). Adopted only, and not with "
        "EnvoyAIGateway, whose rules have no names.",
    )
    gateway: ParentGateway | None = Field(default=None, description="The Gateway of the generated route. Managed only.")
    backends: dict[str, BackendText] = Field(
        min_length=1,
        max_length=32,
        description="Lane name to backend, as [Kind/]name[:port]; Kind is Service (default) or Backend (Envoy "
        "Gateway). Adopted: the backendRef of that name in the rule; Managed: the backendRef to "
        "write, where a Service needs its port. With EnvoyAIGateway: the AIServiceBackend's name alone.",
    )


class Routing(Model):
    """How traffic is moved between lanes."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                {
                    "rule": "(has(self.plane) && self.plane in ['GatewayAPI', 'EnvoyAIGateway']) || "
                    "!has(self.bindings) || self.bindings.size() == 0",
                    "message": "bindings need plane: GatewayAPI or EnvoyAIGateway",
                },
                {
                    "rule": "(has(self.plane) && self.plane == 'EnvoyAIGateway') || !has(self.bindings) || "
                    "self.bindings.all(b, b.ownership != 'Adopted' || has(b.rule))",
                    "message": "an Adopted binding needs rule: the name of the rule whose weights it moves",
                },
                {
                    "rule": "!has(self.plane) || self.plane != 'EnvoyAIGateway' || !has(self.bindings) || "
                    "self.bindings.all(b, !has(b.rule) && b.backends.all(lane, !b.backends[lane].contains('/') && "
                    "!b.backends[lane].contains(':')))",
                    "message": "with plane EnvoyAIGateway backends are names of AIServiceBackends, without kind and "
                    "port, and no rule is named: the one that matches the class's model or header is meant",
                },
                {
                    "rule": "!has(self.plane) || self.plane != 'LiteLLM' || has(self.litellm)",
                    "message": "plane LiteLLM needs litellm: the proxy's ConfigMap and Deployment",
                },
                {
                    "rule": "(has(self.plane) && self.plane != 'None') || !has(self.litellm)",
                    "message": "litellm needs plane LiteLLM, or GatewayAPI with the proxy behind it",
                },
            ]
        }
    )

    plane: RoutingPlane = Field(
        default=RoutingPlane.NONE,
        description="None: traffic is not moved, only replicas; GatewayAPI: by the weights of HTTPRoutes; LiteLLM: by "
        "the configuration of a LiteLLM proxy that is the only gateway; EnvoyAIGateway: by the weights of "
        "AIGatewayRoutes. Default: None.",
    )
    bindings: tuple[Binding, ...] = Field(
        default=(),
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["class"]},
        description="One entry for each class whose traffic is moved. GatewayAPI and EnvoyAIGateway only. Default: "
        "none.",
    )
    litellm: LiteLLMProxy | None = Field(
        default=None,
        description="The LiteLLM proxy that Spillway configures. With plane LiteLLM, where it is required, it is the "
        "only gateway; with plane GatewayAPI or EnvoyAIGateway it is the egress behind it, with keys, model names and "
        "limits of the hosted lanes. Default: none.",
    )


class CeilingUsd(Model):
    """Most that may be spent on hosted lanes."""

    per_hour: DecimalText | None = Field(
        default=None, description="US dollars an hour, over all classes of the plan. Default: no ceiling."
    )
    per_day: DecimalText | None = Field(
        default=None,
        description="US dollars a day (UTC), as the egress' token counters tell; needs an egress gateway in the "
        "operator's configuration. Default: no ceiling.",
    )
    per_month: DecimalText | None = Field(
        default=None,
        description="US dollars a calendar month (UTC), as the egress' token counters tell; needs an egress gateway in "
        "the operator's configuration. Default: no ceiling.",
    )


class Overflow(Model):
    """Whether and how work leaves own GPUs."""

    mode: OverflowMode = Field(
        default=OverflowMode.SPLIT,
        description="Split: the operator moves weights to hosted lanes and back; Spill: the gateway itself tries a "
        "hosted lane for each request that own lanes refuse, which needs engines with a queue limit; Never: nothing "
        "goes to hosted lanes. Default: Split.",
    )
    ceiling_usd: CeilingUsd = Field(
        default_factory=CeilingUsd,
        description="Most that may be spent on hosted lanes, in US dollars. Default: no ceiling.",
    )


class Guards(Model):
    """Bounds on how fast the operator acts."""

    max_scale_up_per_minute: int = Field(
        default=4, ge=1, le=10_000, description="Most replicas added to a lane within a minute. Default: 4."
    )
    max_scale_down_per_minute: int = Field(
        default=2,
        ge=1,
        le=10_000,
        description="Most replicas removed from a lane within a minute. Default: 2.",
    )
    scale_down_stabilization_seconds: int = Field(
        default=300,
        ge=0,
        le=86_400,
        description="A lane goes down only to the highest recommendation of this window, in seconds. Default: 300.",
    )
    manual_override_seconds: int = Field(
        default=3600,
        ge=0,
        le=604_800,
        description="How long a person's kubectl scale is respected, in seconds. Default: 3600.",
    )


class ForecastSpec(Model):
    """What the demand forecast knows of the traffic's rhythm."""

    seasonality_seconds: tuple[Annotated[int, Field(ge=60, le=2_592_000)], ...] = Field(
        default=(86_400, 604_800),
        max_length=4,
        json_schema_extra={"x-kubernetes-list-type": "set"},
        description="Lengths of the demand's repeating patterns, in seconds. Default: a day and a week "
        "(86400, 604800).",
    )


class StructuralApproval(StrEnum):
    """Whether structural changes are proposed."""

    REQUIRED = "Required"
    OFF = "Off"


class Approval(Model):
    """What the operator may propose for a person to approve."""

    structural: StructuralApproval = Field(
        default=StructuralApproval.REQUIRED,
        description="Required: changes of bounds and lanes that would have been better for days are proposed as "
        "LaneChanges, and nothing is changed before a person approves; Off: none is proposed. Default: Required.",
    )
    max_monthly_increase_usd: DecimalText | None = Field(
        default=None,
        description="A change that would raise the bill by more than this is not proposed but told in the condition "
        "ApprovalRequired, in US dollars a month of 730 hours. Default: no limit.",
    )


class CapacityPlanSpec(Model):
    """The contract: lanes, classes, limits and what the operator may do."""

    mode: Mode = Field(
        default=Mode.RECOMMEND,
        description="Observe: metrics and costs only; Recommend: also what to change; Apply: change it. Default: "
        "Recommend.",
    )
    paused: bool = Field(default=False, description="true: nothing is changed, whatever the mode. Default: false.")
    allowed_classes: AllowedClasses = Field(
        default_factory=AllowedClasses,
        description="Whose classes the plan accepts. Default: those of the plan's namespace.",
    )
    lanes: tuple[Name, ...] = Field(
        min_length=1,
        max_length=32,
        json_schema_extra={"x-kubernetes-list-type": "set"},
        description="Names of CapacityLanes in the plan's namespace, which this plan alone decides on.",
    )
    value_tiers: tuple[ValueTier, ...] = Field(
        default=(),
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        description="What a miss costs and what may be spent, by tier. Default: none.",
    )
    routing: Routing = Field(
        default_factory=Routing, description="How traffic is moved between lanes. Default: not at all."
    )
    overflow: Overflow = Field(
        default_factory=Overflow, description="Whether and how work leaves own GPUs. Default: Split, without a ceiling."
    )
    guards: Guards = Field(
        default_factory=Guards, description="Bounds on how fast the operator acts. Default: those of its fields."
    )
    approval: Approval = Field(
        default_factory=Approval,
        description="What may be proposed for a person to approve. Default: structural changes, whatever they cost.",
    )
    forecast: ForecastSpec = Field(
        default_factory=ForecastSpec, description="The traffic's rhythm. Default: a day and a week."
    )


class CapacityPlan(Model):
    """The contract under which Spillway decides replicas and traffic shares over lanes for classes of traffic."""

    KIND: ClassVar[str] = "CapacityPlan"
    PLURAL: ClassVar[str] = "capacityplans"

    metadata: ObjectMeta
    spec: CapacityPlanSpec
    status: CapacityPlanStatus | None = None

    @classmethod
    def parse(cls, manifest: dict[str, Any]) -> CapacityPlan:
        """Read a manifest; raises ``pydantic.ValidationError``."""
        return cls.model_validate(manifest)
