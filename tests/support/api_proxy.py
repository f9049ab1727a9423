"""A proxy before the apiserver that keeps a journal of every write: what stands in for the audit log elsewhere.

Only what goes through it is recorded, so whoever is to be watched is given ``kubeconfig``.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import threading
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote

import aiohttp
import yaml
from aiohttp import web

from spillway_dev.audit import AuditEntry, Journal

VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
SKIPPED_HEADERS = ("transfer-encoding", "content-length", "connection")


class RecordedJournal(Journal):
    """The writes that a proxy has seen, in the order of their answers."""

    def __init__(self) -> None:
        self._entries: list[AuditEntry] = []

    def add(self, entry: AuditEntry) -> None:
        """Record an answered write."""
        self._entries.append(entry)

    def _all(self) -> Sequence[AuditEntry]:
        return self._entries[:]


class ApiProxy:
    """Plain HTTP on loopback in front of the apiserver of ``kubeconfig``, with the client's own credentials.

    Clients have to show a bearer token: a client certificate does not pass a proxy.
    """

    def __init__(self, kubeconfig: Path, journal: RecordedJournal | None = None) -> None:
        self._document = yaml.safe_load(kubeconfig.read_text())
        cluster = self._document["clusters"][0]["cluster"]
        self._upstream = cluster["server"]
        self._server_name = cluster.get("tls-server-name")
        self._ssl = _trust(cluster)
        self.journal = journal or RecordedJournal()
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> Self:
        """Listen."""
        self._thread.start()
        if not self._started.wait(10):
            raise RuntimeError("the proxy did not start")
        return self

    def stop(self) -> None:
        """Close."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(timeout=10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        self._loop.close()

    def kubeconfig(self, path: Path, credentials: Path | None = None) -> Path:
        """A kubeconfig that goes through the proxy, as the user of ``credentials`` or of the proxy's own kubeconfig."""
        document: dict[str, Any] = yaml.safe_load(
            credentials.read_text() if credentials else yaml.safe_dump(self._document)
        )
        document["clusters"][0]["cluster"] = {"server": f"http://127.0.0.1:{self.port}"}
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(document))
        return path

    def written(self, entry: AuditEntry) -> None:
        """Called with every write once it has been carried out, before the client gets its answer."""
        self.journal.add(entry)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.run_forever()

    async def _close(self) -> None:
        await self._runner.cleanup()
        await self._session.close()
        own = asyncio.current_task()
        left = [task for task in asyncio.all_tasks() if task is not own]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _serve(self) -> None:
        app = web.Application(client_max_size=2**26)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._ssl), auto_decompress=False, read_bufsize=2**21
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]
        self._started.set()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        at, body = datetime.now(UTC), await request.read()
        headers = {k: v for k, v in request.headers.items() if k.lower() not in ("host", "content-length")}
        if request.method in VERBS:
            # Else an answer might be compressed, and its reason could not be read.
            headers["Accept-Encoding"] = "identity"
        async with self._session.request(
            request.method,
            self._upstream + str(request.rel_url),
            headers=headers,
            data=body or None,
            timeout=aiohttp.ClientTimeout(total=None),
            server_hostname=self._server_name,
        ) as answer:
            if request.method in VERBS:
                self.written(_entry(at, request, body, answer.status, await answer.read()))
            return await _pass_on(request, answer)


async def _pass_on(request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    passed = {k: v for k, v in answer.headers.items() if k.lower() not in SKIPPED_HEADERS}
    response = web.StreamResponse(status=answer.status, headers=passed)
    try:
        await response.prepare(request)
        if request.method in VERBS:
            await response.write(await answer.read())
        else:
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
        await response.write_eof()
    except ConnectionError:
        # The client is gone, as a killed one is.
        pass
    return response


def _trust(cluster: dict[str, Any]) -> ssl.SSLContext | bool:
    if cluster.get("insecure-skip-tls-verify"):
        return False
    data = cluster.get("certificate-authority-data")
    return ssl.create_default_context(
        cafile=cluster.get("certificate-authority"), cadata=base64.b64decode(data).decode() if data else None
    )


def _entry(at: datetime, request: web.Request, sent: bytes, code: int, answer: bytes) -> AuditEntry:
    target, body = parse_path(request.path), _document(sent)
    named = target["name"] or ((body.get("metadata") or {}).get("name", "") if isinstance(body, dict) else "")
    verb = VERBS[request.method]
    said = _document(answer) if code >= 400 else None
    return AuditEntry(
        at=at,
        user=token_user(request.headers.get("Authorization", "")),
        verb="deletecollection" if verb == "delete" and not target["name"] else verb,
        code=code,
        uri=str(request.rel_url),
        user_agent=request.headers.get("User-Agent", ""),
        body=body,
        message=str(said.get("message", "")) if isinstance(said, dict) else "",
        **(target | {"name": named}),
    )


def _document(content: bytes) -> Any:
    """JSON, or the YAML that a server-side apply may be."""
    for load in (json.loads, yaml.safe_load):
        with suppress(ValueError, yaml.YAMLError):
            return load(content) if content else None
    return None


def parse_path(path: str) -> dict[str, str]:
    """What an API path is about, in the fields of an `AuditEntry`; empty strings where it names no resource."""
    parts = [unquote(part) for part in path.split("/") if part]
    names = dict.fromkeys(("api_group", "resource", "subresource", "namespace", "name"), "")
    if len(parts) > 2 and parts[0] == "api":
        rest = parts[2:]
    elif len(parts) > 3 and parts[0] == "apis":
        names["api_group"], rest = parts[1], parts[3:]
    else:
        return names
    if rest[0] == "namespaces" and len(rest) > 1:
        names["namespace"] = rest[1]
        if len(rest) > 2 and rest[2] not in ("status", "finalize"):
            rest = rest[2:]
    names |= dict(zip(("resource", "name", "subresource"), rest, strict=False))
    return names


def token_user(authorization: str) -> str:
    """Whose service account token this is, as the audit log would call it; empty for other credentials."""
    parts = authorization.removeprefix("Bearer ").split(".")
    if len(parts) != 3:
        return ""
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return ""
    return str(claims.get("sub", "")) if isinstance(claims, dict) else ""
