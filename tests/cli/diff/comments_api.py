"""A small server that behaves like the comments API of GitHub and the notes API of GitLab: tokens, pages, authors."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "t0ken"
OWN = {"id": 7, "login": "github-actions[bot]"}
OTHER = {"id": 8, "login": "somebody"}
GITHUB = re.compile(r"/api/repos/o/r/issues/(?:5/comments|comments/(\d+))")
GITLAB = re.compile(r"/api/projects/g%2Fp/merge_requests/5/notes(?:/(\d+))?")


@dataclass
class Comments:
    """What is stored, and what was asked."""

    stored: list[dict[str, Any]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    address: str = ""

    def add(self, body: str, who: dict[str, Any], *, system: bool = False) -> None:
        """A comment."""
        number = 100 + len(self.stored)
        self.stored.append({"id": number, "body": body, "user": who, "author": who, "system": system})

    @property
    def bodies(self) -> list[str]:
        """In order."""
        return [each["body"] for each in self.stored]

    @property
    def writes(self) -> list[str]:
        """Requests that changed something."""
        return [each for each in self.requests if not each.startswith("GET")]


@contextmanager
def serving() -> Iterator[Comments]:
    """The server on a port of loopback, until the block ends."""
    comments = Comments()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            address = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else {}
            comments.requests.append(f"{self.command} {address.path}")
            status, document = self._handled(address.path, parse_qs(address.query), body)
            text = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def _handled(self, path: str, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
            tokens = (self.headers.get("Authorization"), self.headers.get("PRIVATE-TOKEN"))
            if tokens not in ((f"Bearer {TOKEN}", None), (None, TOKEN)):
                return 401, {"message": "unauthorized"}
            if path == "/api/user":
                return (200, OWN) if tokens[1] else (403, {})
            found = GITHUB.fullmatch(path) or GITLAB.fullmatch(path)
            if found is None:
                return 404, {"message": "not found"}
            if found[1] is None and self.command == "GET":
                page, size = int(query["page"][0]), int(query["per_page"][0])
                return 200, comments.stored[(page - 1) * size : page * size]
            if found[1] is None and self.command == "POST":
                comments.add(body["body"], OWN)
                return 201, comments.stored[-1]
            if found[1] is not None and self.command in ("PATCH", "PUT"):
                for each in comments.stored:
                    if each["id"] == int(found[1]):
                        each["body"] = body["body"].replace("\n", "\r\n")
                        return 200, each
            return 405, {"message": "not allowed"}

        do_GET = do_POST = do_PATCH = do_PUT = _answer

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    comments.address = f"http://127.0.0.1:{server.server_address[1]}/api"
    try:
        yield comments
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
