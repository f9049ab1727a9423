"""A proxy before the apiserver that ends a process right after its n-th write has been carried out.

The write has happened, its answer never arrives: the crash that hurts most.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp import web

WRITES = ("POST", "PUT", "PATCH", "DELETE")
HARMLESS = ("selfsubjectaccessreviews", "selfsubjectrulesreviews")


class KillProxy:
    """Plain HTTP on loopback in front of the apiserver of ``kubeconfig``, with the client's own credentials."""

    def __init__(self, kubeconfig: Path) -> None:
        document = yaml.safe_load(kubeconfig.read_text())
        cluster = document["clusters"][0]["cluster"]
        self._upstream = cluster["server"]
        authority = cluster.get("certificate-authority")
        self._document = document
        self._ssl = ssl.create_default_context(cafile=authority) if authority else ssl.create_default_context()
        if "certificate-authority-data" in cluster:
            self._ssl.load_verify_locations(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
        self.kill_after: int | None = None
        self.kill: Callable[[], None] = lambda: None
        self.writes: list[str] = []
        self.fired = threading.Event()
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> KillProxy:
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

    def arm(self, after: int | None, kill: Callable[[], None]) -> None:
        """Call ``kill`` right after the ``after``-th write from now (None: never)."""
        self.writes, self.kill_after, self.kill = [], after, kill
        self.fired.clear()

    def kubeconfig(self, path: Path) -> Path:
        """A kubeconfig that goes through the proxy."""
        document: dict[str, Any] = yaml.safe_load(yaml.safe_dump(self._document))
        document["clusters"][0]["cluster"] = {"server": f"http://127.0.0.1:{self.port}"}
        path.write_text(yaml.safe_dump(document))
        return path

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
        headers = {k: v for k, v in request.headers.items() if k.lower() not in ("host", "content-length")}
        body = await request.read()
        url = self._upstream + str(request.rel_url)
        timeout = aiohttp.ClientTimeout(total=None)
        async with self._session.request(
            request.method, url, headers=headers, data=body or None, timeout=timeout
        ) as answer:
            if request.method in WRITES and not any(name in request.path for name in HARMLESS):
                self.writes.append(f"{request.method} {request.path}")
                if self.kill_after is not None and len(self.writes) == self.kill_after:
                    await answer.read()
                    self.kill()
                    self.fired.set()
            skipped = ("transfer-encoding", "content-length", "connection")
            passed = {k: v for k, v in answer.headers.items() if k.lower() not in skipped}
            response = web.StreamResponse(status=answer.status, headers=passed)
            await response.prepare(request)
            try:
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
                await response.write_eof()
            except ConnectionError:
                pass
            return response
