"""A real Envoy Gateway with a real Envoy, as processes, against a development control plane."""

from __future__ import annotations

from spillway_dev.gateway.stack import EnvoyGatewayStack

__all__ = ["EnvoyGatewayStack"]
