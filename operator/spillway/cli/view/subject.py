"""The plans to look at for one lane or class: those of the namespace, else the one that the class asks for."""

from __future__ import annotations

import time

import click

from spillway.cli.connection import Connection
from spillway.cli.view.world import Seen, look_with
from spillway.kube import CLASSES, KubeError


async def look_for(connection: Connection, subject: str | None) -> Seen:
    """As ``world.look``; where no plan is in the namespace, the plan of the class of that name there.

    Raises click.ClickException with one line.
    """
    now, spaces = time.time(), connection.namespaces()
    async with await connection.connect() as kube:
        try:
            return await look_with(kube, spaces, (), now)
        except click.ClickException:
            if not spaces or subject is None:
                raise
            try:
                found = await kube.find(CLASSES, spaces[0], subject.rpartition("/")[2])
            except KubeError:
                found = None
            plan = ((found or {}).get("spec") or {}).get("planRef") or {}
            if not plan.get("name"):
                raise
        return await look_with(kube, spaces, (f"{plan.get('namespace', spaces[0])}/{plan['name']}",), now)
