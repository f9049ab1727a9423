"""Where built tools are kept: a cache folder that survives checkouts, written to by one process at a time."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK_POLL_SECONDS = 0.2


def cache_root() -> Path:
    """`$SPILLWAY_CACHE`, else `$XDG_CACHE_HOME/spillway`, else `~/.cache/spillway`. Not created here."""
    if own := os.environ.get("SPILLWAY_CACHE"):
        return Path(own).expanduser().resolve()
    if xdg := os.environ.get("XDG_CACHE_HOME"):
        return Path(xdg).expanduser().resolve() / "spillway"
    return Path.home() / ".cache" / "spillway"


@contextmanager
def exclusive(lock_file: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold `lock_file` for the block; `on_wait` is called once if another process holds it first.

    The kernel drops the lock when its holder dies, so a killed build never blocks the next one.
    """
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    with lock_file.open("w") as handle:
        waiting = False
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not waiting:
                    on_wait()
                    waiting = True
                time.sleep(LOCK_POLL_SECONDS)
        yield
