"""Recorded decisions: one JSON line each, and the same decision made once more from it.

A line holds the snapshot, the memory before, and the decision (or what went wrong). `decide` is a pure function, so
the decision made again has the same bytes; where it has not, one of the two was made by other code. What is large and
stood in an earlier line of the same file already is only referred to.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from spillway.decide.codec import CodecError, Json, canonical, codec_of
from spillway.decide.decision import Decision
from spillway.decide.engine import decide
from spillway.decide.memory import Memory
from spillway.decide.snapshot import PlanSnapshot

FORMAT = 1
"""Raised when records of the release before can't be read any more."""
IDENTITIES = ("name", "key", "class_name")
"""Fields by which items of a list are told apart in messages."""


class RecordingError(ValueError):
    """A line that is no record, or of no use to this release; one sentence."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A record before its decision is known. Taken first, so that a decision which changes its input is found out."""

    at: float
    plan: str
    snapshot: Json
    memory: Json

    def document(self, product: str, decision: Decision | None, error: BaseException | None = None) -> Json:
        """The whole record. Raises ``CodecError``."""
        record: dict[str, Json] = {
            "version": FORMAT,
            "spillway": product,
            "at": self.at,
            "plan": self.plan,
            "snapshot": self.snapshot,
            "memory": self.memory,
            "decision": None if decision is None else codec_of(Decision).encode(decision),
        }
        if error is not None:
            record["error"] = _told(error)
        return record


class Shared:
    """What has stood in the lines of one file so far: long lists and arrays change less often than they are written."""

    LONG = 64
    """Items of a list of numbers, or bytes of an array's text over four, from which on it is worth it."""
    MARK = "$same"

    def __init__(self) -> None:
        self._seen: dict[str, Json] = {}

    def pack(self, document: Json) -> Json:
        """The document with references to what has been packed before."""
        if self._is_long(document):
            name = hashlib.sha256(canonical(document)).hexdigest()[:24]
            if name in self._seen:
                return {self.MARK: name}
            self._seen[name] = None
            return document
        return self._each(document, self.pack)

    def unpack(self, document: Json) -> Json:
        """The document whole again. Raises ``RecordingError`` for a reference to what has not been unpacked."""
        if isinstance(document, dict) and document.keys() == {self.MARK}:
            if document[self.MARK] not in self._seen:
                raise RecordingError("it refers to an earlier line that is missing or broken; keep the file whole")
            return self._seen[document[self.MARK]]
        if self._is_long(document):
            self._seen[hashlib.sha256(canonical(document)).hexdigest()[:24]] = document
            return document
        return self._each(document, self.unpack)

    @staticmethod
    def _each(document: Json, work: Callable[[Json], Json]) -> Json:
        if isinstance(document, dict):
            return {key: work(value) for key, value in document.items()}
        return [work(item) for item in document] if isinstance(document, list) else document

    def _is_long(self, document: Json) -> bool:
        if isinstance(document, list):
            return len(document) >= self.LONG and all(isinstance(item, float | int | None) for item in document)
        return isinstance(document, dict) and len(str(document.get("base64", ""))) >= 4 * self.LONG


def line_of(document: Json, shared: Shared) -> bytes:
    """The record as a line of the file whose lines so far ``shared`` has seen."""
    return canonical(shared.pack(document)) + b"\n"


def begin(snapshot: PlanSnapshot, memory: Memory) -> Begun:
    """Note what a decision is about to be made from. Raises ``CodecError``."""
    return Begun(snapshot.at, snapshot.key, codec_of(PlanSnapshot).encode(snapshot), codec_of(Memory).encode(memory))


@dataclass(frozen=True, slots=True)
class Record:
    """A line read back."""

    product: str
    """The release that made it."""
    at: float
    plan: str
    snapshot: PlanSnapshot
    memory: Memory
    decision: Json
    """As recorded; None where deciding failed."""
    error: str | None

    @property
    def outcome(self) -> bytes:
        """What was recorded, as canonical bytes."""
        return canonical({"decision": self.decision, "error": self.error})


