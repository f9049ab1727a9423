"""The BackendTrafficPolicy of a generated route: room for its requests, in Spill mode the way to hosted lanes. Pure.

What own lanes refuse is tried once at the hosted ones, before the first byte only. A 500 and every other answer goes
back to the client: it is no saturation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spillway.act.planes.gateway_api_rules import managed_meta
from spillway.act.planes.plane import Wanted
from spillway.api import Binding, CapacityPlan, DataPolicy, LaneType, LatencyClass, OverflowMode, WorkloadClass
from spillway.kube import TRAFFIC_POLICIES

JSON = dict[str, Any]

MOST_AT_ONCE = 100_000
"""Requests of one rule in one Envoy process: far beyond what own and hosted lanes take, still a bound on its memory."""
LIMITS: JSON = dict.fromkeys(
    ("maxConnections", "maxPendingRequests", "maxParallelRequests", "maxParallelRetries"), MOST_AT_ONCE
)
"""Envoy's own are 1,024 each for all backends of a rule together, and answer 503 to what is beyond. A request that has
spilled counts as a retry until it is answered."""
RETRY: JSON = {
    "numRetries": 2,
    "numAttemptsPerPriority": 1,
    "retryOn": {
        "triggers": ["connect-failure", "refused-stream", "retriable-status-codes"],
        "httpStatusCodes": [429, 503],
    },
    "perRetry": {"backOff": {"baseInterval": "10ms", "maxInterval": "50ms"}},
}


def spills(wanted: Wanted, resource: WorkloadClass) -> bool:
    """Whether the class's requests may go on to hosted lanes by the gateway's own doing."""
    mode = wanted.plan.spec.overflow.mode
    return mode is OverflowMode.SPILL and resource.spec.data_policy is DataPolicy.ANY


def takes_spill(wanted: Wanted, binding: Binding, resource: WorkloadClass) -> str | None:
    """The hosted lane that takes what own lanes refuse: the first of the plan's that may serve the class."""
    models = set(resource.spec.equivalent_models)
    kinds = {LaneType.HOSTED_REALTIME}
    if resource.spec.latency is not LatencyClass.INTERACTIVE:
        kinds.add(LaneType.FLEX)
    able = {
        lane.metadata.name
        for lane in wanted.lanes
        if lane.spec.type in kinds and lane.metadata.name in binding.backends and models & set(lane.spec.models)
    }
    return next((name for name in wanted.plan.spec.lanes if name in able), None)


def policy(plan: CapacityPlan, binding: Binding, *, on: bool, version: str = "") -> JSON:
    """The whole policy of a generated route. ``on``: whether what own lanes refuse is tried at hosted ones.

    What a policy of the Gateway says beside, such as a rate limit, goes on to hold: without ``mergeType`` it would not.
    """
    meta = managed_meta(plan, binding)
    if version:
        meta["resourceVersion"] = version
    target = {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": binding.http_route}
    return {
        "apiVersion": TRAFFIC_POLICIES.api_version,
        "kind": "BackendTrafficPolicy",
        "metadata": meta,
        "spec": {
            "targetRefs": [target],
            "mergeType": "StrategicMerge",
            "circuitBreaker": LIMITS,
            **({"retry": RETRY} if on else {}),
        },
    }


def holds(wanted: Any, found: Any) -> bool:
    """Whether ``found`` has everything of ``wanted``; the apiserver's defaults beside it do not matter."""
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(holds(value, found.get(key)) for key, value in wanted.items())
    if isinstance(wanted, list):
        same_length = isinstance(found, list) and len(wanted) == len(found)
        return same_length and all(holds(*pair) for pair in zip(wanted, found, strict=True))
    return bool(wanted == found)
