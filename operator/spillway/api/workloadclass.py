"""WorkloadClass: what the traffic needs. Written by application teams."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field

from spillway.api.common import (
    SHORT_NAME_RULES,
    AttainmentText,
    DecimalText,
    Model,
    ModelName,
    Name,
    ObjectMeta,
    ObjectRef,
    SuccessText,
    TierName,
)
from spillway.api.money import Budget, DeclaredDemand
from spillway.api.status import SimpleStatus


class LatencyClass(StrEnum):
    """How long a request may wait."""

    INTERACTIVE = "Interactive"
    BACKGROUND = "Background"
    DEFERRABLE = "Deferrable"


class DataPolicy(StrEnum):
    """Where the data of a class may go."""

    ANY = "Any"
    SELF_HOSTED_ONLY = "SelfHostedOnly"


class HeaderMatch(Model):
    """Traffic that carries one HTTP header value."""

    name: str = Field(
        min_length=1, max_length=128, pattern=r"^[A-Za-z0-9-]+$", description="HTTP header name, any case."
    )
    value: str = Field(min_length=1, max_length=253, description="Exact value of the header.")


class RouteRuleMatch(Model):
    """Traffic of one named rule of an HTTPRoute."""

    route: Name = Field(description="Name of the HTTPRoute in the plan's namespace.")
    rule: Name = Field(description="Name of the rule in that HTTPRoute (spec.rules[].name).")


class Match(Model):
    """How the gateway's and the engines' series name this traffic: exactly one field."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                {
                    "rule": "[has(self.header), has(self.model), has(self.team), has(self.routeRule)]"
                    ".filter(x, x).size() == 1",
                    "message": "match needs exactly one of header, model, team, routeRule",
                }
            ]
        }
    )

    header: HeaderMatch | None = Field(
        default=None,
        description="Traffic with this header; its series are those of the route rule that a plan binds to the class.",
    )
    model: ModelName | None = Field(
        default=None,
        description="Traffic that asks for this model name (engines' and gateways' model label).",
    )
    team: Annotated[str, Field(min_length=1, max_length=128)] | None = Field(
        default=None, description="Traffic of this team, as the gateway's team label names it."
    )
    route_rule: RouteRuleMatch | None = Field(
        default=None, description="Traffic of one named rule of an HTTPRoute in the plan's namespace."
    )


class Slo(Model):
    """What a request must meet to count as served well."""

    time_to_first_token_ms: int = Field(
        ge=1,
        le=3_600_000,
        description="Longest time to first token (TTFT) of a request, in milliseconds.",
    )
    inter_token_latency_ms: int = Field(
        ge=1,
        le=60_000,
        description="Longest mean inter-token latency (ITL) of a request, in milliseconds.",
    )
    attainment_percent: AttainmentText = Field(
        default=Decimal(99),
        description='Share of requests that must meet both, in percent from 50 to 99.999. Default: "99".',
    )


class WorkloadClassSpec(Model):
    """What the traffic needs."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                {
                    "rule": "self.latency == 'Deferrable' || has(self.slo)",
                    "message": "slo is required unless latency is Deferrable",
                }
            ]
        }
    )

    plan_ref: ObjectRef = Field(
        description="The CapacityPlan that serves this class. The plan must allow this namespace (spec.allowedClasses)."
    )
    match: Match = Field(description="How metrics name the traffic of this class: exactly one field.")
    latency: LatencyClass = Field(
        default=LatencyClass.INTERACTIVE,
        description="Interactive: people wait; Background: served within its SLO but spilled first; Deferrable: "
        "may wait for hours and justifies no own GPU. Default: Interactive.",
    )
    slo: Slo | None = Field(default=None, description="The latency objective. Required unless latency is Deferrable.")
    data_policy: DataPolicy = Field(
        description="Any: may be served by hosted lanes; SelfHostedOnly: never leaves own GPUs, whatever the load. "
        "Required, without a default."
    )
    equivalent_models: tuple[ModelName, ...] = Field(
        min_length=1,
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "set"},
        description="Models that may answer for this class; the first is preferred. A lane serves the class only "
        "with one of these.",
    )
    value_tier: TierName | None = Field(
        default=None,
        description="Name of a tier in the plan's valueTiers: what a miss costs and what may be spent on overflow. "
        "Default: none (a miss costs nothing extra, spending is bounded by the plan's ceiling alone).",
    )
    demand: DeclaredDemand | None = Field(
        default=None,
        description="What is expected, for budgets; measured demand stands beside it as it comes in. Default: nothing.",
    )
    success_rate_percent: SuccessText | None = Field(
        default=None,
        description='Share of tasks that reach their end, in percent, such as "97.5": what a successful task costs '
        "rests on it. Default: not known.",
    )
    revenue_per_success_usd: DecimalText | None = Field(
        default=None, description="What one successful task is worth, in US dollars. Default: not known."
    )
    budget: Budget | None = Field(
        default=None, description="What the class may cost in a month. Default: no budget of its own."
    )


class WorkloadClass(Model):
    """What traffic needs: its latency class and SLO, where its data may go, which models may answer for it."""

    model_config = ConfigDict(json_schema_extra=SHORT_NAME_RULES)

    KIND: ClassVar[str] = "WorkloadClass"
    PLURAL: ClassVar[str] = "workloadclasses"

    metadata: ObjectMeta
    spec: WorkloadClassSpec
    status: SimpleStatus | None = None

    @property
    def plan_key(self) -> str:
        """``namespace/name`` of the plan that the class asks for."""
        return f"{self.spec.plan_ref.namespace or self.metadata.namespace}/{self.spec.plan_ref.name}"

    @classmethod
    def parse(cls, manifest: dict[str, Any]) -> WorkloadClass:
        """Read a manifest; raises ``pydantic.ValidationError``."""
        return cls.model_validate(manifest)
