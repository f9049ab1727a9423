"""Records of lanes as text, to be kept over restarts: bounded, and refused as a whole where it can't be understood."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from spillway.advise.structural.record import Hour, Record

VERSION = 1
Records = Mapping[str, Record]
"""By lane name."""


class RecordError(ValueError):
    """A text that holds no records."""


def to_text(records: Records, most: int) -> str:
    """At most ``most`` characters: the oldest hours of all lanes go first."""
    hours = sorted({hour.at for record in records.values() for hour in record.hours})
    for first in (0, *hours[1::24], *hours[-1:]):
        text = _text(records, first)
        if len(text) <= most:
            return text
    return _text({}, 0)


def _text(records: Records, first: int) -> str:
    lanes = {
        name: {"basis": record.basis, "hours": [_hour(hour) for hour in record.hours if hour.at >= first]}
        for name, record in sorted(records.items())
    }
    return json.dumps({"version": VERSION, "lanes": lanes}, separators=(",", ":"))


def _hour(hour: Hour) -> list[Any]:
    """Hour, seconds, seconds used, seconds by need, dollars by bound."""
    needed = {str(n): _plain(value) for n, value in sorted(hour.needed.items())}
    saved = {str(n): _plain(value) for n, value in sorted(hour.saved.items()) if value}
    return [hour.at, _plain(hour.seconds), _plain(hour.used), needed, saved]


def _plain(value: Decimal) -> str:
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def from_text(text: str) -> dict[str, Record]:
    """What ``to_text`` has written. Raises ``RecordError``."""
    try:
        document = json.loads(text)
        if document["version"] != VERSION:
            raise RecordError(f"it was written by another release (version {document['version']})")
        return {
            str(name): Record(str(kept["basis"]), tuple(_read(hour) for hour in kept["hours"]))
            for name, kept in document["lanes"].items()
        }
    except RecordError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, InvalidOperation, RecursionError) as error:
        raise RecordError("it holds no observations of Spillway's") from error


def _read(item: list[Any]) -> Hour:
    at, seconds, used, needed, saved = item
    return Hour(int(at), _amount(seconds), _numbers(needed), _numbers(saved), _amount(used))


def _numbers(entries: dict[str, str]) -> dict[int, Decimal]:
    return {int(key): _amount(value) for key, value in entries.items()}


def _amount(value: str) -> Decimal:
    found = Decimal(value)
    if not found.is_finite():
        raise RecordError("it holds no observations of Spillway's")
    return found
