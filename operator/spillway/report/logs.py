"""Structured logs without secrets: JSON for machines, one plain line for a terminal."""

from __future__ import annotations

import logging
import re
import sys
from typing import Any, TextIO

from pythonjsonlogger.json import JsonFormatter

REDACTED = "[redacted]"

_NAMES = (
    r"(?:x-)?api[-_]?key|access[-_]?token|refresh[-_]?token|id[-_]?token|token|password|passwd|secret"
    r"|client[-_]?secret|authorization"
)
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(?i)\b(bearer|basic)\s+(?!\[redacted)[^\s\"',;&}\]]+"), rf"\1 {REDACTED}"),
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^\s/@]+@"), rf"\1{REDACTED}@"),
    (
        re.compile(
            rf"(?i)\b({_NAMES})([\"']?\s*[:=]\s*)(?!bearer\b|basic\b|\[redacted)(\"[^\"]*\"|'[^']*'|[^\s,;&}}\]]+)"
        ),
        rf"\1\2{REDACTED}",
    ),
    (re.compile(r"\bsk-[A-Za-z0-9_-]{8,}"), REDACTED),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]*)?"), REDACTED),
)
_SECRET_NAME = re.compile(rf"(?i)^({_NAMES})$")

NOISY = ("kopf", "aiohttp", "urllib3", "asyncio", "kubernetes", "prometheus_api_client", "requests")
"""Libraries that speak only from WARNING on, unless the level is debug."""


def redact(text: str) -> str:
    """``text`` without bearer tokens, userinfo in URLs, API keys and tokens."""
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


class PlainFormatter(logging.Formatter):
    """One line for people, redacted as a whole: arguments and tracebacks included."""

    def format(self, record: logging.LogRecord) -> str:
        """The line without secrets."""
        return redact(super().format(record))


class StructuredFormatter(JsonFormatter):
    """JSON, each string in it redacted before it is encoded, so that the line stays JSON."""

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        """The record without secrets."""
        return {name: _redacted(name, value) for name, value in log_data.items()}


def _redacted(name: str, value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _redacted(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted(name, inner) for inner in value]
    if _SECRET_NAME.match(name):
        return REDACTED
    return redact(value) if isinstance(value, str) else value


def formatter(as_json: bool) -> logging.Formatter:
    """JSON lines with ``time``, ``level``, ``logger``, ``message`` and the record's extras; or a plain line."""
    if not as_json:
        return PlainFormatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")
    renamed = {"asctime": "time", "levelname": "level", "name": "logger"}
    fields = "%(asctime)s %(levelname)s %(name)s %(message)s"
    return StructuredFormatter(fields, datefmt="%Y-%m-%dT%H:%M:%S%z", rename_fields=renamed)


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
