"""Envoy AI Gateway: one AIGatewayRoute rule for each binding, by weights, and by priorities where it spills.

Checked against its CRDs on a real apiserver, and against what its controller's source does with them; its controller
has not been run.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from spillway.act.planes import gateway_api_release as releasing
from spillway.act.planes.ai_gateway_rules import adopted_ai_patch, managed_ai_route
from spillway.act.planes.confirming import confirmations
from spillway.act.planes.gateway_api import ROUTE, GatewayApi, Rule
from spillway.act.planes.plane import Change, Confirmation, Evidence, Found, Held, Move, Wanted
from spillway.act.writes import Write
from spillway.api import Binding, CapacityPlan, Ownership, RoutingPlane, WorkloadClass
from spillway.api.airoutes import KIND, accepted, class_key, maker, refusal, rule_index, rule_key
from spillway.kube import AI_GATEWAY_ROUTES, HTTP_ROUTES, Items, Kube, Resource

UNCOUNTED = "Envoy AI Gateway's own counters name no backend, so an egress that counts must stand behind it"

JSON = dict[str, Any]


class EnvoyAIGateway(GatewayApi):
    """AIGatewayRoutes of the plan's namespace, and policies of the HTTPRoutes that are made from generated ones."""

    name = RoutingPlane.ENVOY_AI_GATEWAY
    kinds: Mapping[str, Resource] = {KIND: AI_GATEWAY_ROUTES, ROUTE: HTTP_ROUTES}

    def rule(self, wanted: Wanted, found: Found, binding: Binding, resource: WorkloadClass) -> Rule:
        """One binding's rule."""
        return AIRule(wanted, found, binding, resource)

    async def confirm(
        self, kube: Kube, plan: CapacityPlan, moves: Sequence[Move], evidence: Evidence
    ) -> tuple[Confirmation, ...]:
        """By the routes' status and what engines and an egress count: its own counters name no backend."""
        return tuple(
            replace(each, message=f"{each.message}: {UNCOUNTED}") if each.reason == "CountersMissing" else each
            for each in confirmations(plan, moves, evidence)
        )

    def held(self, kube: Kube, namespaces: Sequence[str]) -> AsyncIterator[Held]:
        """Adopted AIGatewayRoutes with notes, and generated ones."""
        return releasing.held_routes(kube, namespaces, AI_GATEWAY_ROUTES, KIND, self.name)

    async def release(self, kube: Kube, held: Held, *, restore: bool) -> Write:
        """Weights kept or restored, notes and ownership dropped."""
        return await releasing.release_route(kube, held, restore=restore, key=rule_key)


class AIRule(Rule):
    """One binding's rule of an AIGatewayRoute; it has no name, so that the class's header tells which it is."""

    kind, resource = KIND, AI_GATEWAY_ROUTES

    def __init__(self, wanted: Wanted, found: Found, binding: Binding, resource: WorkloadClass) -> None:
        super().__init__(wanted, found, binding, resource)
        self._made = found.get(ROUTE, wanted.plan.metadata.namespace, binding.http_route)

    def changes(self) -> list[Change]:
        """The writes that are due. Raises ``KeyError`` with the reason where the rule can't be written."""
        if self._made is not None and maker(self._made) is None:
            raise KeyError("an HTTPRoute of its name exists, which Envoy AI Gateway would overwrite: use another name")
        return super().changes()

    @property
    def _key(self) -> str:
        adopted = self._binding.ownership is Ownership.ADOPTED
        return (class_key(self._class) if adopted else None) or self._binding.class_

    def _at(self) -> int | None:
        if self._binding.ownership is Ownership.MANAGED:
            return super()._at()
        return rule_index(self._route or {}, self._class)

    def _accepted(self, route: JSON) -> bool | None:
        return accepted(route, self._made)

    def _refusal(self, route: JSON) -> str:
        return refusal(route, self._made)

    def _now(self) -> dict[str, int] | None:
        now = super()._now()
        # Lanes that may not serve the class are left out of a generated route.
        return None if now is None else dict.fromkeys(self.asked, 0) | now

    def _generated(self, written: Mapping[str, int], version: str) -> JSON:
        return managed_ai_route(self._wanted, self._binding, self._class, written, spills=self._spills, version=version)

    def _patch(self, route: JSON, written: Mapping[str, int], notes: Mapping[str, str]) -> Items:
        return adopted_ai_patch(route, self._binding, self._class, written, notes)
