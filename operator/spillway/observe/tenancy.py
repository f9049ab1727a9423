"""Whose series are whose. Everything that is not clearly allowed is somebody else's."""

from __future__ import annotations

from collections.abc import Collection

from spillway.config import GatewayConfig
from spillway.observe.counters import GatewayRow
from spillway.observe.readings import Labels


def may_read(gateway: GatewayConfig, labels: Labels, namespaces: Collection[str]) -> bool:
    """Whether a series belongs to one of the namespaces, by the operator's map of models and teams."""
    if not gateway.tenants:
        return True
    model, teams = labels.get("requested_model"), {labels.get("team"), labels.get("team_alias")} - {None, ""}
    for tenant in gateway.tenants:
        if tenant.namespace not in namespaces:
            continue
        if (model and model in tenant.models) or teams & set(tenant.teams):
            return True
        # At an egress the provider's model is what is known; requested_model may be missing.
        if not model and labels.get("model") in tenant.models:
            return True
    return False


def may_read_routes(gateway: GatewayConfig, namespace: str) -> bool:
    """Whether a namespace's route counters at this gateway may be used."""
    return not gateway.tenants or any(tenant.namespace == namespace for tenant in gateway.tenants)


def may_claim(
    gateways: Collection[GatewayConfig], namespaces: Collection[str], model: str | None, team: str | None = None
) -> bool:
    """Whether any of the gateways' maps gives one of the namespaces a part of that model's or team's traffic."""
    for gateway in gateways:
        if not gateway.tenants:
            return True
        for tenant in gateway.tenants:
            if tenant.namespace not in namespaces:
                continue
            # A namespace with teams of its own may own a part of any model's traffic.
            if model in tenant.models or team in tenant.teams or (model is not None and tenant.teams):
                return True
    return False


def allowed_rows(rows: Collection[GatewayRow], namespaces: Collection[str]) -> list[GatewayRow]:
    """The rows that belong to the namespaces."""
    return [row for row in rows if may_read(row.gateway, row.labels, namespaces)]
