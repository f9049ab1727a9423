"""``spillway replay``: makes recorded decisions once more and says where they come out otherwise."""

from __future__ import annotations

import gzip
import json
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from spillway import __version__
from spillway.cli.output import Form, console, print_json, table
from spillway.decide.decision import Decision
from spillway.decide.recording import Record, RecordingError, Replayed, Shared, parse, replay

GZIP_MAGIC = b"\x1f\x8b"
SHOWN_RECORDS = 3
"""Records of which the differences are shown."""
SHOWN_DIFFERENCES = 8
VALUE_WIDTH = 60


@dataclass(frozen=True, slots=True)
class Choice:
    """Which records are meant. ``at``: Unix time in seconds; the each plan's last record at or before it is."""

    at: float | None = None
    plan: str | None = None


@dataclass(slots=True)
class Tally:
    """What came of all records."""

    replayed: int = 0
    identical: int = 0
    products: set[str] = field(default_factory=set)
    different: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    shown: list[dict[str, Any]] = field(default_factory=list)

    def add(self, where: str, replayed: Replayed) -> None:
        """Count one."""
        self.replayed += 1
        self.identical += replayed.identical
        self.products.add(replayed.record.product)
        if not replayed.identical:
            self.different.append(_entry(where, replayed))


def parse_time(text: str) -> float:
    """Unix seconds, or ISO 8601 (UTC where no offset is given). Raises click.BadParameter."""
    try:
        return float(text)
    except ValueError:
        pass
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter(
            f"{text!r} is no time; write Unix seconds or such as 2026-03-01T12:00:00Z", param_hint="--at"
        ) from error
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def replay_command(files: Sequence[Path], choice: Choice, show: bool, form: Form) -> int:
    """Replay and say so; 1 where a decision differs or a record can't be read, else 0."""
    tally, seen = Tally(), 0
    last: dict[str, tuple[str, Record]] = {}
    for where, found in _records(files):
        if isinstance(found, RecordingError):
            tally.problems.append(f"{where}: {found}")
            continue
        seen += 1
        if choice.plan not in (None, found.plan):
            continue
        if choice.at is None:
            _replay(where, found, tally, show, form)
        elif found.at <= choice.at and (found.plan not in last or found.at >= last[found.plan][1].at):
            last[found.plan] = (where, found)
    for where, record in last.values():
        _replay(where, record, tally, show, form)
    if not tally.replayed and not tally.problems:
        raise click.ClickException(_nothing(files, choice, seen))
    _tell(tally, form)
    for problem in tally.problems[:SHOWN_RECORDS]:
        sys.stderr.write(f"error: {problem}\n")
    if (more := len(tally.problems) - SHOWN_RECORDS) > 0:
        sys.stderr.write(f"error: {more} more records can't be read\n")
    return int(bool(tally.different or tally.problems))


def _replay(where: str, record: Record, tally: Tally, show: bool, form: Form) -> None:
    replayed = replay(record)
    tally.add(where, replayed)
    if show and form.as_json:
        tally.shown.append(_shown(where, replayed))
    elif show:
        _show(where, replayed, form)


def _nothing(files: Sequence[Path], choice: Choice, seen: int) -> str:
    names = ", ".join(map(str, files))
    if not seen:
        return f"{names}: no decision is recorded there"
    plan = f" of plan {choice.plan}" if choice.plan else ""
    before = "" if choice.at is None else f" at or before {_clock(choice.at)}"
    return f"{names}: none of its {seen} records is{plan}{before}; without --plan and --at all are replayed"


def _records(files: Sequence[Path]) -> Iterator[tuple[str, Record | RecordingError]]:
    """Every record with its place; what can't be read ends its own file or is its own line."""
    for path in files:
        number, shared = 0, Shared()
        try:
            with path.open("rb") as raw:
                packed = raw.read(2) == GZIP_MAGIC
            with gzip.open(path) if packed else path.open("rb") as lines:
                for number, line in enumerate(lines, start=1):
                    if line.strip():
                        yield f"{path} line {number}", _parsed(line, shared)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            yield f"{path} line {number + 1}", RecordingError(f"the gzip file is cut off or broken ({error})")
        except OSError as error:
            yield str(path), RecordingError(error.strerror or str(error))


