"""Which plane serves which ``spec.routing.plane``."""

from __future__ import annotations

from collections.abc import Mapping

from spillway.act.planes.gateway_api import GatewayApi
from spillway.act.planes.plane import Plane
from spillway.api import CapacityPlan, RoutingPlane

PLANES: Mapping[RoutingPlane, Plane] = {RoutingPlane.GATEWAY_API: GatewayApi()}


def plane_of(plan: CapacityPlan) -> Plane | None:
    """The plan's plane; None where it moves no traffic."""
    return PLANES.get(plan.spec.routing.plane)
