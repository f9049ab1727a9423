"""Every machine reason that a decision can give. The sentences that go with them stand beside the code that decides."""

from __future__ import annotations

from enum import StrEnum

from spillway.decide.decision import Reason


class Code(StrEnum):
    """Machine reasons of lanes, classes, routes, guards and whole decisions."""

    STEADY = "Steady"
    SCALE_UP = "ScaleUp"
    SCALE_DOWN = "TroughScaleDown"
    TO_ZERO = "ToZero"
    FROM_ZERO = "FromZero"
    API_ONLY = "ApiOnly"
    WARMING_UP = "WarmingUp"
    SPILLING = "Spilling"
    RETURNING = "Returning"
    OWN_ONLY = "OwnOnly"
    HOSTED_ONLY = "HostedOnly"
    CEILING_REACHED = "CeilingReached"

    HOLD_BLIND = "HoldBlind"
    LANE_BLIND = "LaneBlind"
    STOPPED = "Stopped"
    PAUSED = "Paused"
    OBSERVE_ONLY = "ObserveOnly"

    DEMAND_UNKNOWN = "DemandUnknown"
    DEMAND_STALE = "DemandStale"
    MIX_UNKNOWN = "TokenMixUnknown"
    SERVICE_UNKNOWN = "ServiceUnknown"
    COUNTED_ELSEWHERE = "CountedElsewhere"
    NO_CLASSES = "NoClasses"
    CLASS_MISSING = "ClassMissing"
    SLO_UNREACHABLE = "SloUnreachable"

    MIN_REPLICAS = "MinReplicas"
    MAX_REPLICAS = "MaxReplicas"
    POOL_EXHAUSTED = "PoolExhausted"
    STEP_UP = "ScaleUpStep"
    STEP_DOWN = "ScaleDownStep"
    STABILIZING = "Stabilizing"
    WOULD_SATURATE = "ScaleInWouldSaturate"
    ZERO_NOT_ALLOWED = "ZeroNotAllowed"
    DRAINING = "Draining"
    MANUAL_OVERRIDE = "ManualOverride"
    AUTOSCALER_CONFLICT = "AutoscalerConflict"
    CONTROLLER_OWNED = "ControllerOwned"
    TARGET_MISSING = "TargetMissing"
    LANE_INVALID = "LaneInvalid"
    REPLICAS_CONTESTED = "ReplicasContested"
    CAPACITY_UNAVAILABLE = "CapacityUnavailable"

    HOSTED_LANE = "HostedLane"
    PROVIDER_REFUSES = "ProviderRefuses"
    PROVIDERS_FULL = "ProvidersFull"
    UNSUPPORTED = "Unsupported"
    PRICE_UNKNOWN = "PriceUnknown"
    NO_FALLBACK_LANE = "NoFallbackLane"
    DATA_POLICY = "DataPolicy"
    NO_CAPACITY = "NoCapacity"
    ROUTE_UNUSABLE = "RouteUnusable"
    OVERFLOW_NEVER = "OverflowNever"


def because(code: Code, message: str) -> Reason:
    """A reason of this code with its sentence."""
    return Reason(code.value, message)


def count(number: int, noun: str = "replica") -> str:
    """ "1 replica", "4 replicas"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def figure(value: float) -> str:
    """A figure in at most three significant digits, without exponent: 41, 0.52, 1230."""
    if value == 0 or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}".removesuffix(".0") if abs(value) >= 1 else f"{value:.2g}"


def usd(value: float) -> str:
    """Dollars with cents: $3.85."""
    return f"${value:,.2f}"
