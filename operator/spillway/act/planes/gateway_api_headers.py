"""Response headers of generated routes: which lane answered, and why it was a hosted one. Pure.

Only Envoy knows which backend it chose, and a header for each backend (``backendRefs[].filters``) would make Envoy
Gateway put each into a cluster of its own: then a fallback is a paid split, and a weight of 0 loses requests. So the
header is one of the whole rule, and Envoy computes its value. What goes into it are names of Kubernetes alone: an
expression that Envoy can't parse would make it refuse all routes of the listener.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from spillway.api import Binding
from spillway.api.names import REASON_HEADER, SERVED_BY_HEADER, BackendName

JSON = dict[str, Any]

CHOSEN = "xds.upstream_host_locality_metadata.filter_metadata['envoy-gateway']['resources'][0]['name']"
"""Name of the Backend whose endpoint Envoy chose last."""
LONGEST = 4096
"""Of a header's value in an HTTPRoute."""
HARMLESS = re.compile(r"[a-z0-9.-]+")
"""What names of objects are made of. Whoever writes a plan may name no lane so that it ends the expression."""


def answer_filters(
    binding: Binding, weights: Mapping[str, int], own: Collection[str], *, spills: bool, relayed: bool
) -> list[JSON]:
    """The filters of a rule over the lanes of ``weights``; none where Envoy can't tell its lanes apart.

    ``spills``: hosted lanes get what own ones refuse; ``relayed``: Spillway's egress tells the hosted lane itself.
    """
    backends = {lane: BackendName.parse(binding.backends[lane]) for lane in weights}
    names = {backend.name: lane for lane, backend in sorted(backends.items())}
    if any(backend.kind != "Backend" for backend in backends.values()) or len(names) != len(backends):
        return []
    if not all(HARMLESS.fullmatch(text) for text in (*names, *names.values())):
        return []
    at_home = sorted(name for name, lane in names.items() if lane in own)
    headers = {SERVED_BY_HEADER: _served_by(names, at_home, relayed=relayed)}
    if len(at_home) < len(names):
        armed = spills and any(weights[lane] for lane in weights if lane in own)
        headers[REASON_HEADER] = _reason(at_home, armed=armed)
    made = [{"name": name, "value": f"%CEL({value})%"} for name, value in headers.items()]
    if any(len(header["value"]) > LONGEST for header in made):
        return []
    return [{"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": made}}]


def _served_by(names: Mapping[str, str], at_home: Collection[str], *, relayed: bool) -> str:
    lanes = ", ".join(f"'{name}': '{lane}'" for name, lane in sorted(names.items()))
    chosen = f"{{{lanes}}}[{CHOSEN}]"
    if not relayed or len(at_home) == len(names):
        return chosen
    told = f"'{SERVED_BY_HEADER}' in response.headers"
    return f"{_in(at_home)} || !({told}) ? {chosen} : response.headers['{SERVED_BY_HEADER}']"


def _reason(at_home: Collection[str], *, armed: bool) -> str:
    """Nothing for own lanes: Envoy leaves an empty header out.

    A spilled request was refused first. One that goes to a fallback at once found no own endpoint at all.
    """
    why = "upstream.request_attempt_count > 1 ? 'Saturated' : 'NoOwnCapacity'" if armed else "'Share'"
    return f"{_in(at_home)} ? '' : {why}" if at_home else why


def _in(names: Collection[str]) -> str:
    return f"{CHOSEN} in [{', '.join(repr(name) for name in names)}]"
