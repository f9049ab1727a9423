"""Writes files all or none: first everything beside its place, then renamed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click


def write_files(folder: Path, files: Sequence[tuple[str, str]], force: bool) -> list[Path]:
    """The paths that were written. Raises click.ClickException for files that are there already, OSError."""
    paths = [folder / name for name, _ in files]
    there = [path for path in paths if path.exists()]
    if there and not force:
        more = f" and {len(there) - 1} more" if len(there) > 1 else ""
        raise click.ClickException(
            f"{there[0]}{more} exists already; give --force to overwrite, or another --output-dir"
        )
    folder.mkdir(parents=True, exist_ok=True)
    drafts: list[Path] = []
    try:
        for _, text in files:
            handle, name = tempfile.mkstemp(prefix=".spillway-init-", dir=folder)
            drafts.append(Path(name))
            _fill(handle, drafts[-1], text)
        for draft, path in zip(drafts, paths, strict=True):
            draft.replace(path)
    finally:
        for draft in drafts:
            draft.unlink(missing_ok=True)
    return paths


def _fill(handle: int, path: Path, text: str) -> None:
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(text)
    # A temporary file is its owner's alone; manifests are as readable as any other new file.
    umask = os.umask(0)
    os.umask(umask)
    path.chmod(0o666 & ~umask)
