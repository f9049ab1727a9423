"""A name server on loopback for a handful of names, as the cluster's DNS is for headless Services: all their addresses.

It knows no other name and asks nobody: traffic to a real provider can't leave by mistake.
"""

from __future__ import annotations

import socket
import socketserver
import struct
import threading
from collections.abc import Iterable, Mapping

HEADER_BYTES = 12
TYPE_A = 1
ANSWER, NO_SUCH_NAME = 0x8400, 0x8403


class NameServer:
    """Answers on `port` of 127.0.0.1 by UDP, from a thread, until `stop`.

    Args:
        ttl_seconds: how long an answer may be kept.
    """

    def __init__(self, ttl_seconds: int) -> None:
        self._ttl = ttl_seconds
        self._names: dict[str, tuple[str, ...]] = {}
        self._server = socketserver.UDPServer(("127.0.0.1", 0), self._handler())
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        self._thread.start()

    def set(self, addresses: Mapping[str, Iterable[str]]) -> None:
        """Replace all names and their IPv4 addresses; a name without one exists and has no address."""
        self._names = {name.lower(): tuple(ips) for name, ips in addresses.items()}

    def stop(self) -> None:
        """Answer nothing more."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, query: bytes) -> bytes:
        """The reply to a query of one question, as RFC 1035 has it.

        Raises:
            ValueError: it is no such query.
        """
        name, end = _question(query)
        question = query[HEADER_BYTES:end]
        known = self._names.get(name)
        (kind,) = struct.unpack_from("!H", question, len(question) - 4)
        # 0xC00C points at the question's name.
        records = [
            struct.pack("!HHHIH", 0xC00C, TYPE_A, 1, self._ttl, 4) + socket.inet_aton(ip)
            for ip in (known or ())
            if kind == TYPE_A
        ]
        flags = NO_SUCH_NAME if known is None else ANSWER
        return query[:2] + struct.pack("!HHHHH", flags, 1, len(records), 0, 0) + question + b"".join(records)

    def _handler(self) -> type[socketserver.BaseRequestHandler]:
        names = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                query, reply = self.request
                try:
                    text = names.answer(query)
                except ValueError:
                    return
                reply.sendto(text, self.client_address)

        return Handler


def _question(query: bytes) -> tuple[str, int]:
    """The name asked for, and where the question ends."""
    labels: list[str] = []
    at = HEADER_BYTES
    try:
        while length := query[at]:
            labels.append(query[at + 1 : at + 1 + length].decode("ascii").lower())
            at += 1 + length
    except IndexError as error:
        raise ValueError("a cut query") from error
    end = at + 5
    if len(query) < end:
        raise ValueError("a cut query")
    return ".".join(labels), end
