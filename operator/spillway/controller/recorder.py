"""Records what each decision was made from, in a bounded folder; never at the cost of a tick.

`decisions.jsonl` grows; full, it becomes `decisions-<time>.jsonl.gz`, and the oldest of those go. Nothing else in the
folder is touched.
"""

from __future__ import annotations

import gzip
import logging
import os
import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from spillway import __version__
from spillway.config import OperatorConfig
from spillway.decide.codec import CodecError, Json
from spillway.decide.decision import Decision
from spillway.decide.memory import Memory
from spillway.decide.recording import Begun, Shared, begin, line_of
from spillway.decide.snapshot import PlanSnapshot

CURRENT = "decisions.jsonl"
ROTATED = re.compile(r"decisions-\d{8}T\d{6}Z(-\d+)?\.jsonl\.gz")
UNFINISHED = "decisions.gz.tmp"
MAX_SEGMENT_BYTES = 16 * 2**20
COMPRESSION = 6

logger = logging.getLogger("spillway.recorder")


class Recorder:
    """Collects a tick's records and appends them. What fails is said once, until it works again."""

    def __init__(self, directory: Path, max_bytes: int, clock: Callable[[], float]) -> None:
        self._directory, self._max_bytes, self._clock = directory, max_bytes, clock
        self._segment_bytes = min(MAX_SEGMENT_BYTES, max_bytes // 4)
        self._records: list[Json] = []
        self._shared = Shared()
        self._mended = self._failing = False

    @classmethod
    def of(cls, config: OperatorConfig, clock: Callable[[], float]) -> Recorder | None:
        """The recorder that the configuration asks for, if it does. ``clock`` gives Unix time in seconds."""
        if config.recording is None:
            return None
        return cls(config.recording.directory, config.recording.max_megabytes * 2**20, clock)

    def begin(self, snapshot: PlanSnapshot, memory: Memory) -> Begun | None:
        """Note the input of a decision, before it is made."""
        try:
            return begin(snapshot, memory)
        except CodecError as error:
            self._warn(f"the decision on {snapshot.key} can't be recorded: {error}")
            return None

    def end(self, begun: Begun | None, decision: Decision | None, error: BaseException | None = None) -> None:
        """Note what came of it."""
        if begun is None:
            return
        try:
            self._records.append(begun.document(__version__, decision, error))
        except CodecError as problem:
            self._warn(f"the decision on {begun.plan} can't be recorded: {problem}")

    def flush(self) -> None:
        """Append what was collected. Blocks for the write, and now and then for a rotation."""
        records, self._records = self._records, []
        if not records:
            return
        try:
            whole = [self._append(record) for record in records]
        except OSError as error:
            self._mended = False  # half a line may stand there
            self._warn(f"decisions are not recorded: {error}; mind recording.directory")
        else:
            self._failing = self._failing and not all(whole)

    def _warn(self, message: str) -> None:
        if not self._failing:
            logger.warning(message)
        self._failing = True

    def _append(self, record: Json) -> bool:
        """Whether it was short enough."""
        current = self._directory / CURRENT
        if not self._mended:
            self._directory.mkdir(parents=True, exist_ok=True)
            (self._directory / UNFINISHED).unlink(missing_ok=True)
            _cut_unfinished_line(current)
            self._shared = Shared()
            self._mended = True
        line = line_of(record, self._shared)
        if current.exists() and current.stat().st_size + len(line) > self._segment_bytes:
            self._rotate(current)
            self._shared = Shared()
            line = line_of(record, self._shared)
        if len(line) > self._segment_bytes:
            self._shared = Shared()
            size = f"{len(line) / 2**20:.1f} MB"
            self._warn(f"a decision on {record['plan']} takes {size}, too much to record; raise recording.maxMegabytes")
            return False
        with _private(current, os.O_APPEND) as file:
            file.write(line)
        return True

    def _rotate(self, current: Path) -> None:
        rotated = self._free_name()
        unfinished = self._directory / UNFINISHED
        # Room first, for this one as well: the bound holds at every moment.
        self._make_room(2 * self._segment_bytes)
        with (
            current.open("rb") as plain,
            _private(unfinished, os.O_TRUNC) as packed,
            gzip.GzipFile(filename="", fileobj=packed, mode="wb", compresslevel=COMPRESSION) as file,
        ):
            shutil.copyfileobj(plain, file)
        unfinished.replace(rotated)
        current.unlink()

    def _free_name(self) -> Path:
        stamp = datetime.fromtimestamp(self._clock(), tz=UTC).strftime("%Y%m%dT%H%M%SZ")
        names = (f"decisions-{stamp}{f'-{n}' if n else ''}.jsonl.gz" for n in range(10_000))
        return next(path for name in names if not (path := self._directory / name).exists())

    def _make_room(self, needed: int) -> None:
        """Remove the oldest until all of them and ``needed`` bytes fit."""
        found = sorted(
            (path for path in self._directory.iterdir() if ROTATED.fullmatch(path.name)),
            key=lambda path: path.stat().st_mtime_ns,
        )
        sizes = [path.stat().st_size for path in found]
        while found and sum(sizes) + needed > self._max_bytes:
            found.pop(0).unlink(missing_ok=True)
            sizes.pop(0)


def _private(path: Path, flag: int) -> BinaryIO:
    """Opened for writing, readable by the operator's own user alone."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | flag, 0o600), "wb")


def _cut_unfinished_line(path: Path) -> None:
    """What was being written when the process was killed."""
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)
