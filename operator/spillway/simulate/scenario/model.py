"""The scenario file as a model: what may stand in it, with units, defaults and bounds. YAML with camelCase keys."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from spillway.simulate.arrivals import ArrivalOptions


def _no_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("give a number")
    return value


def _ordered(value: tuple[float, float]) -> tuple[float, float]:
    if value[1] <= value[0]:
        raise ValueError("the end must come after the start")
    return value


Number = Annotated[float, BeforeValidator(_no_bool)]
Whole = Annotated[int, BeforeValidator(_no_bool)]
AtLeastZero = Annotated[Number, Field(ge=0)]
AboveZero = Annotated[Number, Field(gt=0)]
Share = Annotated[Number, Field(ge=0, le=1)]
Span = Annotated[tuple[AtLeastZero, AtLeastZero], AfterValidator(_ordered)]
"""[start, end) in seconds from the start of the scenario."""


class ScenarioModel(BaseModel):
    """Frozen; an unknown field is an error, since a typo must not be silent."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=False, allow_inf_nan=False
    )


class Metadata(ScenarioModel):
    """The scenario's name."""

    name: str = Field(min_length=1, max_length=100)
    source: str = Field(default="", max_length=300)
    """Where the traffic comes from, for people."""


class TraceEntry(ScenarioModel):
    """One trace file and whose traffic it is."""

    file: Path
    """CSV or CSV.gz, relative to the scenario file."""
    demand_scale: AboveZero = 1.0
    """Factor on the trace's work."""
    length_scale: AboveZero = 1.0
    """Factor on the lengths; the number of requests falls by as much."""
    offset_seconds: AtLeastZero = 0.0
    """Where in the trace the scenario starts."""
    classes: dict[str, str] = Field(min_length=1)
    """Trace class -> WorkloadClass ("name" or "namespace/name"); classes that are not named are dropped."""


class Arrivals(ScenarioModel):
    """How bins become requests."""

    default_iat_cv: AtLeastZero = 1.0
    length_sigma: Annotated[Number, Field(ge=0, le=3)] = 0.8
    length_cap: Annotated[Whole, Field(ge=1)] = 16_000

    def options(self, entry: TraceEntry) -> ArrivalOptions:
        """What the realisation of one trace needs."""
        return ArrivalOptions(
            demand_scale=entry.demand_scale,
            length_scale=entry.length_scale,
            default_iat_cv=self.default_iat_cv,
            length_sigma=self.length_sigma,
            length_cap=self.length_cap,
        )


class Startup(ScenarioModel):
    """Seconds from a replica's creation to Ready: lognormal with this mean, and sigma of its logarithm."""

    mean: AtLeastZero
    sigma: AtLeastZero = 0.0


class OwnLaneTruth(ScenarioModel):
    """What a self-hosted lane really does. Either the four coefficients or a measured table."""

    startup_seconds: Startup
    max_num_seqs: Annotated[Whole, Field(ge=1)] = 256
    max_batched_tokens: Annotated[Whole, Field(ge=1)] = 8192
    kv_cache_tokens: Annotated[Whole, Field(ge=2)] = 450_000
    max_queued_per_replica: Annotated[Whole, Field(ge=0)] | None = None
    alpha_ms: AtLeastZero | None = None
    beta_ms_per_seq: AtLeastZero | None = None
    gamma_ms_per_k_token_kv: AtLeastZero | None = Field(default=None, alias="gammaMsPerKTokenKV")
    prefill_ms_per_k_token: AtLeastZero | None = None
    table: Path | None = None
    """CSV of measured iteration times, relative to the scenario file; instead of the four coefficients."""
    noise_sigma: Annotated[Number, Field(ge=0, le=1)] = 0.0
    """Sigma of a lognormal factor of mean 1 on each iteration; with a table only."""
    stock_outs: tuple[Span, ...] = ()
    """No replica is created inside."""
    source: str = Field(default="", max_length=300)
    """Where these figures come from, for people."""
    largest_batch: Annotated[Whole, Field(ge=1)] | None = None
    """Sequences in a batch up to which they were seen."""

    @model_validator(mode="after")
    def _formula_or_table(self) -> Self:
        given = {
            "alphaMs": self.alpha_ms,
            "betaMsPerSeq": self.beta_ms_per_seq,
            "gammaMsPerKTokenKV": self.gamma_ms_per_k_token_kv,
            "prefillMsPerKToken": self.prefill_ms_per_k_token,
        }
        if self.table is not None:
            if both := [name for name, value in given.items() if value is not None]:
                raise ValueError(f"table stands instead of {both[0]}; remove one of them")
            return self
        if lacking := [name for name, value in given.items() if value is None]:
            raise ValueError(f"{lacking[0]} is missing; give it, or table with measured iteration times")
        if self.alpha_ms == 0 and self.beta_ms_per_seq == 0:
            raise ValueError("alphaMs and betaMsPerSeq are both 0, so decoding takes no time; give one of them")
        if self.noise_sigma > 0:
            raise ValueError("noiseSigma belongs to a table; remove it")
        return self


class Percentiles(ScenarioModel):
    """A lognormal latency by its median and its 99th percentile, in milliseconds."""

    p50: AboveZero
    p99: AboveZero

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if self.p99 < self.p50:
            raise ValueError("p99 must not be below p50")
        return self


class HostedLaneTruth(ScenarioModel):
    """How a hosted lane really answers."""

    ttft_ms: Percentiles
    itl_ms: Percentiles
    error_rate: Share = 0.0
    outages: tuple[Span, ...] = ()


class Billing(ScenarioModel):
    """What is paid beside the requests' own time."""

    node_release_seconds: AtLeastZero = 0.0
    """A replica is paid this long after its last request ended."""
    cached_share: Share = 0.0
    """Share of input tokens that hosted lanes bill at the cached price."""


class Time(ScenarioModel):
    """The span, in seconds. Arrivals come in [0, durationSeconds); the score starts after the warm-up."""

    warmup_seconds: AtLeastZero = 0.0
    duration_seconds: AboveZero
    metrics_lag_seconds: AtLeastZero = 15.0

    @model_validator(mode="after")
    def _something_is_scored(self) -> Self:
        if self.warmup_seconds >= self.duration_seconds:
            raise ValueError(
                f"warmupSeconds ({self.warmup_seconds:g}) must be below durationSeconds ({self.duration_seconds:g}), "
                "which contains it"
            )
        return self


class ScenarioFile(ScenarioModel):
    """The whole file."""

    api_version: Literal["spillway.dev/v1alpha1"]
    kind: Literal["Scenario"]
    metadata: Metadata
    manifests: tuple[Path, ...] = Field(min_length=1)
    """The WorkloadClass, CapacityLane and CapacityPlan manifests, relative to the scenario file."""
    traces: tuple[TraceEntry, ...] = Field(min_length=1)
    arrivals: Arrivals = Arrivals()
    truth: dict[str, OwnLaneTruth] = Field(default_factory=dict)
    """By SelfHosted lane."""
    hosted: dict[str, HostedLaneTruth] = Field(default_factory=dict)
    """By HostedRealtime lane."""
    gpu_pools: dict[str, Annotated[Whole, Field(ge=0)]] = Field(default_factory=dict)
    """GPUs by pool, as the operator's configuration gives them; a pool that is not named has no bound."""
    billing: Billing = Billing()
    time: Time
    seeds: tuple[Annotated[Whole, Field(ge=0)], ...] = Field(default=(1, 2, 3), min_length=1, max_length=100)

    @model_validator(mode="after")
    def _seeds_differ(self) -> Self:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds must differ from each other")
        return self
