"""What the doctor found out, as frozen values: the checks read nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from spillway.cli.doctor.permissions import Permission
from spillway.config import OperatorConfig
from spillway.decide.decision import Decision
from spillway.decide.snapshot import PlanSnapshot
from spillway.observe.metrics import MetricsView
from spillway.observe.readings import PodKey
from spillway.observe.scope import ClusterView


@dataclass(frozen=True, slots=True)
class CrdFact:
    """One of this release's CRDs as the cluster has it."""

    name: str
    installed: bool
    established: bool = False
    same: bool = False
    """Whether names, versions, columns and schema are those of this release."""


@dataclass(frozen=True, slots=True)
class Review:
    """The apiserver's answer on one permission; ``namespace`` None is the whole cluster."""

    permission: Permission
    namespace: str | None
    allowed: bool


@dataclass(frozen=True, slots=True)
class TargetFact:
    """Who else writes ``spec.replicas`` of a lane's target."""

    lane: str
    """namespace/name of the lane."""
    target: str
    """"Deployment namespace/name"."""
    replicas_in_last_applied: bool
    """Whether a client-side ``kubectl apply`` carries ``replicas``."""
    appliers: tuple[str, ...] = ()
    """Field managers other than Spillway that own ``replicas`` by server-side apply."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What the operator itself never asks of Prometheus."""

    engine_samples: tuple[Mapping[str, str], ...] = ()
    """Raw labels of some engine series."""
    gpu_series: int = 0
    """DCGM's series, attributed or not."""
    p99_seconds: Mapping[PodKey, float] = field(default_factory=dict)
    """99% quantile of the request time over the last hour, by pod."""


@dataclass(frozen=True, slots=True)
class ProxyRights:
    """What may be done with the ConfigMap of one plan's LiteLLM proxy."""

    plan: str
    """namespace/name."""
    namespace: str
    config_map: str
    may_read: bool
    may_patch: bool
    applies: bool
    """Whether the plan is in mode Apply."""


@dataclass(frozen=True, slots=True)
class AdoptedRule:
    """A rule of somebody's HTTPRoute that a plan moves, with the limits of its traffic policy."""

    route: str
    """"HTTPRoute namespace/name"."""
    rule: str
    limits: Mapping[str, int]
    """circuitBreaker of Envoy Gateway's policy in force; what is left out is Envoy's default."""
    spills: bool
    """Whether the plan leaves spilling to the gateway."""


@dataclass(frozen=True, slots=True)
class PolicyFact:
    """A ValidatingAdmissionPolicy that looks at who approves LaneChanges."""

    name: str
    verbs: tuple[str, ...]
    """Verbs of ours that it asks for."""
    denies: bool
    """Whether a binding makes it refuse, in every namespace."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything."""

    now: float
    user: str
    """As whom the permissions were asked."""
    server_version: str | None = None
    server_error: str | None = None
    config: OperatorConfig | None = None
    config_source: str = ""
    config_error: str | None = None
    crds: tuple[CrdFact, ...] = ()
    crds_error: str | None = None
    reviews: tuple[Review, ...] = ()
    reviews_error: str | None = None
    view: ClusterView | None = None
    view_error: str | None = None
    global_stop: str | None = None
    """Why the emergency stop holds everywhere, or None."""
    targets: tuple[TargetFact, ...] = ()
    proxies: tuple[ProxyRights, ...] = ()
    adopted: tuple[AdoptedRule, ...] = ()
    approval: tuple[PolicyFact, ...] | str = ()
    """Policies that guard approvals, or why they could not be read."""
    metrics: MetricsView | None = None
    """What the operator itself would read now; None where it was not asked."""
    probe: Probe = field(default_factory=Probe)
    plans: tuple[tuple[PlanSnapshot, Decision], ...] = ()
    """What the operator would decide now."""
