"""Gateway API: one HTTPRoute rule for each binding, moved by weights or left to spill by itself (Envoy Gateway)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from spillway.act.planes import gateway_api_release as releasing
from spillway.act.planes.changes import send_all
from spillway.act.planes.confirming import confirmations
from spillway.act.planes.gateway_api_notes import Note, noted, read_note
from spillway.act.planes.gateway_api_rules import adopted_patch, is_ours, managed_route
from spillway.act.planes.gateway_api_spill import holds, policy, spills, takes_spill
from spillway.act.planes.plane import (
    Change,
    Confirmation,
    Evidence,
    Found,
    Held,
    How,
    Move,
    Refusal,
    Rendered,
    Wanted,
)
from spillway.act.writes import Write
from spillway.api import Binding, CapacityPlan, Ownership, RoutingPlane, WorkloadClass
from spillway.api.names import ROUTING_ANNOTATION, BackendName
from spillway.api.routes import accepted, armed, effective, refusal
from spillway.kube import HTTP_ROUTES, TRAFFIC_POLICIES, Items, Kube, KubeError, Resource

REFUSED_SECONDS = 300.0
"""How long weights that the gateway refused are not tried again."""
ROUTE, POLICY = "HTTPRoute", "BackendTrafficPolicy"

JSON = dict[str, Any]


class GatewayApi:
    """HTTPRoutes of the plan's namespace, and Envoy Gateway's policies of those that Spillway generates."""

    name = RoutingPlane.GATEWAY_API
    kinds: Mapping[str, Resource] = {ROUTE: HTTP_ROUTES}
    """What is read of each route's name."""

    def rule(self, wanted: Wanted, found: Found, binding: Binding, resource: WorkloadClass) -> Rule:
        """One binding's rule."""
        return Rule(wanted, found, binding, resource)

    async def read(self, kube: Kube, wanted: Wanted) -> Found:
        """The routes of the bindings that may be written, and the policies of the generated ones."""
        namespace = wanted.plan.metadata.namespace
        found: dict[str, JSON] = {}
        for name in dict.fromkeys(binding.http_route for binding in wanted.bindings()):
            for kind, resource in self.kinds.items():
                item = await kube.find(resource, namespace, name)
                if item is not None:
                    found[f"{kind}/{namespace}/{name}"] = item
        unreadable = set[str]()
        if any(binding.ownership is Ownership.MANAGED for binding in wanted.bindings()):
            try:
                for item in await kube.list(TRAFFIC_POLICIES, namespace):
                    found[f"{POLICY}/{namespace}/{item['metadata']['name']}"] = item
            except KubeError as error:
                if not (error.not_found or error.forbidden):
                    raise
                unreadable.add(POLICY)
        return Found(found, frozenset(unreadable))

    def render(self, wanted: Wanted, found: Found) -> Rendered:
        """What differs, binding by binding; a policy goes before the route that needs it."""
        changes: list[Change] = []
        refused: list[Refusal] = []
        for binding in wanted.bindings():
            resource = wanted.class_of(binding)
            if resource is None:
                continue
            rule = self.rule(wanted, found, binding, resource)
            try:
                changes += rule.changes()
            except KeyError as why:
                detail, later = rule.detail(rule.asked), isinstance(why, _BackingOff)
                refused.append(Refusal(binding.class_, rule.subject, detail, str(why.args[0]), later))
        return Rendered(tuple(changes), tuple(refused))

    def diff(self, found: Found, rendered: Rendered) -> tuple[str, ...]:
        """The words of each change."""
        return tuple(f"{change.subject}: {word}" for change in rendered.changes for word in change.words)

    async def apply(self, kube: Kube, rendered: Rendered) -> tuple[Write, ...]:
        """Send the changes."""
        return await send_all(kube, rendered)

    async def confirm(
        self, kube: Kube, plan: CapacityPlan, moves: Sequence[Move], evidence: Evidence
    ) -> tuple[Confirmation, ...]:
        """By the routes' status and the lanes' counters, as observed."""
        return confirmations(plan, moves, evidence)

    def held(self, kube: Kube, namespaces: Sequence[str]) -> AsyncIterator[Held]:
        """Adopted routes with notes, and generated ones."""
        return releasing.held_routes(kube, namespaces)

    async def release(self, kube: Kube, held: Held, *, restore: bool) -> Write:
        """Weights kept or restored, notes and ownership dropped."""
        return await releasing.release_route(kube, held, restore=restore)


class _BackingOff(KeyError):
    """The gateway has refused the weights lately."""


