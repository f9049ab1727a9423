"""What stands behind a rule's backendRefs, and which mixes of it Envoy Gateway can't move traffic between.

Envoy Gateway makes one cluster of all endpoints of a kind. Host names and addresses in one rule become several
clusters: requests are lost when the weight of one becomes 0, and ``fallback`` is ignored in silence, so that what
should only be paid for in need gets its weight's share all the time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spillway.api.names import BackendName

JSON = dict[str, Any]
Backends = Mapping[str, JSON] | None
"""Envoy Gateway's Backends of a namespace by name; None where they may not be read."""

HOST_NAME, ADDRESS = "a host name", "an address"


def endpoint_problem(refs: Sequence[Mapping[str, Any]], backends: Backends) -> str | None:
    """Why traffic must not be moved between these backendRefs, as the end of a sentence; None where it may."""
    if backends is None:
        return None
    kinds: dict[str, str] = {}
    for ref in refs:
        name = str(ref.get("name"))
        if ref.get("kind", "Service") != "Backend":
            kinds.setdefault(ADDRESS, f"{ref.get('kind', 'Service')} {name}")
            continue
        backend = backends.get(name)
        if backend is None:
            return f"names Backend {name}, which does not exist: create it"
        spec = backend.get("spec") or {}
        if spec.get("fallback"):
            return f"names Backend {name}, which has fallback: true: weights move no traffic to it; take that out"
        for endpoint in spec.get("endpoints") or []:
            kinds.setdefault(HOST_NAME if endpoint.get("fqdn") else ADDRESS, f"Backend {name}")
    if len(kinds) < 2:
        return None
    return (
        f"mixes host names ({kinds[HOST_NAME]}) with addresses ({kinds[ADDRESS]}): Envoy Gateway loses requests when "
        "one of them gets weight 0, and ignores fallback; make all of them Backends with fqdn endpoints"
    )


def managed_refs(texts: Mapping[str, str]) -> list[JSON]:
    """The backendRefs that a managed binding asks for, as far as they matter here."""
    parsed = [BackendName.parse(text) for text in texts.values()]
    return [{"kind": each.kind, "name": each.name} for each in parsed]
