"""AIGatewayRoutes of Envoy AI Gateway: weights of one adopted rule by JSON Patch, or a whole generated route. Pure.

Backends, their APIs' schemas and their keys (AIServiceBackend, BackendSecurityPolicy) are the platform team's: no
credential passes through here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spillway.act.planes.gateway_api_rules import managed_meta, weights_patch
from spillway.act.planes.plane import Wanted
from spillway.api import Binding, CapacityLane, DataPolicy, LaneType, WorkloadClass
from spillway.api.airoutes import class_key, header_of, rule_index, rules_of
from spillway.api.names import OPT_OUT_HEADER, OVERFLOW_HEADER
from spillway.kube import AI_GATEWAY_ROUTES, Items

JSON = dict[str, Any]

COSTS = (
    ("llm_input_token", "InputToken"),
    ("llm_cached_input_token", "CachedInputToken"),
    ("llm_output_token", "OutputToken"),
    ("llm_total_token", "TotalToken"),
)
"""What Envoy AI Gateway counts of each request, under the keys of its own documentation, for access logs and limits."""
FLEX: JSON = {"set": [{"path": "service_tier", "value": '"flex"'}]}


def adopted_ai_patch(
    route: JSON, binding: Binding, resource: WorkloadClass, weights: Mapping[str, int], notes: Mapping[str, str]
) -> Items:
    """JSON Patch on the weights of the rule that matches the class's header. Raises ``KeyError`` where there is none.

    ``notes``: annotations that go with it.
    """
    index, key = rule_index(route, resource), class_key(resource)
    if index is None or key is None:
        raise KeyError(f"it has no rule that matches {key} alone")
    test = {"op": "test", "path": f"/spec/rules/{index}/matches", "value": rules_of(route)[index]["matches"]}
    return weights_patch(route, binding, (index, key), [test], weights, notes)


def managed_ai_route(
    wanted: Wanted, binding: Binding, resource: WorkloadClass, weights: Mapping[str, int], *, spills: bool, version: str
) -> JSON:
    """The whole generated AIGatewayRoute. Raises ``KeyError`` with the reason where the class can't have one.

    ``version``: the observed resourceVersion, empty for a new route.
    """
    gateway, meta = binding.gateway, managed_meta(wanted.plan, binding)
    parent = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": gateway.name if gateway else ""}
    if gateway and gateway.namespace:
        parent["namespace"] = gateway.namespace
    if gateway and gateway.section_name:
        parent["sectionName"] = gateway.section_name
    if version:
        meta["resourceVersion"] = version
    costs = [{"metadataKey": key, "type": kind} for key, kind in COSTS]
    rules = _Rules(wanted, binding, resource, weights, spills).all()
    return {
        "apiVersion": AI_GATEWAY_ROUTES.api_version,
        "kind": "AIGatewayRoute",
        "metadata": meta,
        "spec": {"parentRefs": [parent], "rules": rules, "llmRequestCosts": costs},
    }


class _Rules:
    """The rules of one class."""

    def __init__(
        self, wanted: Wanted, binding: Binding, resource: WorkloadClass, weights: Mapping[str, int], spills: bool
    ) -> None:
        self._wanted, self._binding, self._class, self._spills = wanted, binding, resource, spills
        self._lanes = {lane.metadata.name: lane for lane in wanted.lanes}
        self._weights = weights
        header = header_of(resource)
        if header is None:
            raise KeyError("a rule needs a header or a model: give the class match.model or match.header")
        self._header = header

    def all(self) -> Items:
        """The class's rule, and one for requests that opt out of hosted lanes.

        A lane that may not serve the class has no backend at all: a weight can be edited, what isn't there can't.
        """
        own = self._wanted.own
        serving = {lane: weight for lane, weight in self._weights.items() if self._may_serve(lane)}
        if not serving:
            raise KeyError("none of the lanes that its binding names may serve the class")
        at_home = {lane: weight for lane, weight in serving.items() if lane in own}
        if not any(serving.values()) and any(self._weights.values()):
            # What had all of it may not serve any more.
            serving |= dict.fromkeys(at_home, 1)
            at_home = dict.fromkeys(at_home, 1)
        rules = [self._rule(serving)]
        if at_home and len(at_home) < len(serving):
            # The more headers a match has the sooner it is taken, wherever its rule stands.
            kept = at_home if any(at_home.values()) else dict.fromkeys(at_home, 1)
            rules.append(self._rule(kept, (OPT_OUT_HEADER, "true"), (OVERFLOW_HEADER, "never")))
        return rules

    def _may_serve(self, lane: str) -> bool:
        found = self._lanes.get(lane)
        at_home = self._class.spec.data_policy is DataPolicy.SELF_HOSTED_ONLY
        return found is not None and self._serves(found) is not None and (lane in self._wanted.own or not at_home)

    def _serves(self, lane: CapacityLane) -> str | None:
        """The model by which the lane serves the class: the one asked for, else the first of the equivalent ones."""
        asked = self._class.spec.match.model
        models = self._class.spec.equivalent_models
        ordered = (asked, *models) if asked in models else models
        return next((model for model in ordered if model in lane.spec.models), None)

    def _model(self, lane: CapacityLane) -> str | None:
        """The name by which the backend knows it; None leaves the client's, which Spillway's own egress goes by."""
        if lane.spec.hosted is None:
            return self._serves(lane)
        return None if self._wanted.plan.spec.routing.litellm is not None else lane.spec.hosted.model

    def _rule(self, weights: Mapping[str, int], *either: tuple[str, str]) -> JSON:
        """For requests of the class, with one of these headers where some are given.

        Without a time limit: Envoy AI Gateway's own of 60 s would cut streams that are still being answered.
        """
        asked: list[tuple[tuple[str, str], ...]] = [(self._header, more) for more in either] or [(self._header,)]
        matches = [
            {"headers": [{"type": "Exact", "name": name, "value": value} for name, value in each]} for each in asked
        ]
        refs = [self._ref(lane, weight, weights) for lane, weight in sorted(weights.items())]
        return {"matches": matches, "backendRefs": refs, "timeouts": {"request": "0s"}}

    def _ref(self, name: str, weight: int, weights: Mapping[str, int]) -> JSON:
        lane, own = self._lanes[name], self._wanted.own
        # A rule whose own lanes are emptied has hosted ones in the first place.
        behind = self._spills and name not in own and any(weights[each] for each in weights if each in own)
        ref: JSON = {"name": self._binding.backends[name], "weight": weight, "priority": int(behind)}
        if (model := self._model(lane)) is not None:
            ref["modelNameOverride"] = model
        if lane.spec.type is LaneType.FLEX:
            ref["bodyMutation"] = FLEX
        return ref
