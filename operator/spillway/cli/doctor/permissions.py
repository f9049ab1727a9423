"""What the operator may do: the same list that the chart grants (a test compares them)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from spillway.kube import Resource


class Need(StrEnum):
    """What a permission is needed for."""

    RECOMMEND = "recommend"
    APPLY = "apply"


class Scope(StrEnum):
    """Where it is needed."""

    NAMESPACES = "namespaces"
    """The namespaces that the operator works in."""
    CLUSTER = "cluster"
    STOP = "stop"
    """The namespace of the emergency stop's ConfigMap."""
    LEDGER = "ledger"
    """The operator's own namespace, where the spend ledger and what is observed of lanes are kept."""


@dataclass(frozen=True, slots=True)
class Permission:
    """One verb on one resource."""

    group: str
    resource: str
    verb: str
    need: Need
    scope: Scope = Scope.NAMESPACES
    optional: bool = False
    """Needed only where that kind is in use."""

    @property
    def text(self) -> str:
        """ "patch deployments/scale.apps"."""
        return f"{self.verb} {self.resource}{f'.{self.group}' if self.group else ''}"

    @property
    def plural(self) -> str:
        """Name of the resource without its subresource."""
        return self.resource.partition("/")[0]

    @property
    def subresource(self) -> str | None:
        """Name of the subresource, if it is about one."""
        return self.resource.partition("/")[2] or None

    def as_resource(self) -> Resource:
        """What an access review asks about (the version does not matter to it)."""
        return Resource(f"{self.group}/v1" if self.group else "v1", self.plural, self.scope is not Scope.CLUSTER)


LEADER_WORKER = "leaderworkerset.x-k8s.io"
GATEWAY = "gateway.networking.k8s.io"
ENVOY = "gateway.envoyproxy.io"
ENVOY_AI = "aigateway.envoyproxy.io"
OWN = "spillway.dev"
OWN_KINDS = ("workloadclasses", "capacitylanes", "capacityplans", "lanechanges")


def _read(group: str, *resources: str, verbs: str = "get list", optional: bool = False) -> tuple[Permission, ...]:
    return tuple(
        Permission(group, resource, verb, Need.RECOMMEND, optional=optional)
        for resource in resources
        for verb in verbs.split()
    )


def _write(group: str, *resources: str, verbs: str = "patch", optional: bool = False) -> tuple[Permission, ...]:
    return tuple(
        Permission(group, resource, verb, Need.APPLY, optional=optional)
        for resource in resources
        for verb in verbs.split()
    )


PERMISSIONS: tuple[Permission, ...] = (
    *_read(OWN, *OWN_KINDS, verbs="get list watch"),
    *_read(OWN, *(f"{kind}/status" for kind in OWN_KINDS), verbs="patch"),
    *_read(OWN, "lanechanges", verbs="create propose delete"),
    *_read("events.k8s.io", "events", verbs="create"),
    *_read("", "pods", verbs="list"),
    *_read("apps", "deployments", "replicasets", "statefulsets"),
    *_read("apps", "deployments/scale", "statefulsets/scale", verbs="get"),
    *_read(LEADER_WORKER, "leaderworkersets", optional=True),
    *_read(LEADER_WORKER, "leaderworkersets/scale", verbs="get", optional=True),
    *_read("autoscaling", "horizontalpodautoscalers", verbs="list"),
    *_read("keda.sh", "scaledobjects", verbs="list", optional=True),
    *_read(GATEWAY, "httproutes", optional=True),
    *_read(ENVOY, "backends", "backendtrafficpolicies", verbs="list", optional=True),
    *_read(ENVOY_AI, "aigatewayroutes", optional=True),
    *_read(ENVOY_AI, "aiservicebackends", verbs="list", optional=True),
    *(
        Permission(group, resource, verb, Need.RECOMMEND, Scope.CLUSTER, optional=True)
        for group, resource in (
            ("", "namespaces"),
            ("", "nodes"),
            ("apiextensions.k8s.io", "customresourcedefinitions"),
        )
        for verb in ("get", "list")
    ),
    Permission("", "configmaps", "get", Need.RECOMMEND, Scope.STOP),
    Permission("", "configmaps", "get", Need.RECOMMEND, Scope.LEDGER),
    Permission("", "configmaps", "patch", Need.RECOMMEND, Scope.LEDGER),
    Permission("", "configmaps", "create", Need.RECOMMEND, Scope.LEDGER),
    *_write("apps", "deployments/scale", "statefulsets/scale", "deployments", "statefulsets"),
    *_write(LEADER_WORKER, "leaderworkersets/scale", "leaderworkersets", optional=True),
    *_write("", "pods"),
    *_write(GATEWAY, "httproutes", verbs="create patch", optional=True),
    *_write(ENVOY, "backendtrafficpolicies", verbs="create patch", optional=True),
    *_write(ENVOY_AI, "aigatewayroutes", verbs="create patch", optional=True),
)
"""Everything that the operator asks of the apiserver."""
