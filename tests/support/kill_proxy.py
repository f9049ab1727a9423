"""A proxy before the apiserver that ends a process right after its n-th write has been carried out.

The write has happened, its answer never arrives: the crash that hurts most.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from spillway_dev.audit import AuditEntry
from support.api_proxy import ApiProxy

When = Callable[[AuditEntry, int], bool]
"""Of a write and its number, counted from 1: whether it is the one."""
HARMLESS = ("selfsubjectaccessreviews", "selfsubjectrulesreviews")


class KillProxy(ApiProxy):
    """A proxy that can be armed."""

    def __init__(self, kubeconfig: Path) -> None:
        super().__init__(kubeconfig)
        self.kill_on: When | None = None
        self.kill: Callable[[], None] = lambda: None
        self.writes: list[str] = []
        self.fired = threading.Event()
        self._trigger = threading.Lock()

    def arm(self, when: When | None, kill: Callable[[], None]) -> None:
        """Call ``kill`` right after the first write from now for which ``when`` holds (None: never)."""
        self.writes, self.kill_on, self.kill = [], when, kill
        self.fired.clear()

    def disarm(self) -> None:
        """No kill from now on: afterwards ``fired`` says for good whether there was one."""
        with self._trigger:
            self.kill_on = None

    def written(self, entry: AuditEntry) -> None:
        """Count the write, and kill if it was the one."""
        super().written(entry)
        if entry.resource in HARMLESS:
            return
        self.writes.append(f"{entry.verb} {entry.uri.partition('?')[0]}")
        with self._trigger:
            if self.kill_on is not None and self.kill_on(entry, len(self.writes)):
                self.kill_on = None
                self.kill()
                self.fired.set()
