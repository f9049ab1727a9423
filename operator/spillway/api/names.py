"""Labels, annotations and keys that Spillway puts on objects or reads from them."""

from __future__ import annotations

from dataclasses import dataclass

BASELINE_ANNOTATION = "spillway.dev/baseline-replicas"
"""On a target: its replicas before Spillway first scaled it."""
LAST_SCALE_ANNOTATION = "spillway.dev/last-scale"
"""On a target: JSON of the last scale write, {"at", "from", "to"}, noted just before it. The apiserver keeps no time
for writes of the scale subresource, and a step budget has to outlive a crash."""
BASELINE_WEIGHTS_ANNOTATION = "spillway.dev/baseline-weights"
"""On an adopted HTTPRoute: JSON of rule name to backend name to weight before Spillway first moved it."""
PLAN_ANNOTATION = "spillway.dev/plan"
"""On a managed HTTPRoute: the plan that it was generated for, namespace/name."""
MANAGED_LABEL = "app.kubernetes.io/managed-by"
MANAGED_VALUE = "spillway"
STOP_ANNOTATION = "spillway.dev/stop"
"""On a namespace: the emergency stop of its plans."""
STOP_KEY = "stop"
"""In the emergency stop's ConfigMap."""
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
