"""Records of lanes as text, to be kept over restarts: bounded, and refused as a whole where it can't be understood."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from spillway.advise.structural.record import Hour, Record

VERSION = 2
"""Version 1 wrote dollars by bound for each hour anew, twice as long; it is still read."""
MICROS = 1_000_000
"""Dollars are whole micro-dollars in a text."""
ENTRY = 16
"""Characters around an entry beside its key, which stands there twice: the apiserver tells who wrote it."""
Records = Mapping[str, Record]
"""By lane name."""


class RecordError(ValueError):
    """A text that holds no records."""


@dataclass(frozen=True, slots=True)
class Written:
    """Records as text."""

    text: str
    first: int = 0
    """Hour (since 1970) before which nothing was kept; 0: all was."""

    def kept(self, record: Record) -> Decimal:
        """Seconds of a record's observation that are in the text."""
        return sum((hour.seconds for hour in record.hours if hour.at >= self.first), Decimal(0))


def share_out(books: Mapping[str, Records], most: int) -> dict[str, Written]:
    """Records by key, keys and texts together at most ``most`` characters.

    What takes little is kept whole; what takes much has equal shares of the rest.
    """
    whole = {key: written(records, most) for key, records in books.items()}
    left, found = most, dict[str, Written]()
    for number, (key, page) in enumerate(sorted(whole.items(), key=lambda entry: (_length(*entry), entry[0]))):
        share = left // (len(whole) - number) - _length(key, Written(""))
        found[key] = page if len(page.text) <= share else written(books[key], share)
        left -= _length(key, found[key])
    return found


def _length(key: str, page: Written) -> int:
    return 2 * len(key) + ENTRY + len(page.text)


def to_text(records: Records, most: int) -> str:
    """At most ``most`` characters: the oldest hours of all lanes go first."""
    return written(records, most).text


def written(records: Records, most: int) -> Written:
    """The same, with what was left out."""
    heads = {name: _head(record) for name, record in sorted(records.items())}
    rows = {name: [(hour.at, _row(hour, heads[name][1])) for hour in record.hours] for name, record in records.items()}
    text = _text(heads, rows, 0)
    if len(text) <= most:
        return Written(text)
    lengths = Counter[int]()
    for lane in rows.values():
        for at, row in lane:
            lengths[at] += len(row) + 1
    over, first = len(text) - most, 0
    for at in sorted(lengths):
        if over <= 0:
            break
        over, first = over - lengths[at], at + 1
    text = _text(heads, rows, first)
    return Written(text if len(text) <= most else _text({}, {}, 0), first)


def _head(record: Record) -> tuple[str, tuple[int, ...]]:
    return record.basis, tuple(sorted({bound for hour in record.hours for bound in hour.saved}))


def _row(hour: Hour, bounds: Sequence[int]) -> str:
    """Hour, seconds, seconds used, seconds by need, micro-dollars of each of the lane's bounds."""
    needed = {str(n): _plain(value) for n, value in sorted(hour.needed.items())}
    saved = [round(hour.saved.get(bound, Decimal(0)) * MICROS) for bound in bounds]
    return _json([hour.at, _plain(hour.seconds), _plain(hour.used), needed, saved])


def _text(
    heads: Mapping[str, tuple[str, tuple[int, ...]]], rows: Mapping[str, Sequence[tuple[int, str]]], first: int
) -> str:
    lanes = []
    for name, (basis, bounds) in heads.items():
        hours = ",".join(row for at, row in rows[name] if at >= first)
        lanes.append(f'{_json(name)}:{{"basis":{_json(basis)},"bounds":{_json(bounds)},"hours":[{hours}]}}')
    return f'{{"version":{VERSION},"lanes":{{{",".join(lanes)}}}}}'


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _plain(value: Decimal) -> str:
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def from_text(text: str) -> dict[str, Record]:
    """What ``to_text`` has written, of this version or the one before. Raises ``RecordError``."""
    try:
        document = json.loads(text)
        read = READERS.get(document["version"])
        if read is None:
            raise RecordError(f"it was written by another release (version {document['version']})")
        return {
            str(name): Record(str(kept["basis"]), tuple(read(hour, kept) for hour in kept["hours"]))
            for name, kept in document["lanes"].items()
        }
    except RecordError:
        raise
    except (ArithmeticError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise RecordError("it holds no observations of Spillway's") from error


def _read_1(item: list[Any], _: dict[str, Any]) -> Hour:
    at, seconds, used, needed, saved = item
    return Hour(int(at), _amount(seconds), _numbers(needed), _numbers(saved), _amount(used))


def _read_2(item: list[Any], lane: dict[str, Any]) -> Hour:
    at, seconds, used, needed, micros = item
    saved = {int(n): Decimal(int(value)) / MICROS for n, value in zip(lane["bounds"], micros, strict=True) if value}
    return Hour(int(at), _amount(seconds), _numbers(needed), saved, _amount(used))


READERS: Mapping[object, Callable[[list[Any], dict[str, Any]], Hour]] = {1: _read_1, 2: _read_2}


def _numbers(entries: dict[str, str]) -> dict[int, Decimal]:
    return {int(key): _amount(value) for key, value in entries.items()}


def _amount(value: str) -> Decimal:
    found = Decimal(value)
    if not found.is_finite():
        raise RecordError("it holds no observations of Spillway's")
    return found
