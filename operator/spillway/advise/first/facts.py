"""What was found, as frozen values. Missing is ``None`` and never 0; what could not be looked at is a Gap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from spillway.advise.prices import GpuOffer
from spillway.advise.sizing.gpus import GpuType
from spillway.api import Engine


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that could not be looked at."""

    what: str
    """Such as "nodes"."""
    why: str
    """Such as "forbidden"."""
    mend: str
    """What to do about it, one sentence."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Quantiles of one model's latencies at one workload, in seconds; None where nothing was observed."""

    ttft_p90: float | None = None
    ttft_p99: float | None = None
    itl_p90: float | None = None
    itl_p99: float | None = None


@dataclass(frozen=True, slots=True)
class Counted:
    """What counters tell of one kind of traffic."""

    seconds: float
    """Time for which there is anything, in seconds."""
    requests: float
    peak_requests_per_second: float
    """Of the busiest bin."""
    input_tokens: float | None
    output_tokens: float | None
    cached_tokens: float | None
    source: str
    """Whose counters: "vLLM's counters of Deployment vllm"."""

    @property
    def days(self) -> float:
        """Days of history."""
        return self.seconds / 86_400


@dataclass(frozen=True, slots=True)
class GpuKind:
    """The GPUs of one type of node."""

    type: str
    """As a lane names it: "nvidia-h100-80gb-hbm3"."""
    label: str
    """What said so: a node label and its value, or a metric's."""
    gpus: int | None
    """Allocatable in the cluster; None where nodes may not be read."""
    provider: str = ""
    """"aws", "gcp", "azure", "oci" where a node tells; else empty."""
    instance_types: tuple[str, ...] = ()
    spot: bool = False
    """Whether all of its nodes are spot nodes."""
    opencost_usd: Decimal | None = None
    """OpenCost's price of one GPU, in US dollars an hour."""


@dataclass(frozen=True, slots=True)
class Served:
    """One model that a workload serves."""

    name: str
    counted: Counted | None = None
    latency: Latency = Latency()


@dataclass(frozen=True, slots=True)
class Workload:
    """A workload with a scale subresource whose pods are engines."""

    namespace: str
    api_version: str
    kind: str
    name: str
    engine: Engine
    engine_source: str
    """What told the engine: "its metrics", "its image"."""
    models: tuple[Served, ...]
    models_source: str
    replicas: int
    gpus_per_replica: int | None
    gpu: GpuKind | None
    autoscaler: str | None = None
    """"HorizontalPodAutoscaler/name"; None: none."""
    autoscaler_max: int | None = None
    startup_seconds: float | None = None
    """Median over its pods that are there."""
    startup_pods: int = 0

    @property
    def key(self) -> str:
        """Kind/name, unique within its namespace."""
        return f"{self.kind}/{self.name}"


@dataclass(frozen=True, slots=True)
class HostedModel:
    """A hosted model that an egress proxy offers or has counted."""

    provider: str
    """As price packages name it."""
    model: str
    served_as: tuple[str, ...]
    """Names by which the proxy's clients ask for it."""
    proxy: str
    """Deployment of the proxy, as name; empty where only counters tell of it."""
    source: str
    price: str | None
    """Where the price comes from; None: nobody prices it."""
    counted: Counted | None = None


@dataclass(frozen=True, slots=True)
class Backend:
    """One backendRef of a rule."""

    kind: str
    """"Service", "Backend", or what else it is."""
    name: str
    port: int | None
    weight: int
    same_namespace: bool
    workload: str | None = None
    """Key of the workload behind it."""
    proxy: str | None = None
    """Name of the proxy's Deployment behind it."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of an HTTPRoute."""

    namespace: str
    route: str
    index: int
    name: str | None
    gateways: tuple[str, ...]
    backends: tuple[Backend, ...]
    generated: str | None = None
    """Who makes the route, where it is not a person's."""
    counted: Counted | None = None

    @property
    def text(self) -> str:
        """ "HTTPRoute chat, rule coding"."""
        return f"HTTPRoute {self.route}, rule {self.name or f'number {self.index + 1}'}"


@dataclass(frozen=True, slots=True)
class TeamShare:
    """Traffic of one team for one model, as a gateway's labels name them."""

    model: str
    team: str
    requests: float
    tokens: float | None


@dataclass(frozen=True, slots=True)
class Found:
    """Everything about one namespace."""

    namespace: str
    workloads: tuple[Workload, ...]
    hosted: tuple[HostedModel, ...] = ()
    rules: tuple[Rule, ...] = ()
    plans: tuple[str, ...] = ()
    """Names of CapacityPlans that are there already."""
    taken: Mapping[str, str] = field(default_factory=dict)
    """Workload key to the lane that has it already."""
    names: frozenset[str] = frozenset()
    """Names of lanes and classes that are there already."""


@dataclass(frozen=True, slots=True)
class World:
    """Everything that was found."""

    at: str
    """When, RFC 3339."""
    days: float
    """Days of history that were asked for."""
    context: str
    """Which cluster, for the header."""
    prometheus: str | None
    """Its address; None where it was not read."""
    namespaces: tuple[Found, ...]
    teams: tuple[TeamShare, ...] = ()
    gaps: tuple[Gap, ...] = ()
    left_out: tuple[str, ...] = ()
    """One sentence for each workload that was seen and not used."""
    offers: tuple[GpuOffer, ...] = ()
    """List prices of GPUs, for types that nothing else prices."""
    gpu_types: tuple[GpuType, ...] = ()
    """Types by which a lane's GPU is found among the offers."""
    given_prices: Mapping[str, Decimal] = field(default_factory=dict)
    """US dollars a GPU-hour by type, as the person gave them; "" for every type."""
    gateways_configured: bool | None = None
    """Whether the operator's configuration names gateways; None where it was not found."""
