"""Which LaneChanges a command means."""

from __future__ import annotations

from collections.abc import Sequence

import click

from spillway.cli.connection import Connection
from spillway.kube import LANE_CHANGES, Items, Kube, KubeError

Place = tuple[str, str]
"""Namespace and name."""


async def places(kube: Kube, connection: Connection, names: Sequence[str]) -> list[Place]:
    """Where NAME and NAMESPACE/NAME are; with -A names are looked for everywhere. Raises click.ClickException."""
    found: list[Place] = []
    everywhere: list[Place] | None = None
    for text in dict.fromkeys(names):
        namespace, slash, name = text.rpartition("/")
        if not name or (slash and not namespace) or "/" in namespace:
            raise click.UsageError(f"{text!r} is no LaneChange: write NAME or NAMESPACE/NAME")
        if slash or not connection.all_namespaces:
            found.append((namespace or connection.namespaces()[0], name))
            continue
        if everywhere is None:
            everywhere = [_place(item) for item in await listed(kube, connection)]
        found.append(_only(name, [place for place in everywhere if place[1] == name]))
    return found


def _only(name: str, hits: Sequence[Place]) -> Place:
    if not hits:
        raise click.ClickException(f"there is no LaneChange {name} in any namespace; see kubectl get lchange -A")
    if len(hits) > 1:
        which = ", ".join(f"{namespace}/{each}" for namespace, each in hits)
        raise click.ClickException(f"there are several LaneChanges {name}; name one of {which}")
    return hits[0]


def _place(item: dict[str, dict[str, str]]) -> Place:
    return (item["metadata"]["namespace"], item["metadata"]["name"])


async def listed(kube: Kube, connection: Connection) -> Items:
    """Every LaneChange of the namespaces that are meant. Raises click.ClickException, KubeError."""
    try:
        return await kube.list_in(LANE_CHANGES, connection.namespaces())
    except KubeError as error:
        where = ", ".join(connection.namespaces()) or "all namespaces"
        if error.not_found:
            raise click.ClickException(
                "the cluster has no LaneChanges: apply `spillway crds` of this release"
            ) from error
        if error.forbidden:
            raise click.ClickException(f"you lack list on lanechanges.spillway.dev in {where}") from error
        raise
