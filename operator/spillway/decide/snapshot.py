"""What is known of the outside world at one moment, as frozen values.

``observe`` builds these, the simulator builds the same ones, ``decide`` reads them. Missing is ``None`` and never 0;
every measured value carries the time of its sample, so that its age is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from spillway.api import CapacityLane, CapacityPlan, WorkloadClass


@dataclass(frozen=True, slots=True)
class Reading:
    """One measured value. Never NaN or infinite: those are missing."""

    value: float
    at: float
    """Unix time of the newest sample behind the value, in seconds."""

    def age_seconds(self, now: float) -> float:
        """Seconds between the sample and ``now``."""
        return now - self.at


@dataclass(frozen=True, slots=True)
class Series:
    """A regular time series; a gap is ``None``."""

    start: float
    """Unix time of the first point, in seconds."""
    step_seconds: float
    values: tuple[float | None, ...]

    @property
    def end(self) -> float:
        """Unix time of the last point, in seconds."""
        return self.start + self.step_seconds * (len(self.values) - 1)


class DemandSource(StrEnum):
    """Whose counters a class's demand was read from, best first."""

    GATEWAY = "Gateway"
    ENGINES = "Engines"


@dataclass(frozen=True, slots=True)
class Demand:
    """What one class asks for, over all lanes together."""

    source: DemandSource
    requests_per_second: Reading
    input_tokens_per_request: Reading | None
    output_tokens_per_request: Reading | None
    cached_input_share: Reading | None
    """Share of the input tokens that the engines or the provider had cached, 0 to 1."""
    requests_per_second_by_lane: Mapping[str, Reading]
    """Observed requests a second by lane name, own and hosted: what confirms a shift of traffic."""
    history: tuple[Series, ...]
    """Requests a second, finest step first; each series ends near now, a coarser one reaches further back."""


class Confidence(StrEnum):
    """Whether a class's traffic could be told from others'."""

    OWN = "Own"
    AMBIGUOUS = "Ambiguous"


@dataclass(frozen=True, slots=True)
class ClassSnapshot:
    """One workload class of the plan."""

    resource: WorkloadClass
    demand: Demand | None
    attribution: Confidence = Confidence.OWN
    attainment: Reading | None = None
    """Share of own-GPU requests that met the SLO over the last minutes, 0 to 1 (lower of TTFT and ITL)."""
    announced: Series | None = None
    """Requests a second that are known beforehand, such as a scheduled load: each value is the mean over the step that
    begins at its time. Stands instead of the forecast as far as it reaches."""

    @property
    def key(self) -> str:
        """``namespace/name``."""
        return self.resource.metadata.key


@dataclass(frozen=True, slots=True)
class PodState:
    """One pod of a lane's target, with its engine's gauges."""

    name: str
    ready: bool
    deleting: bool
    created_at: float
    ready_at: float | None
    running: Reading | None = None
    waiting: Reading | None = None
    kv_usage: Reading | None = None


@dataclass(frozen=True, slots=True)
class TargetState:
    """The workload behind a self-hosted lane, as the apiserver has it."""

    kind: str
    name: str
    namespace: str
    uid: str
    resource_version: str
    replicas: int
    """spec.replicas now."""
    ready_replicas: int
    pods: tuple[PodState, ...]
    controller_owner: str | None = None
    """"Kind/name" of the controller that owns the workload, which forbids scaling it."""
    autoscaler: str | None = None
    """"Kind/name" of an HPA or ScaledObject on the workload, which forbids scaling it."""
    replicas_manager: str | None = None
    """Field manager that last wrote spec.replicas."""
    replicas_written_at: float | None = None
    """When it did, Unix time in seconds; known for Spillway's own writes only."""
    owned_by_spillway: bool = False
    """Whether Spillway is among the owners of spec.replicas (server-side apply)."""
    termination_grace_seconds: float | None = None
    baseline_replicas: int | None = None
    """Replicas before Spillway first scaled the target, from the baseline annotation."""
    last_scale_at: float | None = None
    """When Spillway last wrote the scale (noted just before the write), Unix time in seconds."""
    last_scale_from: int | None = None
    last_scale_to: int | None = None


