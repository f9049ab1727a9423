"""A TCP proxy before a server that keeps what clients have sent through it: what the server really gets to see."""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType
from typing import Self

MOST_BYTES = 64 * 1024 * 1024
CHUNK_BYTES = 1 << 16


class Recorder:
    """Passes connections on to `127.0.0.1:port`. Use it as an async context manager.

    Args:
        port: of the server.
    """

    def __init__(self, port: int) -> None:
        self.target = port
        self.port = 0
        self.sent = bytearray()
        """All that came from clients, in the order in which it came."""
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
            ways = [
                asyncio.create_task(self._pass(reader, back, keep=True)),
                asyncio.create_task(self._pass(there, writer, keep=False)),
            ]
            # Who hangs up on one side is hung up on at the other: the server stops working for nobody.
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            back.close()
        finally:
            writer.close()
            self._connections.discard(task)

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, keep: bool) -> None:
        while part := await source.read(CHUNK_BYTES):
            if keep:
                assert len(self.sent) < MOST_BYTES, "more than a test should send"
                self.sent += part
            sink.write(part)
            await sink.drain()
