"""Which route rules lead to which workloads: Services by selectors, Envoy Gateway's Backends by host names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from spillway.advise.first.facts import Backend, Rule
from spillway.api.airoutes import maker
from spillway.api.names import MANAGED_LABEL, MANAGED_VALUE
from spillway.cli.first.cluster import Listed
from spillway.cli.first.engines import counted
from spillway.cli.first.templates import Templated
from spillway.observe.targets import controller_of
from spillway.observe.traffic import Traffic

JSON = dict[str, Any]
SERVICE_LABELS = 3
"""A host name has at least so many labels where it is a Service's: name, namespace, svc."""


class Behind:
    """What stands behind a backendRef."""

    def __init__(self, listed: Listed, workloads: Iterable[Templated], proxies: Iterable[Templated]) -> None:
        """``workloads``: engines; ``proxies``: LiteLLM proxies."""
        self._services = {(_space(each), each["metadata"]["name"]): each for each in listed.services}
        self._backends = {(_space(each), each["metadata"]["name"]): each for each in listed.backends}
        self._workloads, self._proxies = tuple(workloads), tuple(proxies)

    def backend(self, ref: Mapping[str, Any], namespace: str) -> Backend:
        """The reference with the workload or the proxy behind it."""
        kind, name = str(ref.get("kind") or "Service"), str(ref.get("name"))
        space = str(ref.get("namespace") or namespace)
        selector = self._selector(kind, space, name) if space == namespace else {}
        return Backend(
            kind=kind,
            name=name,
            port=ref.get("port"),
            weight=int(ref.get("weight", 1)),
            same_namespace=space == namespace,
            workload=_selected(selector, space, self._workloads, lambda each: each.key),
            proxy=_selected(selector, space, self._proxies, lambda each: each.name),
        )

    def _selector(self, kind: str, namespace: str, name: str) -> Mapping[str, str]:
        if kind == "InferencePool":
            return {}
        if kind == "Backend":
            backend = self._backends.get((namespace, name), {})
            hosts = [
                str((each.get("fqdn") or {}).get("hostname", "")).split(".")
                for each in (backend.get("spec") or {}).get("endpoints") or []
            ]
            host = hosts[0] if len(hosts) == 1 else []
            if len(host) < SERVICE_LABELS or host[1] != namespace or host[2] != "svc":
                return {}
            name = host[0]
        found: Mapping[str, str] = (self._services.get((namespace, name), {}).get("spec") or {}).get("selector") or {}
        return found


def _selected(selector: Mapping[str, str], namespace: str, found: Sequence[Templated], name: Any) -> str | None:
    """The only workload whose pods the selector takes."""
    fitting = [
        each for each in found if selector and each.namespace == namespace and selector.items() <= each.labels.items()
    ]
    return str(name(fitting[0])) if len(fitting) == 1 else None


def rules(listed: Listed, behind: Behind, traffic: Traffic | None) -> tuple[Rule, ...]:
    """Every rule of every HTTPRoute, those that Spillway itself generated apart."""
    found = []
    for route in listed.routes:
        meta, spec = route["metadata"], route.get("spec") or {}
        if (meta.get("labels") or {}).get(MANAGED_LABEL) == MANAGED_VALUE:
            continue
        for index, rule in enumerate(spec.get("rules") or []):
            totals = traffic.rules.get((_space(route), meta["name"], index)) if traffic else None
            found.append(
                Rule(
                    namespace=_space(route),
                    route=meta["name"],
                    index=index,
                    name=rule.get("name"),
                    gateways=tuple(str(parent.get("name")) for parent in spec.get("parentRefs") or []),
                    backends=tuple(behind.backend(ref, _space(route)) for ref in rule.get("backendRefs") or []),
                    generated=_maker(route),
                    counted=None if totals is None else counted(totals, "Envoy's counters of the rule"),
                )
            )
    return tuple(found)


def _maker(route: JSON) -> str | None:
    if (source := maker(route)) is not None:
        return f"AIGatewayRoute {source}"
    owner = controller_of(route["metadata"])
    return f"{owner.get('kind')} {owner.get('name')}" if owner else None


def _space(item: JSON) -> str:
    return str(item["metadata"].get("namespace", ""))
