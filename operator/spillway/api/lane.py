"""CapacityLane: where work can run. Written by the platform team."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field

from spillway.api.common import SHORT_NAME_RULES, DecimalText, Model, ModelName, Name, ObjectMeta, ObjectName
from spillway.api.status import SimpleStatus


class LaneType(StrEnum):
    """The kinds of capacity. Flex and Batch are accepted and reported as Unsupported for now."""

    SELF_HOSTED = "SelfHosted"
    HOSTED_REALTIME = "HostedRealtime"
    FLEX = "Flex"
    BATCH = "Batch"


class Engine(StrEnum):
    """Serving engines whose metrics are understood."""

    VLLM = "vLLM"
    SGLANG = "SGLang"


class Commitment(StrEnum):
    """How a GPU is paid; decides what removing a pod saves."""

    ON_DEMAND = "OnDemand"
    SPOT = "Spot"
    RESERVED = "Reserved"
    OWNED = "Owned"


class TargetRef(Model):
    """The workload that serves the lane: anything with a scale subresource and no controller owner."""

    api_version: str = Field(
        default="apps/v1",
        max_length=253,
        pattern=r"^([a-z0-9.-]+/)?v[0-9][a-z0-9]*$",
        description='API version of the workload. Default: "apps/v1".',
    )
    kind: str = Field(
        default="Deployment",
        max_length=63,
        pattern=r"^[A-Z][A-Za-z0-9]*$",
        description='Kind of the workload, one with a scale subresource. Default: "Deployment".',
    )
    name: ObjectName = Field(description="Name of the workload, in the lane's namespace.")


class GpuSpec(Model):
    """The GPUs of one replica."""

    type: str = Field(
        min_length=1,
        max_length=63,
        pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
        description='Type of the GPU, for reports and metrics, such as "nvidia-h100-80gb".',
    )
    per_replica: int = Field(default=1, ge=1, le=1024, description="GPUs that one replica takes, in GPUs. Default: 1.")
    pool: Name | None = Field(
        default=None,
        description="Name of the GPU pool in the operator's configuration whose size and namespace shares bound "
        "this lane. Default: none (bounded by replicas.max alone).",
    )


class GpuPrice(Model):
    """What a GPU costs and what giving it back is worth."""

    usd_per_gpu_hour: DecimalText = Field(description="Price of one GPU, in US dollars an hour.")
    commitment: Commitment = Field(
        default=Commitment.ON_DEMAND,
        description="OnDemand, Spot: a released GPU stops costing; Reserved, Owned: it is paid anyway, and a released "
        "one is worth releaseValueUsdPerGpuHour. Default: OnDemand.",
    )
    release_value_usd_per_gpu_hour: DecimalText | None = Field(
        default=None,
        description="What a released GPU is worth, in US dollars an hour (somebody else uses it). Default: the price "
        'for OnDemand and Spot, "0" for Reserved and Owned.',
    )

    @property
    def avoidable_usd_per_gpu_hour(self) -> Decimal:
        """What the bill falls by when one GPU is released, in US dollars an hour."""
        if self.release_value_usd_per_gpu_hour is not None:
            return Decimal(self.release_value_usd_per_gpu_hour)
        paid_anyway = self.commitment in (Commitment.RESERVED, Commitment.OWNED)
        return Decimal(0) if paid_anyway else Decimal(self.usd_per_gpu_hour)


class ReplicaBounds(Model):
    """The replica counts that a lane may have."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                {"rule": "self.min <= self.max", "message": "replicas.min must not be above replicas.max"}
            ]
        }
    )

    min: int = Field(
        default=1,
        ge=0,
        le=10_000,
        description="Fewest replicas. 0 is reached only where every class of the lane has a usable hosted lane. "
        "Default: 1.",
    )
    max: int = Field(ge=0, le=10_000, description="Most replicas.")


class ServiceProfile(Model):
    """A prior for how one replica serves: iteration time = alpha + beta*b + gamma*kv/1000 + prefill*p/1000 ms."""

    alpha_ms: DecimalText = Field(description="Fixed time of one iteration, in milliseconds.")
    beta_ms_per_sequence: DecimalText = Field(
        description="Time that each running sequence adds to an iteration, in milliseconds."
    )
    gamma_ms_per_k_token: DecimalText = Field(
        default=Decimal(0),
        description="Time that each 1,000 tokens held in the KV cache add to an iteration, in milliseconds. "
        'Default: "0".',
    )
    prefill_ms_per_k_token: DecimalText = Field(
        description="Time that each 1,000 prompt tokens take to prefill, in milliseconds."
    )
    max_sequences: int = Field(
        default=256,
        ge=1,
        le=65_536,
        description="Most sequences that one replica runs at once (vLLM's --max-num-seqs). Default: 256.",
    )
    kv_cache_tokens: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000_000,
        description="Tokens that one replica's KV cache holds. Default: not a limit.",
    )


