"""The fleet's configuration file: the truth that no policy sees. YAML with camelCase keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from spillway.simulate.arrivals import ArrivalOptions, realise, to_requests
from spillway.simulate.replica import ReplicaProfile, Request
from spillway.simulate.traces import BinTrace, TraceError, read_trace

NORMAL_P99 = 2.3263478740408408
ARRIVALS_STREAM, SERVICE_STREAM = 1, 2


class FleetError(Exception):
    """One line that names the file or object and the way out."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class LaneProfile(_Model):
    """What a replica of the lane really does; milliseconds and tokens as in `ReplicaProfile`."""

    alpha_ms: float = Field(gt=0)
    beta_ms_per_seq: float = Field(ge=0)
    gamma_ms_per_k_token_kv: float = Field(ge=0, alias="gammaMsPerKTokenKV")
    prefill_ms_per_k_token: float = Field(ge=0)
    max_num_seqs: int = 256
    max_batched_tokens: int = 8192
    kv_cache_tokens: int = 450_000
    max_queued_per_replica: int | None = None

    def replica(self) -> ReplicaProfile:
        """The value that the simulator steps with."""
        return ReplicaProfile(
            alpha_ms=self.alpha_ms,
            beta_ms_per_sequence=self.beta_ms_per_seq,
            gamma_ms_per_ktoken_kv=self.gamma_ms_per_k_token_kv,
            prefill_ms_per_ktoken=self.prefill_ms_per_k_token,
            max_sequences=self.max_num_seqs,
            max_batched_tokens=self.max_batched_tokens,
            kv_cache_tokens=self.kv_cache_tokens,
            max_queued=self.max_queued_per_replica,
        )


class SelfHostedLane(_Model):
    """Replicas on own GPUs: the pods of one Deployment."""

    name: str
    namespace: str
    deployment: str
    model: str
    gpu_model_name: str
    gpu_memory_mib: int = 81_559
    gpus_per_replica: int = Field(default=1, ge=1)
    usd_per_gpu_hour: float = Field(ge=0)
    profile: LaneProfile


class Percentiles(_Model):
    """A lognormal latency, given by its median and 99th percentile in milliseconds."""

    p50: float = Field(gt=0)
    p99: float = Field(gt=0)

    @property
    def sigma(self) -> float:
        """Sigma of the lognormal."""
        return float(np.log(self.p99 / self.p50)) / NORMAL_P99


class HostedLane(_Model):
    """A hosted API behind the egress proxy."""

    name: str
    provider: str
    model: str
    input_usd_per_m_tok: float = Field(ge=0)
    output_usd_per_m_tok: float = Field(ge=0)
    ttft_ms: Percentiles
    itl_ms: Percentiles


class RouteRule(_Model):
    """The HTTPRoute rule that the class's traffic matches, by position."""

    namespace: str
    name: str
    rule_index: int = Field(default=0, ge=0)

    @property
    def cluster_name(self) -> str:
        """What Envoy Gateway calls the rule's Envoy cluster."""
        return f"httproute/{self.namespace}/{self.name}/rule/{self.rule_index}"


class TrafficClass(_Model):
    """One class of traffic: where it comes from, how it is routed, what it was promised."""

    name: str
    trace_class: str
    team: str
    ttft_ms: float = Field(gt=0)
    itl_ms: float = Field(gt=0)
    attainment_percent: float = Field(gt=0, le=100)
    priority: int = 0
    route: RouteRule
    backends: dict[str, str]
    """backendRefs name -> lane name."""
    fallback_lane: str | None = None
    """Hosted lane that takes what own replicas refuse with 503; None: the client sees the 503."""


class Demand(_Model):
    """A day of a trace run through in `day_seconds`; the day before it is history."""

    trace: Path
    day_starts_at_seconds: float = Field(ge=0)
    """Where in the trace the demo's day starts; the 86,400 s before it are the history."""
    day_seconds: float = Field(default=360, gt=0)
    """Real seconds that a day of the demand curve takes. Rates are kept, only the curve is compressed."""
    demand_scale: float = Field(gt=0)
    iat_cv: float = Field(default=1.0, ge=0)
    length_sigma: float = Field(default=0.8, ge=0)
    length_cap: int = Field(default=16_000, ge=1)


class FleetConfig(_Model):
    """Everything that the fleet simulator is told."""

    seed: int = 1
    demand: Demand
    lanes: tuple[SelfHostedLane, ...]
    hosted: tuple[HostedLane, ...]
    classes: tuple[TrafficClass, ...]

    @model_validator(mode="after")
    def _names_resolve(self) -> FleetConfig:
        own, hosted = {lane.name for lane in self.lanes}, {lane.name for lane in self.hosted}
        for traffic in self.classes:
            if unknown := set(traffic.backends.values()) - own - hosted:
                raise ValueError(f"class {traffic.name}: backends name lanes that don't exist: {sorted(unknown)}")
            if traffic.fallback_lane is not None and traffic.fallback_lane not in hosted:
                raise ValueError(f"class {traffic.name}: fallbackLane {traffic.fallback_lane} is no hosted lane")
        return self

    def adjusted(self, seed: int | None = None, day_seconds: float | None = None) -> FleetConfig:
        """The same fleet with another seed or another length of the day, where given."""
        demand = self.demand
        if day_seconds is not None:
            demand = demand.model_copy(update={"day_seconds": day_seconds})
        return self.model_copy(update={"seed": self.seed if seed is None else seed, "demand": demand})

    def service_rng(self) -> np.random.Generator:
        """Randomness of routing and hosted latencies; apart from arrivals, which no policy may change."""
        return np.random.default_rng([self.seed, SERVICE_STREAM])


def load_config(path: Path) -> FleetConfig:
    """Read a configuration file; paths in it are relative to it.

    Raises FleetError with one line.
    """
    try:
        document: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        config = FleetConfig.model_validate(document)
    except OSError as error:
        raise FleetError(f"fleet configuration {path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise FleetError(f"fleet configuration {path}: not valid YAML: {str(error).splitlines()[0]}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "(top)"
        raise FleetError(f"fleet configuration {path}: {where}: {first['msg']}") from error
    trace = path.parent / config.demand.trace
    return config.model_copy(update={"demand": config.demand.model_copy(update={"trace": trace})})


def draw_requests(config: FleetConfig) -> list[Request]:
    """Every request of the day before (arrival_s below 0) and of the demo's day, from the seed alone.

    Raises FleetError where the trace can't give two days.
    """
    demand = config.demand
    try:
        trace = read_trace(demand.trace)
        if not isinstance(trace, BinTrace):
            raise TraceError(f"trace {demand.trace}: the fleet needs the binned form, a day long or more")
        two_days = trace.window(demand.day_starts_at_seconds - 86_400, 2 * 86_400)
    except TraceError as error:
        raise FleetError(str(error)) from error
    two_days = two_days.compressed(86_400 / demand.day_seconds)
    options = ArrivalOptions(
        demand_scale=demand.demand_scale,
        default_iat_cv=demand.iat_cv,
        length_sigma=demand.length_sigma,
        length_cap=demand.length_cap,
    )
    shifted = BinTrace(-demand.day_seconds, two_days.width_s, two_days.series)
    made = realise(shifted, options, np.random.default_rng([config.seed, ARRIVALS_STREAM]))
    names = {traffic.trace_class: traffic.name for traffic in config.classes}
    return to_requests(made, names, {traffic.name: traffic.priority for traffic in config.classes})
