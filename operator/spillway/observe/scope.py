"""The cluster's half of a tick: which objects belong to which plan, and what their targets look like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from spillway.api import CapacityLane, CapacityPlan, WorkloadClass
from spillway.api.proxynote import ProxyNote
from spillway.decide.snapshot import Finding, RouteState, TargetState


@dataclass(frozen=True, slots=True)
class Queue:
    """Whether a target's engine refuses what it can't take soon."""

    limited: bool | None
    """None: its arguments can't be told."""
    max_sequences: int | None = None
    """From its arguments."""


@dataclass(frozen=True, slots=True)
class LaneScope:
    """A lane that a plan decides on, with its target as the apiserver has it."""

    resource: CapacityLane
    target: TargetState | None = None
    gpus_requested: float | None = None
    """nvidia.com/gpu (or another vendor's) that the target's pods request; None when they request none."""
    startup_seconds_observed: float | None = None
    pool_gpus: int | None = None
    pool_gpus_others: int = 0
    queue: Queue | None = None
    """Whether the target's engine limits its queue; None without a target."""

    @property
    def key(self) -> str:
        """``namespace/name``."""
        return self.resource.metadata.key


@dataclass(frozen=True, slots=True)
class ProxyScope:
    """A plan's proxy as the apiserver has it."""

    namespace: str
    problem: str | None = None
    """One sentence on why it can't be configured."""
    written: str = ""
    """Hash of the configuration in the ConfigMap; empty before the first."""
    note: ProxyNote | None = None
    deployments: int | None = None
    """How many that configuration has; None where its note doesn't tell."""
    rolled_out: bool = False
    """Whether every pod was made for that configuration, and is available."""
    stuck: str | None = None
    """What the Deployment says where its rollout makes no progress."""
    pods: tuple[str, ...] = ()
    """Names of its pods that aren't being deleted."""
    replicas: int = 1
    """spec.replicas now."""


@dataclass(frozen=True, slots=True)
class PlanScope:
    """A plan with the objects that are really its own: conflicts and tenancy already resolved."""

    plan: CapacityPlan
    classes: tuple[WorkloadClass, ...]
    lanes: tuple[LaneScope, ...]
    routes: tuple[RouteState, ...]
    findings: tuple[Finding, ...] = ()
    stopped: str | None = None
    proxy: ProxyScope | None = None
    """The LiteLLM proxy that the plan configures, if it does."""


@dataclass(frozen=True, slots=True)
class ClusterView:
    """One tick's view of the cluster."""

    at: float
    plans: tuple[PlanScope, ...]
    gpus_allocatable: float | None = None
    """GPUs allocatable over all nodes that may be read; None when nodes may not be read."""
    object_findings: Mapping[str, tuple[Finding, ...]] = field(default_factory=dict)
    """Findings by "Kind/namespace/name", for the status of lanes and classes."""
    object_plans: Mapping[str, str] = field(default_factory=dict)
    """The plan that decides on an object, by "Kind/namespace/name"."""
    lanes: tuple[CapacityLane, ...] = ()
    classes: tuple[WorkloadClass, ...] = ()
    """Every valid lane and class, in a plan or not."""
