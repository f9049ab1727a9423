"""What a LiteLLM configuration is rendered from and into, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from spillway.decide.snapshot import Finding


class ProxyRole(StrEnum):
    """Where the proxy stands."""

    FRONT = "Front"
    """It is the only gateway: it shares traffic out between own and hosted lanes."""
    EGRESS = "Egress"
    """A gateway before it shares out; what reaches the proxy goes to hosted lanes."""


class Sending(StrEnum):
    """How work leaves own GPUs."""

    SPLIT = "Split"
    """By weights."""
    SPILL = "Spill"
    """What finds no room in the own lanes, or is refused there, goes on to hosted ones."""
    NEVER = "Never"
    """Nothing goes to hosted lanes."""


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """One LiteLLM proxy."""

    name: str
    """Of its ConfigMap."""
    namespace: str
    role: ProxyRole
    addresses: Mapping[str, str]
    """Lane name to the base address of its OpenAI API, such as "http://vllm.ai.svc:8000/v1". Own lanes need one;
    hosted lanes without one use their provider's."""
    replicas: int = 1
    workers: int = 1
    """Worker processes in one replica: every limit counts in one process alone."""

    @property
    def processes(self) -> int:
        """How many processes share each limit."""
        return max(1, self.replicas) * max(1, self.workers)


@dataclass(frozen=True, slots=True)
class Limits:
    """Most that may go to a hosted lane, over all processes of the proxy; None is no limit."""

    tokens_per_minute: int | None = None
    """Input and output tokens."""
    requests_per_minute: int | None = None


@dataclass(frozen=True, slots=True)
class Budget:
    """Most US dollars on hosted lanes, over all processes: what each of them counts and stops at by itself."""

    at: float
    """When ``left`` was true, Unix time in seconds."""
    ceilings: Mapping[str, Decimal]
    """By period: "hour", "day", "month" (UTC)."""
    left: Mapping[str, Decimal]
    """Of the periods that were running at ``at``."""
    tiers: Mapping[str, Decimal] = field(default_factory=dict)
    """An hour, by value tier."""
    prices: Mapping[str, tuple[Decimal, Decimal, Decimal]] = field(default_factory=dict)
    """By hosted lane: input, cached input and output, per million tokens. A lane without a price gets nothing."""


@dataclass(frozen=True, slots=True)
class Decided:
    """What was decided for one plan."""

    sending: Sending
    weights: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Class key ("namespace/name") to lane name to weight. A class without an entry stays on own lanes."""
    in_flight: Mapping[str, int] = field(default_factory=dict)
    """Own lane to the most requests in flight, over all its Ready replicas; Spill only. 0: no replica is Ready. Without
    an entry only the engine's own refusal spills."""
    hosted_order: tuple[str, ...] = ()
    """Hosted lanes in the order in which they are tried, cheapest first; those not named follow in the plan's order."""
    armed: Mapping[str, Limits] = field(default_factory=dict)
    """Hosted lane to limits that hold although nobody watches."""
    budget: Budget | None = None
    mended_at: int = 0
    """When an edit by hand was last undone, Unix time in seconds: what had started with it must start anew."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """One entry of LiteLLM's model_list: one lane that answers for one model name."""

    model_name: str
    """What clients ask for."""
    lane: str
    hosted: bool
    model: str
    """LiteLLM's name of the model, "provider/model"."""
    address: str = ""
    key_variable: str = ""
    """Environment variable that holds the provider's key; the key itself is never seen here."""
    weight: int | None = None
    order: int | None = None
    max_parallel_requests: int | None = None
    """In one process."""
    tokens_per_minute: int | None = None
    """In one process."""
    requests_per_minute: int | None = None
    """In one process."""
    flex: bool = False

    @property
    def id(self) -> str:
        """How metrics and /model/info name it."""
        return f"{self.model_name}@{self.lane}"


@dataclass(frozen=True, slots=True)
class Rendered:
    """A configuration, ready to be written."""

    name: str
    namespace: str
    plan: str
    """Key of the plan it was made for."""
    content_hash: str
    """Of everything the proxy reads: a rollout is needed where it changes."""
    files: Mapping[str, str]
    """File name to content."""
    deployments: tuple[Deployment, ...]
    findings: tuple[Finding, ...] = ()
    """What could not be rendered, and why."""
