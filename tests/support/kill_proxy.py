"""A proxy before the apiserver that ends a process right after its n-th write has been carried out.

The write has happened, its answer never arrives: the crash that hurts most.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from spillway_dev.audit import AuditEntry
from support.api_proxy import ApiProxy

HARMLESS = ("selfsubjectaccessreviews", "selfsubjectrulesreviews")


class KillProxy(ApiProxy):
    """A proxy that can be armed."""

    def __init__(self, kubeconfig: Path) -> None:
        super().__init__(kubeconfig)
        self.kill_after: int | None = None
        self.kill: Callable[[], None] = lambda: None
        self.writes: list[str] = []
        self.fired = threading.Event()
        self._trigger = threading.Lock()

    def arm(self, after: int | None, kill: Callable[[], None]) -> None:
        """Call ``kill`` right after the ``after``-th write from now (None: never)."""
        self.writes, self.kill_after, self.kill = [], after, kill
        self.fired.clear()

    def disarm(self) -> None:
        """No kill from now on: afterwards ``fired`` says for good whether there was one."""
        with self._trigger:
            self.kill_after = None

    def written(self, entry: AuditEntry) -> None:
        """Count the write, and kill if it was the one."""
        super().written(entry)
        if entry.resource in HARMLESS:
            return
        self.writes.append(f"{entry.verb} {entry.uri.partition('?')[0]}")
        with self._trigger:
            if self.kill_after is not None and len(self.writes) == self.kill_after:
                self.kill()
                self.fired.set()
