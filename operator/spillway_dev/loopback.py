"""HTTP to programs on this machine, past any proxy that the environment names."""

from __future__ import annotations

import ssl
import urllib.request
from collections.abc import Mapping
from pathlib import Path


def fetch(
    url: str,
    *,
    timeout_seconds: float = 2.0,
    headers: Mapping[str, str] | None = None,
    ca_file: Path | None = None,
) -> bytes:
    """The body of a GET request that was answered with success.

    Raises:
        urllib.error.HTTPError: another answer (an OSError, too).
        OSError: no answer.
    """
    handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
    if ca_file is not None:
        handlers.append(urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=str(ca_file))))
    request = urllib.request.Request(url, headers=dict(headers or {}))  # noqa: S310 - addresses of our own
    with urllib.request.build_opener(*handlers).open(request, timeout=timeout_seconds) as answer:
        body: bytes = answer.read()
    return body
