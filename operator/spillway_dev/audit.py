"""The apiserver's audit log: who did what, in order, with the bodies of writes.

    mark = audit.mark()
    ...
    assert audit.writes(since=mark, user="system:serviceaccount:spillway:controller") == []

The log is written in blocking mode: when a request has been answered, its entry is in the file.
"""

from __future__ import annotations

import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from spillway_dev.processes import wait_until

WRITE_VERBS = frozenset({"create", "update", "patch", "delete", "deletecollection"})
# What the machinery does all day; its writes are kept without bodies, its reads not at all.
MACHINERY = ["system:apiserver", "system:kube-controller-manager", "system:kube-scheduler", "kwok"]
MACHINERY_GROUPS = ["system:serviceaccounts:kube-system"]


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One finished request.

    `api_group` is empty for the core group. `code` is the HTTP status of the answer. `body` is the request's body
    (the patch as it was sent, for a patch), present for writes of everyone but the machinery.
    """

    at: datetime
    user: str
    verb: str
    api_group: str
    resource: str
    subresource: str
    namespace: str
    name: str
    code: int
    uri: str
    user_agent: str
    body: dict[str, Any] | None
    message: str

    @property
    def ok(self) -> bool:
        """Whether the request succeeded."""
        return self.code < 400

    def __str__(self) -> str:
        target = "/".join(part for part in (self.resource, self.subresource) if part)
        return f"{self.at:%H:%M:%S.%f} {self.code} {self.user} {self.verb} {target} {self.namespace}/{self.name}"


class Journal(ABC):
    """Finished requests in order, wherever they were recorded."""

    @abstractmethod
    def _all(self) -> Sequence[AuditEntry]:
        """Every entry so far, oldest first."""

    def mark(self) -> int:
        """The place after the last entry so far, for `since`."""
        return len(self._all())

    def entries(
        self,
        *,
        since: int = 0,
        user: str | None = None,
        verbs: Collection[str] | None = None,
        resource: str | None = None,
        subresource: str | None = None,
        namespace: str | None = None,
        name: str | None = None,
    ) -> list[AuditEntry]:
        """The entries after the mark `since` that match every given filter, oldest first."""
        return [
            entry
            for entry in self._all()[since:]
            if (user is None or entry.user == user)
            and (verbs is None or entry.verb in verbs)
            and (resource is None or entry.resource == resource)
            and (subresource is None or entry.subresource == subresource)
            and (namespace is None or entry.namespace == namespace)
            and (name is None or entry.name == name)
        ]

    def writes(self, *, since: int = 0, user: str | None = None, namespace: str | None = None) -> list[AuditEntry]:
        """The writes after the mark `since`, oldest first, whether they succeeded or not."""
        return self.entries(since=since, user=user, namespace=namespace, verbs=WRITE_VERBS)

    def wait_for(
        self, wanted: Callable[[AuditEntry], bool], *, since: int = 0, timeout_seconds: float = 20.0
    ) -> AuditEntry:
        """The first entry after the mark `since` for which `wanted` holds, waited for.

        Raises:
            TimeoutError: none came in time.
        """
        hits: list[AuditEntry] = []

        def seen() -> bool:
            hits.extend(entry for entry in self.entries(since=since) if wanted(entry))
            return bool(hits)

        wait_until(seen, "audit log entry", timeout_seconds)
        return hits[0]


class AuditLog(Journal):
    """Reads the audit log while the apiserver goes on writing it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._offset = 0
        self._entries: list[AuditEntry] = []

    def _all(self) -> Sequence[AuditEntry]:
        with self._lock:
            self._read()
            return self._entries[:]

    def _read(self) -> None:
        if not self.path.exists():
            return
        with self.path.open("rb") as handle:
            handle.seek(self._offset)
            for line in handle:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                self._entries.append(_parse(json.loads(line)))


def _parse(event: dict[str, Any]) -> AuditEntry:
    target = event.get("objectRef") or {}
    status = event.get("responseStatus") or {}
    body = event.get("requestObject")
    name = target.get("name") or ((body or {}).get("metadata") or {}).get("name", "")
    return AuditEntry(
        at=datetime.fromisoformat(event["requestReceivedTimestamp"]),
        user=event.get("user", {}).get("username", ""),
        verb=event["verb"],
        api_group=target.get("apiGroup", ""),
        resource=target.get("resource", ""),
        subresource=target.get("subresource", ""),
        namespace=target.get("namespace", ""),
        name=name,
        code=status.get("code", 0),
        uri=event.get("requestURI", ""),
        user_agent=event.get("userAgent", ""),
        body=body,
        message=status.get("message", ""),
    )


def write_policy(path: Path) -> Path:
    """Write the audit policy that the reader above expects; returns `path`."""
    reads = ["get", "list", "watch"]
    policy = {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived", "ResponseStarted"],
        "rules": [
            {"level": "None", "users": MACHINERY, "verbs": reads},
            {"level": "None", "userGroups": MACHINERY_GROUPS, "verbs": reads},
            {
                "level": "None",
                "userGroups": ["system:authenticated", "system:unauthenticated"],
                "nonResourceURLs": ["*"],
            },
            {"level": "Metadata", "users": MACHINERY},
            {"level": "Metadata", "userGroups": MACHINERY_GROUPS},
            {"level": "Metadata", "verbs": reads},
            # A token request's body is harmless, but its kind never matters to a test.
            {"level": "Metadata", "resources": [{"group": "", "resources": ["serviceaccounts/token", "secrets"]}]},
            {"level": "Request"},
        ],
    }
    path.write_text(yaml.safe_dump(policy, sort_keys=False))
    return path