class SelfHostedSpec(Model):
    """Own or rented GPUs behind a workload with a scale subresource."""

    target_ref: TargetRef = Field(description="The workload whose replicas are scaled, in the lane's namespace.")
    engine: Engine = Field(
        default=Engine.VLLM, description="Serving engine, which decides the metric names. Default: vLLM."
    )
    gpu: GpuSpec = Field(description="The GPUs of one replica.")
    price: GpuPrice = Field(description="What the GPUs cost.")
    replicas: ReplicaBounds = Field(description="Bounds on the number of replicas.")
    startup_seconds: int | None = Field(
        default=None,
        ge=1,
        le=86_400,
        description="Time from a replica's creation to Ready with node provisioning, in seconds. Default: learned "
        "from the lane's own pods, 300 until one was seen.",
    )
    profile: ServiceProfile | None = Field(
        default=None,
        description="Prior for how one replica serves. Default: learned from the engine's metrics.",
    )


class HostedPrice(Model):
    """A contract price, in US dollars per million tokens."""

    input_usd_per_m_tok: DecimalText = Field(
        alias="inputUsdPerMTok", description="Input (prompt) tokens, in US dollars per million."
    )
    cached_input_usd_per_m_tok: DecimalText | None = Field(
        default=None,
        alias="cachedInputUsdPerMTok",
        description="Input tokens read from the provider's cache, in US dollars per million. Default: the input price.",
    )
    output_usd_per_m_tok: DecimalText = Field(
        alias="outputUsdPerMTok", description="Output (completion) tokens, in US dollars per million."
    )


class HostedLimits(Model):
    """The namespace's share of the provider account's limits."""

    requests_per_minute: int | None = Field(
        default=None, ge=1, le=100_000_000, description="Requests a minute. Default: no limit."
    )
    tokens_per_minute: int | None = Field(
        default=None,
        ge=1,
        le=100_000_000_000,
        description="Input and output tokens a minute. Default: no limit.",
    )
    concurrency: int | None = Field(
        default=None, ge=1, le=10_000_000, description="Requests in flight at once. Default: no limit."
    )


class HostedLatency(Model):
    """How fast the hosted model answers."""

    time_to_first_token_ms: int = Field(ge=1, le=3_600_000, description="Typical time to first token, in milliseconds.")
    inter_token_latency_ms: int = Field(ge=1, le=60_000, description="Typical inter-token latency, in milliseconds.")


class HostedSpec(Model):
    """A hosted API: a model of a provider, behind an egress proxy that holds the keys."""

    provider: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9][-a-z0-9_.]*$")] = Field(
        description='Provider, as price packages name it, such as "openai".'
    )
    model: ModelName = Field(description="The provider's name of the model; also the egress' model label.")
    price: HostedPrice | None = Field(
        default=None,
        description="Contract price. Default: the dated list price of the bundled price package; a model that nobody "
        "prices is never used.",
    )
    limits: HostedLimits | None = Field(
        default=None, description="This namespace's share of the account's limits. Default: no limits."
    )
    latency: HostedLatency | None = Field(
        default=None,
        description="How fast the model answers; a lane slower than a class' SLO is not used for it. Default: unknown, "
        "taken as fast enough.",
    )


class CapacityLaneSpec(Model):
    """Where work can run."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                {
                    "rule": "(self.type == 'SelfHosted') == has(self.selfHosted)",
                    "message": "selfHosted belongs to type SelfHosted, and is required there",
                },
                {
                    "rule": "(self.type != 'SelfHosted') == has(self.hosted)",
                    "message": "hosted belongs to types HostedRealtime, Flex and Batch, and is required there",
                },
                {
                    "rule": "self.type == oldSelf.type",
                    "message": "type cannot be changed: create another lane",
                },
            ]
        }
    )

    type: LaneType = Field(
        description="SelfHosted: own or rented GPUs; HostedRealtime: a hosted API; Flex and Batch: accepted, reported "
        "as Unsupported and not used yet. Cannot be changed."
    )
    models: tuple[ModelName, ...] = Field(
        min_length=1,
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "set"},
        description="Names of the models that the lane serves, as classes list them in equivalentModels.",
    )
    self_hosted: SelfHostedSpec | None = Field(
        default=None, description="Own or rented GPUs. Required for type SelfHosted, else absent."
    )
    hosted: HostedSpec | None = Field(
        default=None, description="A hosted API. Required for the other types, else absent."
    )


class CapacityLane(Model):
    """A place where work can run: own or rented GPUs, or a hosted API, with its price and limits."""

    model_config = ConfigDict(json_schema_extra=SHORT_NAME_RULES)

    KIND: ClassVar[str] = "CapacityLane"
    PLURAL: ClassVar[str] = "capacitylanes"

    metadata: ObjectMeta
    spec: CapacityLaneSpec
    status: SimpleStatus | None = None

    @classmethod
    def parse(cls, manifest: dict[str, Any]) -> CapacityLane:
        """Read a manifest; raises ``pydantic.ValidationError``."""
        return cls.model_validate(manifest)