def parse(line: bytes, shared: Shared | None = None) -> Record:
    """Read one line; ``shared`` has seen the lines before it in its file. Raises ``RecordingError``."""
    try:
        document = json.loads(line)
    except ValueError as error:  # neither JSON nor text
        raise RecordingError("not a whole record: it is broken or cut off") from error
    if not isinstance(document, dict) or "version" not in document or "snapshot" not in document:
        raise RecordingError("not a recording of the operator's decisions")
    if document["version"] != FORMAT:
        raise RecordingError(
            f"recorded in format {document['version']!r} by spillway {document.get('spillway', '(unknown)')}; "
            f"this release reads format {FORMAT}: replay it with the release that recorded it"
        )
    document = (shared or Shared()).unpack(document)
    try:
        snapshot = codec_of(PlanSnapshot).decode(document["snapshot"])
        memory = codec_of(Memory).decode(document.get("memory"))
    except CodecError as error:
        raise RecordingError(
            f"recorded by spillway {document.get('spillway', '(unknown)')}, not readable here: {error}"
        ) from error
    if document.get("decision") is None and not document.get("error"):
        raise RecordingError("the record has no decision")
    product = str(document.get("spillway", ""))
    return Record(product, snapshot.at, snapshot.key, snapshot, memory, document["decision"], document.get("error"))


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where a decision comes out otherwise. None: not there."""

    path: str
    recorded: Json
    now: Json


@dataclass(frozen=True, slots=True)
class Replayed:
    """A record and what is decided from it now."""

    record: Record
    decision: Decision | None
    document: Json
    error: str | None

    @property
    def identical(self) -> bool:
        """Whether the bytes are the same."""
        return canonical({"decision": self.document, "error": self.error}) == self.record.outcome

    def differences(self) -> list[Difference]:
        """Where it differs, in the order of the fields; empty where identical."""
        if self.error != self.record.error:
            return [Difference("error", self.record.error, self.error)]
        return list(differences(self.record.decision, self.document))


def replay(record: Record) -> Replayed:
    """Decide once more."""
    try:
        decision, _ = decide(record.snapshot, record.memory)
    except Exception as error:  # noqa: BLE001 - the failure is what a bug report is about, and is compared
        return Replayed(record, None, None, _told(error))
    return Replayed(record, decision, codec_of(Decision).encode(decision), None)


def differences(recorded: Json, now: Json, path: str = "") -> Iterator[Difference]:
    """Where two documents differ; items of lists are named by what they are called where they have names."""
    if isinstance(recorded, dict) and isinstance(now, dict):
        for key in [*recorded, *(key for key in now if key not in recorded)]:
            step = f"{path}.{key}" if path else key
            yield from differences(recorded.get(key), now.get(key), step)
        if [*recorded] != [*now] and recorded.keys() == now.keys():
            yield Difference(f"{path} (order)", [*recorded], [*now])
    elif isinstance(recorded, list) and isinstance(now, list):
        yield from _listed(recorded, now, path)
    elif canonical(recorded) != canonical(now):
        yield Difference(path, recorded, now)


def _listed(recorded: list[Any], now: list[Any], path: str) -> Iterator[Difference]:
    before, after = _named(recorded), _named(now)
    if before is None or after is None:
        before, after = dict(enumerate(recorded)), dict(enumerate(now))
    for name in [*before, *(name for name in after if name not in before)]:
        yield from differences(before.get(name), after.get(name), f"{path}[{name}]")
    if [*before] != [*after] and before.keys() == after.keys():
        yield Difference(f"{path} (order)", [*before], [*after])


def _named(items: list[Any]) -> dict[Any, Any] | None:
    """Items by name, where all have one and no two the same."""
    for identity in IDENTITIES:
        named = {item[identity]: item for item in items if isinstance(item, dict) and identity in item}
        if items and len(named) == len(items):
            return named
    return None


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