def _parsed(line: bytes, shared: Shared) -> Record | RecordingError:
    try:
        return parse(line, shared)
    except RecordingError as error:
        return error


def _tell(tally: Tally, form: Form) -> None:
    if form.as_json:
        print_json(_document(tally))
        return
    for entry in tally.different[:SHOWN_RECORDS]:
        _differences(entry, form)
    if (more := len(tally.different) - SHOWN_RECORDS) > 0:
        sys.stdout.write(f"{more} more decisions differ; -o json lists them all.\n")
    if tally.replayed:
        noun = "decision is" if tally.replayed == 1 else "decisions are"
        sys.stdout.write(f"{tally.identical} of {tally.replayed} {noun} identical.\n")
    if tally.different and (others := sorted(tally.products - {__version__})):
        sys.stdout.write(
            f"Recorded by spillway {', '.join(others)}, replayed by {__version__}: the release may be the difference.\n"
        )


def _differences(entry: dict[str, Any], form: Form) -> None:
    found = entry["differences"]
    sys.stdout.write(f"{entry['where']}: {entry['plan']} at {_clock(entry['at'])} differs\n")
    rows = [(each["field"], _value(each["recorded"]), _value(each["now"])) for each in found[:SHOWN_DIFFERENCES]]
    console(form).print(table(("FIELD", "RECORDED", "NOW"), rows, fixed=0))
    if (more := len(found) - SHOWN_DIFFERENCES) > 0:
        sys.stdout.write(f"and {more} more fields\n")
    sys.stdout.write("\n")


def _show(where: str, replayed: Replayed, form: Form) -> None:
    record = replayed.record
    sys.stdout.write(f"{where}: {record.plan} at {_clock(record.at)}, spillway {record.product}\n")
    if replayed.decision is None:
        sys.stdout.write(f"deciding fails: {replayed.error}\n\n")
        return
    decision = replayed.decision
    sys.stdout.write(f"{decision.reason.code}: {decision.reason.message}\n")
    out = console(form)
    out.print(table(("LANE", "NOW", "READY", "WANTED", "WHY"), _lane_rows(decision)))
    out.print(table(("CLASS", "REQ/S", "HOSTED", "WHY"), _class_rows(decision)))
    sys.stdout.write("\n")


def _lane_rows(decision: Decision) -> list[tuple[str, ...]]:
    return [
        (lane.name, _number(lane.current), _number(lane.ready), _number(lane.recommended), _why(lane.reason))
        for lane in decision.lanes
    ]


def _class_rows(decision: Decision) -> list[tuple[str, ...]]:
    return [
        (
            each.key,
            "-" if each.requests_per_second is None else f"{each.requests_per_second:.3g}",
            "-" if each.hosted_share is None else f"{each.hosted_share:.0%}",
            _why(each.reason),
        )
        for each in decision.classes
    ]


def _why(reason: Any) -> str:
    return "-" if reason is None else f"{reason.code}: {reason.message}"


def _number(value: int | None) -> str:
    return "-" if value is None else str(value)


def _value(value: Any) -> str:
    if value is None:
        return "-"
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= VALUE_WIDTH else f"{text[: VALUE_WIDTH - 3]}..."


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, tz=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _document(tally: Tally) -> dict[str, Any]:
    return {
        "replayed": tally.replayed,
        "identical": tally.identical,
        "recordedBy": sorted(tally.products),
        "replayedBy": __version__,
        "different": tally.different,
        "unreadable": tally.problems,
        **({"records": tally.shown} if tally.shown else {}),
    }


def _entry(where: str, replayed: Replayed) -> dict[str, Any]:
    return {
        "where": where,
        "at": replayed.record.at,
        "plan": replayed.record.plan,
        "differences": [
            {"field": each.path, "recorded": each.recorded, "now": each.now} for each in replayed.differences()
        ],
    }


def _shown(where: str, replayed: Replayed) -> dict[str, Any]:
    return {
        "where": where,
        "at": replayed.record.at,
        "plan": replayed.record.plan,
        "identical": replayed.identical,
        "decision": replayed.document,
        "error": replayed.error,
    }
