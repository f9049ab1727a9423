"""Labels, annotations and keys that Spillway puts on objects or reads from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

BASELINE_ANNOTATION = "spillway.dev/baseline-replicas"
"""On a target: its replicas before Spillway first scaled it."""
LAST_SCALE_ANNOTATION = "spillway.dev/last-scale"
"""On a target: JSON of the last scale write, {"at", "from", "to"}, noted just before it. The apiserver keeps no time
for writes of the scale subresource, and a step budget has to outlive a crash."""
BASELINE_WEIGHTS_ANNOTATION = "spillway.dev/baseline-weights"
"""On an adopted HTTPRoute: JSON of rule name to backend name to weight before Spillway first moved it."""
ROUTING_ANNOTATION = "spillway.dev/routing"
"""On an HTTPRoute: JSON of rule name to {"plan", "good", "refusedAt"}: the weights by lane that the gateway accepted
last, and when it refused others."""
PLAN_ANNOTATION = "spillway.dev/plan"
"""On a managed HTTPRoute: the plan that it was generated for, namespace/name."""
MANAGED_LABEL = "app.kubernetes.io/managed-by"
MANAGED_VALUE = "spillway"
OPT_OUT_HEADER = "x-spillway-own-only"
"""A request with this header ("true") is served by own GPUs or not at all: a rule of its own in managed HTTPRoutes."""
OVERFLOW_HEADER = "x-spillway-overflow"
"""The same with the value "never": the one header that every plane knows."""
OPT_OUT_RULE = "own-only"
"""Name of that rule."""
SERVED_BY_HEADER = "x-spillway-served-by"
"""On an answer: the lane that gave it."""
REASON_HEADER = "x-spillway-spill-reason"
"""On an answer of a hosted lane: why."""
STOP_ANNOTATION = "spillway.dev/stop"
"""On a namespace: the emergency stop of its plans."""
STOP_KEY = "stop"
"""In the emergency stop's ConfigMap."""
APPROVED_ANNOTATION = "spillway.dev/approved"
"""On a LaneChange: the planHash that a person approved. The chart's admission policy asks for the verb ``approve``."""
APPROVED_BY_ANNOTATION = "spillway.dev/approved-by"
"""On a LaneChange: who approved; the admission policy lets nobody name anybody else."""
REJECTED_ANNOTATION = "spillway.dev/rejected"
"""On a LaneChange: why a person rejected it. Guarded like the approval."""
REJECTED_BY_ANNOTATION = "spillway.dev/rejected-by"
PAUSE_REASON_ANNOTATION = "spillway.dev/pause-reason"
"""On a CapacityPlan: why a person has paused it."""
APPROVE_VERB = "approve"
"""RBAC verb on lanechanges that approving and rejecting need."""
DELETION_COST_ANNOTATION = "controller.kubernetes.io/pod-deletion-cost"
MARK_ANNOTATION = "spillway.dev/goes-first"
"""On a pod whose deletion cost Spillway has set."""


@dataclass(frozen=True, slots=True)
class BackendName:
    """A binding's backend text, ``[Kind/]name[:port]``, taken apart."""

    kind: str
    name: str
    port: int | None

    @classmethod
    def parse(cls, text: str) -> BackendName:
        """Take ``text`` apart; the CRD's pattern has checked its form."""
        kind, _, rest = text.rpartition("/")
        name, _, port = rest.partition(":")
        return cls(kind or "Service", name, int(port) if port else None)

    def position(self, refs: Sequence[Mapping[str, Any]]) -> int | None:
        """Index of this backend in a rule's backendRefs; without a port of its own, any port is meant."""
        for index, ref in enumerate(refs):
            same = ref.get("name") == self.name and ref.get("kind", "Service") == self.kind
            if same and (self.port is None or ref.get("port") in (None, self.port)):
                return index
        return None


def baseline_key(ref: Mapping[str, Any], refs: Sequence[Mapping[str, Any]]) -> str:
    """How the noted baseline names a backendRef: by its name, with the port where several have that name."""
    name = str(ref.get("name"))
    return name if sum(other.get("name") == name for other in refs) == 1 else f"{name}:{ref.get('port', '')}"


def strangers(refs: Sequence[Mapping[str, Any]], backends: Mapping[str, str]) -> list[str]:
    """backendRefs of a rule that get traffic and stand for no lane: moving the others would change their share."""
    named = {BackendName.parse(text).position(refs) for text in backends.values()}
    return [str(ref.get("name")) for i, ref in enumerate(refs) if i not in named and ref.get("weight", 1) > 0]
