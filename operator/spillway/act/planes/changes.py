"""Sends a plane's changes to the apiserver, in order."""

from __future__ import annotations

from spillway.act.planes.plane import Change, How, Rendered
from spillway.act.writes import Outcome, Write
from spillway.kube import Kube, KubeError


async def send_all(kube: Kube, rendered: Rendered) -> tuple[Write, ...]:
    """Refusals as superseded writes, then the changes; what follows a failed one in its group is left."""
    writes = [Write("route", each.subject, each.detail, Outcome.SUPERSEDED, each.why) for each in rendered.refused]
    failed = set[str]()
    for change in rendered.changes:
        if change.group in failed:
            continue
        writes.append(await send(kube, change))
        if not writes[-1].ok:
            failed.add(change.group)
    return tuple(writes)


async def send(kube: Kube, change: Change) -> Write:
    """One change."""
    try:
        await _send(kube, change)
    except KubeError as error:
        outcome = Outcome.SUPERSEDED if error.conflict or error.not_found else Outcome.FAILED
        return Write(change.what, change.subject, change.detail, outcome, error.message)
    return Write(change.what, change.subject, change.detail, Outcome.WRITTEN)


async def _send(kube: Kube, change: Change) -> None:
    where = change.resource, change.namespace, change.name
    if change.how is How.APPLY:
        await kube.apply(*where, change.body, force=change.force)
    elif change.how is How.JSON_PATCH:
        await kube.json_patch(*where, change.body)
    else:
        await kube.merge_patch(*where, change.body)
