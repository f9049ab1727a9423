"""The real gateway stack for tests, upstreams behind names, and the objects that users make."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import pytest

from spillway_dev.controlplane import ControlPlane, ControlPlaneOptions
from spillway_dev.gateway import EnvoyGatewayStack
from spillway_dev.gateway.manifests import parent_ref
from spillway_dev.processes import free_ports, wait_until
from spillway_dev.toolchain import Tools
from spillway_dev.upstreams import Upstream

Object = dict[str, Any]
ENVOY = "gateway.envoyproxy.io/v1alpha1"
ROUTES = "httproutes.gateway.networking.k8s.io"
CLASS_HEADER = "x-class"
ADDRESSES = itertools.count(2)


@pytest.fixture(scope="module")
def gateway_stack(tools: Tools) -> Iterator[EnvoyGatewayStack]:
    """Envoy Gateway on a control plane of its own: its CRDs are of another channel than the other tests'."""
    options = ControlPlaneOptions(nodes=())
    with ControlPlane(tools, options) as control_plane, EnvoyGatewayStack(control_plane) as stack:
        yield stack


@pytest.fixture
def lanes(gateway_stack: EnvoyGatewayStack) -> Iterator[Lanes]:
    """Two local replicas behind one name, a hosted upstream behind another, in a fresh namespace."""
    made = Lanes(gateway_stack)
    yield made
    made.close()


class Lanes:
    """One namespace with a Backend for each lane, its upstreams, and a class whose traffic a header names."""

    def __init__(self, stack: EnvoyGatewayStack) -> None:
        number = next(ADDRESSES)
        self.stack = stack
        self.cluster = stack.cluster
        self.namespace = self.cluster.create_namespace(f"lanes-{number}")
        self.headers = {CLASS_HEADER: self.namespace}
        self.local_name = f"vllm.{self.namespace}.svc.cluster.local"
        self.hosted_name = f"egress.{self.namespace}.svc.cluster.local"
        (self.port,) = free_ports(1)
        self._open = ExitStack()
        # One name with two addresses and one port is what a headless Service looks like to Envoy.
        self.local = [self._upstream("gpu", f"127.0.{number}.{part}") for part in (1, 2)]
        self.hosted = self._upstream("hosted", f"127.0.{number}.3")
        stack.set_names({self.local_name: [one.host for one in self.local], self.hosted_name: [self.hosted.host]})
        self.cluster.apply(
            backend(self.namespace, "vllm", self.local_name, self.port),
            backend(self.namespace, "egress", self.hosted_name, self.port),
        )

    def _upstream(self, name: str, host: str) -> Upstream:
        return self._open.enter_context(Upstream(name, host=host, port=self.port))

    def close(self) -> None:
        """End the upstreams and delete the namespace with its routes."""
        self.cluster.delete_namespace(self.namespace)
        self._open.close()

    def set_local(self, **settings: Any) -> None:
        """Change how the local upstreams answer."""
        for upstream in self.local:
            upstream.set(**settings)

    def counted(self, counter: str) -> int:
        """A counter of the local upstreams, summed."""
        return sum(upstream.counters()[counter] for upstream in self.local)

    def settled(self, name: str = "chat") -> None:
        """Wait until Envoy Gateway has accepted the route at its present generation."""
        wait_until(lambda: accepted(self.cluster.get(ROUTES, name, self.namespace)), f"HTTPRoute {name} accepted", 60)


def backend(namespace: str, name: str, hostname: str, port: int, **spec: Any) -> Object:
    """A lane's Backend: a DNS name, so that all of a rule's backends are of one kind of endpoint."""
    endpoint = {"fqdn": {"hostname": hostname, "port": port}}
    return _object(ENVOY, "Backend", namespace, name, {"endpoints": [endpoint], **spec})


def address_backend(namespace: str, name: str, addresses: Sequence[str], port: int, **spec: Any) -> Object:
    """A Backend by IP addresses, as Envoy Gateway makes of a Service's endpoints, too."""
    endpoints = [{"ip": {"address": address, "port": port}} for address in addresses]
    return _object(ENVOY, "Backend", namespace, name, {"endpoints": endpoints, **spec})


def http_route(namespace: str, name: str = "chat", **weights: int) -> Object:
    """Somebody's HTTPRoute of one named rule over Backends with these weights."""
    group = ENVOY.split("/", maxsplit=1)[0]
    refs = [{"group": group, "kind": "Backend", "name": name, "weight": weight} for name, weight in weights.items()]
    match = {
        "path": {"type": "PathPrefix", "value": "/v1"},
        "headers": [{"type": "Exact", "name": CLASS_HEADER, "value": namespace}],
    }
    rule = {"name": "all", "matches": [match], "backendRefs": refs}
    spec = {"parentRefs": [parent_ref()], "rules": [rule]}
    return _object("gateway.networking.k8s.io/v1", "HTTPRoute", namespace, name, spec)


def spill_policy(namespace: str, route: str = "chat") -> Object:
    """What makes a refused request try the fallback: one attempt per priority, before the first byte only."""
    triggers = ["connect-failure", "refused-stream", "retriable-status-codes"]
    retry = {
        "numRetries": 2,
        "numAttemptsPerPriority": 1,
        "retryOn": {"triggers": triggers, "httpStatusCodes": [429, 503]},
        "perRetry": {"backOff": {"baseInterval": "10ms", "maxInterval": "50ms"}},
    }
    return traffic_policy(namespace, route, "HTTPRoute", route, retry=retry)


def traffic_policy(namespace: str, name: str, kind: str, target: str, **spec: Any) -> Object:
    """A BackendTrafficPolicy on one object of its namespace."""
    ref = {"group": "gateway.networking.k8s.io", "kind": kind, "name": target}
    return _object(ENVOY, "BackendTrafficPolicy", namespace, name, {"targetRefs": [ref], **spec})


def accepted(route: Object) -> bool:
    """Whether every parent has accepted the route as it is now, with all its references."""
    parents = route.get("status", {}).get("parents", [])
    wanted = {(kind, "True", route["metadata"]["generation"]) for kind in ("Accepted", "ResolvedRefs")}
    return bool(parents) and all(
        wanted <= {(c["type"], c["status"], c.get("observedGeneration")) for c in parent["conditions"]}
        for parent in parents
    )


def _object(api_version: str, kind: str, namespace: str, name: str, spec: Object) -> Object:
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }
