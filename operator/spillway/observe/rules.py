"""What bindings' rules are made of, over all plans, and their states."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from spillway.decide.snapshot import RouteState
from spillway.observe.ai_routes import AISight, ai_route_states, has_ai_routes
from spillway.observe.membership import Members
from spillway.observe.routes import route_states

JSON = dict[str, Any]
ByNamespace = Mapping[str, dict[str, JSON]]
"""Objects of one kind by namespace and name."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What routes are made of; None is a kind that can't be read, or that no plan needs."""

    routes: ByNamespace
    backends: ByNamespace | None
    ai_routes: ByNamespace | None
    ai_services: ByNamespace | None
    policies: ByNamespace | None
    conflicts: Mapping[tuple[str, str], str]
    """Why a binding may not have its rule, by (plan key, class)."""

    def states(self, members: Members, own: Collection[str]) -> tuple[RouteState, ...]:
        """The rules of the plan's bindings. ``own``: names of its own lanes."""
        namespace = members.plan.metadata.namespace
        made, backends = self.routes.get(namespace, {}), _of(self.backends, namespace)
        if has_ai_routes(members.plan):
            seen = AISight(_of(self.ai_routes, namespace), _of(self.ai_services, namespace), made, backends)
            return ai_route_states(members.plan, members.classes, seen, self.conflicts, own)
        return route_states(members.plan, made, self.conflicts, backends, own)


def _of(found: ByNamespace | None, namespace: str) -> dict[str, JSON] | None:
    return None if found is None else found.get(namespace, {})
