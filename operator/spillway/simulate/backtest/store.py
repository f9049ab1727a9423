"""Finished runs on disk, so that an interrupted backtest goes on where it stopped.

One JSON file for each run, named by a hash of all that it depends on: the scenario's content, the requests, the
program's code, policy, parameters and seed. A file is complete or absent.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import spillway

FOLDERS = ("api", "decide", "simulate")
DECIDE, OWN_POLICY, BASELINES, BOUND = "decide/", "simulate/spillway/", "simulate/baselines/", "simulate/bound/"
NEVER = (
    "simulate/baselines/tuned.json",
    "simulate/backtest/names.py",
    "simulate/backtest/pool.py",
    "simulate/backtest/result.py",
    "simulate/backtest/runner.py",
    "simulate/backtest/session.py",
    "simulate/backtest/store.py",
    "simulate/backtest/tuning.py",
)
"""What chooses and collects runs, but changes none: a run's parameters are among its parts."""


class Code(Enum):
    """What kind of run it is: which source it does not depend on. Edits of that leave kept runs as they are."""

    SPILLWAY = (BASELINES, BOUND)
    BASELINE = (DECIDE, OWN_POLICY, BOUND)
    SEARCH = (DECIDE, OWN_POLICY, BASELINES)


class Store:
    """A folder of finished runs."""

    def __init__(self, folder: Path) -> None:
        """The folder is made with the first run that is kept."""
        self.folder = folder

    def get(self, key: str) -> dict[str, Any] | None:
        """A finished run, if it is there and readable."""
        try:
            found = json.loads(self._path(key).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def put(self, key: str, document: Mapping[str, Any]) -> None:
        """Keep a run. Raises OSError where the folder can't be written."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self._path(key)
        part = path.with_suffix(f".{os.getpid()}.part")
        part.write_text(json.dumps(document, separators=(",", ":")), encoding="utf-8")
        part.replace(path)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.json"


def run_key(*parts: object, code: Code = Code.BASELINE) -> str:
    """The name of a run: a hash of its parts (anything that JSON can say) and of the code under it."""
    text = json.dumps([code_version(code), *parts], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@cache
def code_version(code: Code) -> str:
    """A hash over the source that a kind of run depends on, and numpy's version."""
    root = Path(spillway.__file__).parent
    digest = hashlib.sha256(f"{spillway.__version__} {np.__version__}".encode())
    for path in sorted(path for folder in FOLDERS for path in _files(root / folder)):
        name = path.relative_to(root).as_posix()
        if not name.startswith((*code.value, *NEVER)):
            digest.update(name.encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.suffix in (".py", ".json", ".yaml", ".csv") and path.is_file()]
