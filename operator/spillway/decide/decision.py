"""What was decided, as frozen values: each with a machine reason and a sentence for people."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from spillway.api.why import WhyStep, WhyUnit
from spillway.decide.freed import Freed
from spillway.decide.snapshot import Finding


@dataclass(frozen=True, slots=True)
class Reason:
    """Why: a machine code and one sentence."""

    code: str
    """CamelCase, such as ``TroughScaleDown``."""
    message: str
    replicas: int | None = None
    """Of a bound or guard: the number of replicas that it let through."""


@dataclass(frozen=True, slots=True)
class Link:
    """One figure of the chain that leads to a decision, and what it rests on."""

    step: WhyStep
    value: float | None
    """In ``unit``; None is not known."""
    unit: WhyUnit
    text: str


@dataclass(frozen=True, slots=True)
class Utilization:
    """The five separate figures, ratios; None is not observed."""

    allocated: float | None = None
    busy: float | None = None
    effective: float | None = None
    load: float | None = None
    saturation: float | None = None


@dataclass(frozen=True, slots=True)
class LaneDecision:
    """What a lane should be."""

    name: str
    current: int | None
    """Replicas asked for now; None for hosted lanes and missing targets."""
    ready: int | None
    desired: int | None
    """Replicas that cost least within the lane's bounds, before other guards; None when not known."""
    recommended: int | None
    """Replicas after guards: what Apply writes."""
    reason: Reason
    guards: tuple[Reason, ...] = ()
    """Every guard that bit."""
    writable: bool = False
    """Whether the target may be scaled at all (exists, no conflict, no override, not blind)."""
    bounds_only: bool = False
    """Metrics or service are unknown: only min and max are obeyed."""
    pods_to_remove: tuple[str, ...] = ()
    """Names of the pods that should go first, least loaded first, when recommended < current."""
    utilization: Utilization = field(default_factory=Utilization)
    usd_per_hour: float | None = None
    """GPU or hosted dollars now."""
    usd_per_mtok: float | None = None
    spill_share: float | None = None
    """Hosted lanes: observed share of the plan's requests, 0 to 1."""
    replica_requests_per_second: float | None = None
    """What one replica serves within the SLO at the present mix."""
    in_flight_cap: int | None = None
    """Most requests in flight per Ready replica, where the plane can cap them."""
    chain: tuple[Link, ...] = ()
    """Own lanes: why so many replicas, in the order of deciding; at most ten."""
    freed: Freed | None = None
    """What it would be asked for without its bounds; None for hosted lanes and where that is not known."""


@dataclass(frozen=True, slots=True)
class ClassDecision:
    """What a class needs and where it should be served."""

    key: str
    requests_per_second: float | None
    tokens_per_second: float | None
    forecast: Mapping[str, float] = field(default_factory=dict)
    """Requests a second at the start-up lead, by quantile ("0.1", "0.5", "0.9")."""
    hosted_share: float | None = None
    """Share that hosted lanes should get now, 0 to 1."""
    attainment: float | None = None
    usd_per_hour: float | None = None
    own_usd_per_hour: float | None = None
    """Of these, its share of the GPU dollars of own lanes by work."""
    reason: Reason | None = None
    hold_seconds: float | None = None
    """Longest wait at the proxy for room on own lanes before a request goes hosted, where the plane can hold."""
    chain: tuple[Link, ...] = ()
    """Why hosted lanes should get this share; at most six."""


@dataclass(frozen=True, slots=True)
class RouteDecision:
    """The weights that one binding's rule should have."""

    class_name: str
    route: str
    rule: str | None
    current: Mapping[str, int]
    weights: Mapping[str, int]
    """By lane name, whole percent, summing to 100."""
    reason: Reason
    writable: bool = False

    @property
    def changed(self) -> bool:
        """Whether the rule has other weights now."""
        return dict(self.current) != dict(self.weights)


@dataclass(frozen=True, slots=True)
class Costs:
    """Dollars an hour of the whole plan; None is not known."""

    billed: float | None = None
    allocated: float | None = None
    static: float | None = None
    saving: float | None = None
    expected: float | None = None
    """What the recommendation is expected to cost."""
    hosted: float | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision on one plan."""

    plan_key: str
    at: float
    valid_until: float
    lanes: tuple[LaneDecision, ...]
    classes: tuple[ClassDecision, ...]
    routes: tuple[RouteDecision, ...]
    costs: Costs
    reason: Reason
    findings: tuple[Finding, ...] = ()
    """All findings, the snapshot's included."""
    held: Reason | None = None
    """Why everything is held (blind, stopped, paused), if it is."""
    overflow_active: bool = False
    """Hosted lanes get or should get a share."""
    bound_savings: Mapping[str, float] = field(default_factory=dict)
    """Dollars an hour that one replica, one dollar of ceiling or 1,000 tokens a minute more would save, by bound
    ("lane/gpu", "pool/p", "ceiling", "tier/t", "tokens-per-minute/hosted"); looked at once an hour."""

    def lane(self, name: str) -> LaneDecision | None:
        """The decision on the lane of that name."""
        return next((lane for lane in self.lanes if lane.name == name), None)

    @property
    def plan_hash(self) -> str:
        """Short hash of what would be written: replicas and weights."""
        return _hash(self)


def _hash(decision: Decision) -> str:
    content = {
        "plan": decision.plan_key,
        "replicas": {lane.name: lane.recommended for lane in decision.lanes if lane.recommended is not None},
        "weights": {f"{r.route}/{r.rule}/{r.class_name}": dict(sorted(r.weights.items())) for r in decision.routes},
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
