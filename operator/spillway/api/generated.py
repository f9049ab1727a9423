"""Generated files: write them, or say which ones differ from what would be written."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path


def write_files(files: Mapping[Path, str], stale: Iterable[Path] = ()) -> None:
    """Write every file that differs, remove the stale ones, and say so in one line each."""
    for path, text in files.items():
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"wrote {path}\n")
    for path in stale:
        path.unlink()
        sys.stdout.write(f"removed {path}\n")


def report_drift(files: Mapping[Path, str], stale: Iterable[Path], command: str) -> int:
    """Compare only: one line on standard error for each file that differs; 1 if any does, else 0."""
    lines = [
        f"{path}: {_difference(path, text)}; run `{command}`" for path, text in files.items() if _differs(path, text)
    ]
    lines += [f"{path}: no model stands behind this file; run `{command}`" for path in stale]
    for line in lines:
        sys.stderr.write(line + "\n")
    return 1 if lines else 0


def _differs(path: Path, text: str) -> bool:
    return not path.is_file() or path.read_text(encoding="utf-8") != text


def _difference(path: Path, text: str) -> str:
    if not path.is_file():
        return "missing"
    pairs = enumerate(zip(path.read_text(encoding="utf-8").splitlines(), text.splitlines(), strict=False), start=1)
    line = next((number for number, (old, new) in pairs if old != new), None)
    return f"differs from the models at line {line}" if line else "differs from the models at its end"
