"""How figures are written: decimal strings with a fixed number of places, RFC 3339 times."""

from __future__ import annotations

from datetime import UTC, datetime

from spillway.decide.snapshot import Finding, Severity

MESSAGE_LIMIT = 1024
"""Longest message that a condition may carry, in characters."""


def timestamp(at: float) -> str:
    """Unix time in seconds as RFC 3339 in UTC, whole seconds."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def usd(value: float | None) -> str | None:
    """US dollars with two places, such as "23.10"."""
    return None if value is None else f"{value + 0.0:.2f}".replace("-0.00", "0.00")


def usd_small(value: float | None) -> str | None:
    """US dollars with four places and no trailing zeros, for prices per million tokens."""
    return _trimmed(value, 4)


def ratio(value: float | None) -> str | None:
    """A ratio with two places and no trailing zeros, such as "0.75"."""
    return _trimmed(value, 2)


def percent(share: float | None) -> str | None:
    """A share from 0 to 1 as a percentage with one place at most, such as "99.4"."""
    return None if share is None else _trimmed(share * 100, 1)


def rate(value: float | None) -> str | None:
    """Something per second, with two places at most."""
    return _trimmed(value, 2)


def shorten(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """``text`` within ``limit`` characters, the last one an ellipsis where something was cut."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def sentences(findings: tuple[Finding, ...], shown: int = 3) -> str:
    """The findings' messages in one line: the first few, and how many more there are."""
    text = "; ".join(finding.message for finding in findings[:shown])
    more = len(findings) - shown
    return shorten(f"{text}; and {more} more" if more > 0 else text)


def errors(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """Findings that make the object not Ready, in a fixed order so that the status does not flap."""
    found = [finding for finding in findings if finding.severity is Severity.ERROR]
    return tuple(sorted(found, key=lambda finding: (finding.reason, finding.subject, finding.message)))


def _trimmed(value: float | None, places: int) -> str | None:
    if value is None:
        return None
    text = f"{value:.{places}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text
