"""Which plane serves which ``spec.routing.plane``."""

from __future__ import annotations

from collections.abc import Mapping

from spillway.act.litellm.values import ProxyRole
from spillway.act.planes.ai_gateway import EnvoyAIGateway
from spillway.act.planes.gateway_api import GatewayApi
from spillway.act.planes.litellm import LiteLLM
from spillway.act.planes.plane import Plane
from spillway.api import CapacityPlan, RoutingPlane

PLANES: Mapping[RoutingPlane, Plane] = {
    RoutingPlane.GATEWAY_API: GatewayApi(),
    RoutingPlane.LITELLM: LiteLLM(),
    RoutingPlane.ENVOY_AI_GATEWAY: EnvoyAIGateway(),
}
EGRESS: Plane = LiteLLM(ProxyRole.EGRESS)


def plane_of(plan: CapacityPlan) -> Plane | None:
    """The plan's plane; None where it moves no traffic."""
    return PLANES.get(plan.spec.routing.plane)


def egress_of(plan: CapacityPlan) -> Plane | None:
    """What configures the plan's egress behind its gateway; None where it has none of Spillway's."""
    routing = plan.spec.routing
    return EGRESS if routing.litellm is not None and routing.plane is not RoutingPlane.LITELLM else None
