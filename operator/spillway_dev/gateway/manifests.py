"""What Envoy Gateway is given: its own configuration, and the objects of one Gateway."""

from __future__ import annotations

from pathlib import Path
from typing import Any

Object = dict[str, Any]

CONTROLLER = "gateway.envoyproxy.io/gatewayclass-controller"
NAMESPACE = "envoy-gateway-system"
GATEWAY_CLASS = "envoy"
GATEWAY = "gateway"
LISTENER = "http"


def gateway_config(folder: Path, admin_port: int) -> Object:
    """Envoy Gateway's configuration: resources from the cluster, Envoy as a child process, all files in `folder`."""
    host = {name: str(folder / part) for name, part in _HOST_FOLDERS.items()}
    return {
        "apiVersion": "gateway.envoyproxy.io/v1alpha1",
        "kind": "EnvoyGateway",
        "gateway": {"controllerName": CONTROLLER},
        "provider": {
            "type": "Custom",
            "custom": {
                "resource": {"type": "Kubernetes", "kubernetes": {"leaderElection": {"disable": True}}},
                "infrastructure": {"type": "Host", "host": host},
            },
        },
        "admin": {"address": {"host": "127.0.0.1", "port": admin_port}},
        "extensionApis": {"enableBackend": True},
        "logging": {"level": {"default": "warn"}},
    }


_HOST_FOLDERS = {"configHome": "config", "dataHome": "data", "stateHome": "state", "runtimeDir": "run"}


def gateway_objects(envoy_version: str, listener_port: int, dns_port: int) -> list[Object]:
    """GatewayClass, EnvoyProxy and Gateway: one HTTP listener that takes routes of every namespace.

    Envoy asks the name server on `dns_port` of loopback, and no other.
    """
    proxy = {
        "apiVersion": "gateway.envoyproxy.io/v1alpha1",
        "kind": "EnvoyProxy",
        "metadata": {"name": GATEWAY, "namespace": NAMESPACE},
        "spec": {
            "provider": {"type": "Host", "host": {"envoyVersion": envoy_version}},
            "concurrency": 2,
            # One line per request would fill the disk under load.
            "telemetry": {"accessLog": {"disable": True}},
            "bootstrap": {"type": "JSONPatch", "jsonPatches": [_resolver(dns_port)]},
        },
    }
    parameters = {
        "group": "gateway.envoyproxy.io",
        "kind": "EnvoyProxy",
        "name": GATEWAY,
        "namespace": NAMESPACE,
    }
    gateway_class = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "GatewayClass",
        "metadata": {"name": GATEWAY_CLASS},
        "spec": {"controllerName": CONTROLLER, "parametersRef": parameters},
    }
    listener = {
        "name": LISTENER,
        "protocol": "HTTP",
        "port": listener_port,
        "allowedRoutes": {"namespaces": {"from": "All"}},
    }
    gateway = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": {"name": GATEWAY, "namespace": NAMESPACE},
        "spec": {"gatewayClassName": GATEWAY_CLASS, "listeners": [listener]},
    }
    return [proxy, gateway_class, gateway]


def _resolver(port: int) -> Object:
    config = {
        "@type": "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
        "resolvers": [{"socket_address": {"address": "127.0.0.1", "port_value": port}}],
        "dns_resolver_options": {"no_default_search_domain": True},
    }
    value = {"name": "envoy.network.dns_resolver.cares", "typed_config": config}
    return {"op": "add", "path": "/typed_dns_resolver_config", "value": value}


def parent_ref() -> Object:
    """What a route of any namespace names as its parent."""
    return {"name": GATEWAY, "namespace": NAMESPACE}