@dataclass(frozen=True, slots=True)
class ServiceSample:
    """A stretch of one warm replica's time, or of the mean of a lane's: what service is learned from.

    Rates are per second of the stretch, per replica. The optional ones are None where the engine doesn't count them.
    """

    at: float
    """End of the stretch, Unix time in seconds."""
    inter_token_latency_seconds: float
    """Mean over the tokens decoded; 0 where none was."""
    running_per_replica: float
    input_tokens_per_second_per_replica: float
    """Prompt tokens, cached ones included."""
    output_tokens_per_second_per_replica: float
    kv_tokens_per_replica: float | None
    """Tokens held in the KV cache, mean of what was read."""
    iterations_per_second: float | None = None
    """Steps of the engine (vllm:iteration_tokens_total_count)."""
    decodes_per_second: float | None = None
    """Tokens decoded, first tokens left out (vllm:inter_token_latency_seconds_count)."""
    computed_prompt_tokens_per_second: float | None = None
    """Prompt tokens that were really computed: no cached ones."""
    busy_share: float | None = None
    """Share of the readings of the stretch in which a request was running, 0 to 1."""
    time_to_first_token_seconds: float | None = None
    """Mean over the lane's first tokens of the stretch; None where requests waited in the engine."""
    prompt_tokens_per_first_token: float | None = None
    """Computed prompt tokens of those requests, mean."""
    window_seconds: float | None = None
    """Length of the stretch."""


@dataclass(frozen=True, slots=True)
class EngineState:
    """A lane's engines, summed over the pods that its target owns."""

    pods_reporting: int
    """Pods with fresh engine metrics."""
    running: Reading | None
    waiting: Reading | None
    kv_usage: Reading | None
    """Highest over pods, 0 to 1."""
    input_tokens_per_second: Reading | None
    output_tokens_per_second: Reading | None
    requests_per_second: Reading | None
    """Completed requests a second."""
    time_to_first_token_seconds: Reading | None
    """Mean over the rate window."""
    inter_token_latency_seconds: Reading | None
    preemptions_per_second: Reading | None
    rejections_per_second: Reading | None
    samples: tuple[ServiceSample, ...] = ()


@dataclass(frozen=True, slots=True)
class GpuState:
    """GPU figures of a lane, from DCGM, kube-state-metrics or the cluster itself."""

    requested: float | None
    """GPUs that the lane's pods request."""
    allocatable: float | None
    """GPUs allocatable on the nodes that the operator may see."""
    busy: Reading | None
    """GR_ENGINE_ACTIVE, else GPU_UTIL/100, mean over the lane's GPUs, 0 to 1."""
    effective: Reading | None
    """max(MFU, MBU), 0 to 1, where the engines estimate it."""


@dataclass(frozen=True, slots=True)
class HostedState:
    """A hosted lane as the egress counts it, for the traffic of this plan."""

    requests_per_second: Reading | None
    input_tokens_per_second: Reading | None
    output_tokens_per_second: Reading | None
    errors_per_second: Reading | None = None


@dataclass(frozen=True, slots=True)
class TokenPrice:
    """A hosted lane's price in force, in US dollars per million tokens."""

    input_usd_per_mtok: Decimal
    cached_input_usd_per_mtok: Decimal
    output_usd_per_mtok: Decimal
    source: str
    """"contract", or the price package with version and the price's date."""


@dataclass(frozen=True, slots=True)
class LaneSnapshot:
    """One capacity lane of the plan. ``findings`` say what makes it unusable."""

    resource: CapacityLane
    target: TargetState | None = None
    engine: EngineState | None = None
    gpu: GpuState | None = None
    hosted: HostedState | None = None
    token_price: TokenPrice | None = None
    pool_gpus: int | None = None
    """GPUs of the lane's pool that this namespace may use; None when unbounded."""
    pool_gpus_others: int = 0
    """GPUs of that share which other plans' lanes ask for."""
    startup_seconds_observed: float | None = None
    """Median from creation to Ready over the lane's own pods."""

    @property
    def name(self) -> str:
        """Name of the CapacityLane."""
        return self.resource.metadata.name


@dataclass(frozen=True, slots=True)
class RouteState:
    """One binding's route rule as the apiserver has it."""

    class_name: str
    route: str
    rule: str | None
    exists: bool
    resource_version: str = ""
    weights: Mapping[str, int] = field(default_factory=dict)
    """Weight now by lane name."""
    rule_index: int | None = None
    accepted: bool | None = None
    """Every parent accepts this generation and resolves its references; None when no status yet."""
    problem: str | None = None
    """One sentence on why the rule can't be moved (missing rule, backend not in it, foreign owner)."""


class Severity(StrEnum):
    """What a finding means for the plan."""

    ERROR = "Error"
    """Spec error or conflict: Ready is False."""
    WARNING = "Warning"
    """Reported, nothing is held."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong or noteworthy about one object, found while observing or deciding."""

    severity: Severity
    reason: str
    """Machine reason, CamelCase."""
    message: str
    """One sentence: object, field, way out."""
    subject: str = ""
    """"Kind/namespace/name" of the object concerned."""


class MetricsReason(StrEnum):
    """Why metrics can or can't be used."""

    FOUND = "MetricsFound"
    MISSING = "MetricsMissing"
    STALE = "MetricsStale"
    ERROR = "PrometheusError"


@dataclass(frozen=True, slots=True)
class MetricsHealth:
    """Whether this plan's metrics can be decided on."""

    reason: MetricsReason
    message: str
    newest_at: float | None = None
    """Unix time of the newest sample of this plan, in seconds."""

    @property
    def usable(self) -> bool:
        """Whether decisions may rest on the metrics."""
        return self.reason is MetricsReason.FOUND


@dataclass(frozen=True, slots=True)
class Spent:
    """What the plan's hosted lanes have cost, in US dollars, as the egress counts their tokens."""

    hour_usd: float
    """In the running hour (UTC), and so on."""
    day_usd: float
    month_usd: float
    tier_hour_usd: Mapping[str, float] = field(default_factory=dict)
    """In the running hour, by value tier."""
    since: float = 0.0
    """When counting began, Unix time in seconds."""


@dataclass(frozen=True, slots=True)
class Actuators:
    """What the routing plane can do beside scaling: decisions use what is there, and nothing else."""

    weights: bool = True
    """A share of a class goes hosted at once."""
    in_flight_cap: bool = False
    """Requests in flight per Ready replica are capped at the proxy; what is over goes hosted."""
    hold: bool = False
    """With the cap: a request waits at the proxy for room before it goes hosted."""
    spill: bool = False
    """What own engines refuse goes hosted by itself; then a share of 0 or of all is all that weights say."""


@dataclass(frozen=True, slots=True)
class PlanSnapshot:
    """Everything that one plan's decision rests on."""

    at: float
    """Unix time of the tick, in seconds."""
    plan: CapacityPlan
    classes: tuple[ClassSnapshot, ...]
    lanes: tuple[LaneSnapshot, ...]
    routes: tuple[RouteState, ...]
    metrics: MetricsHealth
    findings: tuple[Finding, ...] = ()
    stopped: str | None = None
    """Why the emergency stop holds for this plan (one sentence), or None."""
    tick_seconds: float = 15.0
    scrape_seconds: float = 15.0
    """The scrape interval: how coarse and how late metrics are."""
    actuators: Actuators = Actuators()
    spent: Spent | None = None
    """None: nothing counts hosted tokens, or what was counted can't be read."""

    @property
    def key(self) -> str:
        """``namespace/name`` of the plan."""
        return self.plan.metadata.key

    def lane(self, name: str) -> LaneSnapshot | None:
        """The lane of that name, if it exists."""
        return next((lane for lane in self.lanes if lane.name == name), None)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One tick's view of all plans."""

    at: float
    plans: tuple[PlanSnapshot, ...]
