"""Structured logs without secrets: JSON for machines, one plain line for a terminal."""

from __future__ import annotations

import logging
import re
import sys
from typing import TextIO

from pythonjsonlogger.json import JsonFormatter

REDACTED = "[redacted]"

_VALUE = r"[^\s\"'\\,;&}\]]+"
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(?i)\b(bearer|basic)\s+" + _VALUE), rf"\1 {REDACTED}"),
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^\s/@\"'\\]+@"), rf"\1{REDACTED}@"),
    (
        re.compile(
            r"(?i)\b((?:x-)?api[-_]?key|access[-_]?token|refresh[-_]?token|id[-_]?token|token|password|passwd|secret"
            r"|client[-_]?secret|authorization)(\\?[\"']?\s*[:=]\s*\\?[\"']?)(?!\[redacted\]|bearer\b|basic\b)" + _VALUE
        ),
        rf"\1\2{REDACTED}",
    ),
    (re.compile(r"\bsk-[A-Za-z0-9_-]{8,}"), REDACTED),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]*)?"), REDACTED),
)

NOISY = ("kopf", "aiohttp", "urllib3", "asyncio", "kubernetes", "prometheus_api_client", "requests")
"""Libraries that speak only from WARNING on, unless the level is debug."""


def redact(text: str) -> str:
    """``text`` without bearer tokens, userinfo in URLs, API keys and tokens."""
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


class Redacting(logging.Formatter):
    """Redacts the finished line, so that arguments, extras and tracebacks are all covered."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        """The inner formatter's line without secrets."""
        return redact(self._inner.format(record))


def formatter(as_json: bool) -> logging.Formatter:
    """JSON lines with ``time``, ``level``, ``logger``, ``message`` and the record's extras; or a plain line."""
    if not as_json:
        return Redacting(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S"))
    renamed = {"asctime": "time", "levelname": "level", "name": "logger"}
    inner = JsonFormatter(
        "%(asctime)s %(levelname)s %(name)s %(message)s", datefmt="%Y-%m-%dT%H:%M:%S%z", rename_fields=renamed
    )
    return Redacting(inner)


def configure_logging(level: str, stream: TextIO | None = None, as_json: bool | None = None) -> None:
    """Set up the root logger. ``as_json`` None: JSON unless ``stream`` (default: standard error) is a terminal."""
    out = stream or sys.stderr
    structured = not out.isatty() if as_json is None else as_json
    handler = logging.StreamHandler(out)
    handler.setFormatter(formatter(structured))
    number = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(number)
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.DEBUG if number <= logging.DEBUG else logging.WARNING)