class Rule:
    """One binding's rule: what the cluster has of it and what it should be."""

    kind, resource = ROUTE, HTTP_ROUTES
    """Of the route."""

    def __init__(self, wanted: Wanted, found: Found, binding: Binding, resource: WorkloadClass) -> None:
        self._wanted, self._found, self._binding, self._class = wanted, found, binding, resource
        self._plan = wanted.plan
        self._route = found.get(self.kind, self._plan.metadata.namespace, binding.http_route)
        self._spills = spills(wanted, resource)
        self.asked = wanted.weights[binding.class_]
        self.subject = f"{self.kind}/{self._plan.metadata.namespace}/{binding.http_route}"

    # What differs between kinds of routes.

    @property
    def _key(self) -> str:
        """How the route's notes name the rule."""
        adopted = self._binding.ownership is Ownership.ADOPTED
        return str(self._binding.rule) if adopted else self._binding.class_

    def _at(self) -> int | None:
        """Index of the rule in the route; None where it has none such. A generated route's first is the class's."""
        rules = self._rules()
        if self._binding.ownership is Ownership.MANAGED:
            return 0 if rules else None
        return next((i for i, rule in enumerate(rules) if rule.get("name") == self._binding.rule), None)

    def _accepted(self, route: JSON) -> bool | None:
        """Whether the gateway has taken the route over as it is now."""
        return accepted(route)

    def _refusal(self, route: JSON) -> str:
        """What the gateway says against it."""
        return refusal(route)

    def _generated(self, written: Mapping[str, int], version: str) -> JSON:
        """The whole route with these weights. Raises ``KeyError``."""
        return managed_route(self._plan, self._binding, self._class, written, self._wanted.own, version)

    def _patch(self, route: JSON, written: Mapping[str, int], notes: Mapping[str, str]) -> Items:
        """The patch that gives an adopted rule these weights. Raises ``KeyError``."""
        return adopted_patch(route, self._binding, written, notes)

    def _rules(self) -> Items:
        return ((self._route or {}).get("spec") or {}).get("rules") or []

    def _refs(self) -> Items:
        index = self._at()
        return [] if index is None else self._rules()[index].get("backendRefs") or []

    def detail(self, weights: Mapping[str, int]) -> str:
        """The weights for people."""
        shown = ", ".join(f"{lane} {weight}%" for lane, weight in sorted(weights.items()))
        return f"{self._binding.class_}: {shown}"

    def changes(self) -> list[Change]:
        """The writes that are due. Raises ``KeyError`` with the reason where the rule can't be written."""
        adopted = self._binding.ownership is Ownership.ADOPTED
        if self._route is None and adopted:
            raise KeyError("it does not exist")
        if self._route is not None and not adopted and not is_ours(self._route, self._plan):
            raise KeyError("it is not Spillway's")
        weights, note = self._chosen()
        if self._binding.class_ in self._wanted.frozen and (weights != note.good or weights == self._now()):
            return []
        written = armed(weights, self._wanted.own, self._takes) if self._spills else dict(weights)
        text = noted(self._route, self._key, self._plan.metadata.key, note)
        if adopted:
            return self._adopted(weights, written, text)
        return [*self._policy(), *self._managed(weights, written, text)]

    @property
    def _takes(self) -> str | None:
        return takes_spill(self._wanted, self._binding, self._class)

    def _chosen(self) -> tuple[Mapping[str, int], Note]:
        """The weights to have, with what is to be noted: the last good ones where the gateway refuses others."""
        note = read_note(self._route, self._key, self._plan.metadata.key)
        good = note.good if note.good is not None and note.good.keys() == self.asked.keys() else None
        state, now = self._accepted(self._route) if self._route else None, self._now()
        if state is False and good is not None and now is not None and now != good:
            return good, Note(good, self._wanted.at)
        if good is not None and note.refused_at is not None and self.asked != good:
            left = note.refused_at + REFUSED_SECONDS - self._wanted.at
            if left > 0:
                why = self._refusal(self._route) if self._route and state is False else ""
                reason = f" ({why})" if why else ""
                raise _BackingOff(
                    f"the gateway refused other weights than the present ones{reason}; next try in {left:.0f} s"
                )
        return self._begun(), Note(now if state else note.good)

    def _begun(self) -> Mapping[str, int]:
        """The weights asked for; a rule for which nothing is decided yet begins at home. Raises ``KeyError``."""
        if any(self.asked.values()):
            return self.asked
        own = [lane for lane in self.asked if lane in self._wanted.own]
        if not own:
            raise KeyError("nothing is decided for it yet, and it has no own lane to begin with")
        shares = {lane: 100 // len(own) for lane in own} | {own[0]: 100 - 100 // len(own) * (len(own) - 1)}
        return {lane: shares.get(lane, 0) for lane in self.asked}

    def _now(self) -> dict[str, int] | None:
        """The rule's weights by lane as they share traffic out now."""
        if self._at() is None:
            return None
        raw = _weights(self._binding, self._refs())
        return effective(raw, self._wanted.own) if self._spills else raw

    def _adopted(self, weights: Mapping[str, int], written: Mapping[str, int], text: str) -> list[Change]:
        body = self._patch(self._route or {}, written, {ROUTING_ANNOTATION: text})
        words = _words(_weights(self._binding, self._refs()), written)
        return [self._change(How.JSON_PATCH, body, weights, words)] if words else []

    def _managed(self, weights: Mapping[str, int], written: Mapping[str, int], text: str) -> list[Change]:
        meta = (self._route or {}).get("metadata") or {}
        body = self._generated(written, meta.get("resourceVersion", ""))
        if self._route is not None and holds(body, self._route):
            return []
        body["metadata"]["annotations"][ROUTING_ANNOTATION] = text
        words = ("generated",) if self._route is None else _words(_weights(self._binding, self._refs()), written)
        change = self._change(How.APPLY, body, weights, words or ("brought to what its binding and class say",))
        # A first write must not take over what somebody created meanwhile: only our own route is forced.
        return [replace(change, force=self._route is not None)]

    def _policy(self) -> list[Change]:
        """The route's policy. What must spill needs it; else it gives room, and what forbids it stops no route."""
        namespace, name = self._plan.metadata.namespace, self._binding.http_route
        there = self._found.get(POLICY, namespace, name)
        on = self._spills and self._takes is not None
        problem = self._policy_problem(there)
        if problem is not None and on:
            raise KeyError(problem)
        if problem is not None and (there is None or not is_ours(there, self._plan)):
            return []
        body = policy(self._plan, self._binding, on=on, version=there["metadata"]["resourceVersion"] if there else "")
        spilled = "retry" in ((there or {}).get("spec") or {})
        if there is not None and holds(body, there) and on == spilled:
            return []
        turned = on != spilled
        words = "what own lanes refuse goes on to hosted ones" if on else "nothing spills any more"
        words = words if turned else "room for its requests at the gateway"
        return [
            Change(
                "policy" if turned else "limits", TRAFFIC_POLICIES, POLICY, namespace, name, How.APPLY, body,
                f"{self._binding.class_}: {words}", (words,),
                self._binding.class_ if turned else f"{self._binding.class_}/limits", force=there is not None,
            )
        ]  # fmt: skip

    def _policy_problem(self, there: JSON | None) -> str | None:
        """Why a policy of Spillway's would not work."""
        namespace, name = self._plan.metadata.namespace, self._binding.http_route
        if POLICY in self._found.unreadable:
            return "nothing spills without a BackendTrafficPolicy, and none can be read (Envoy Gateway, RBAC)"
        if there is not None and not is_ours(there, self._plan):
            return f"{POLICY} {namespace}/{name} is not Spillway's: rename it, and target another route"
        if others := _other_policies(self._found, namespace, name):
            return f"{POLICY} {others[0]} targets it, too, so that Spillway's would be ignored: delete it"
        return None

    def _change(self, how: How, body: Any, weights: Mapping[str, int], words: tuple[str, ...]) -> Change:
        namespace, name = self._plan.metadata.namespace, self._binding.http_route
        return Change(
            "route", self.resource, self.kind, namespace, name, how, body, self.detail(weights), words,
            self._binding.class_,
        )  # fmt: skip


def _weights(binding: Binding, refs: Items) -> dict[str, int]:
    found = {}
    for lane, text in binding.backends.items():
        position = BackendName.parse(text).position(refs)
        if position is not None:
            found[lane] = int(refs[position].get("weight", 1))
    return found


def _words(before: Mapping[str, int], after: Mapping[str, int]) -> tuple[str, ...]:
    return tuple(
        f"{lane} {before.get(lane, 'none')} -> {weight}"
        for lane, weight in sorted(after.items())
        if before.get(lane) != weight
    )


def _other_policies(found: Found, namespace: str, route: str) -> list[str]:
    """Policies on this route beside Spillway's own."""
    names = []
    for key, item in found.objects.items():
        if not key.startswith(f"{POLICY}/{namespace}/") or item["metadata"]["name"] == route:
            continue
        spec = item.get("spec") or {}
        targets = [*(spec.get("targetRefs") or []), *([spec["targetRef"]] if spec.get("targetRef") else [])]
        if any((each.get("kind"), each.get("name")) == (ROUTE, route) for each in targets):
            names.append(f"{namespace}/{item['metadata']['name']}")
    return sorted(names)
