"""The YAML files of objects in a folder, and writing files so that none is ever half there."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spillway.act.approval.sound import Key, named
from spillway.api.common import GROUP
from spillway.cli.approval.edits import UnsafeEditError, documents, edited

JSON = dict[str, Any]
LARGEST_BYTES = 4_000_000
"""Of a manifest that is read: what is larger is data."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where an object is written."""

    path: Path
    index: int
    """Which document of the file."""
    key: Key
    """Kind, namespace (empty where the manifest has none) and name."""


@dataclass(frozen=True, slots=True)
class Edit:
    """What became of the object's own manifest."""

    key: Key
    path: Path | None
    result: str
    """changed, unchanged or left."""
    detail: str = ""


def sources(folder: Path) -> list[Source]:
    """Spillway's objects in the YAML files below a folder; files that can't be read as YAML are passed over."""
    return [source for path in _files(folder) for source in _in_file(path)]


def _files(folder: Path) -> Iterator[Path]:
    for base, folders, names in os.walk(folder):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        for name in sorted(names):
            path = Path(base) / name
            # A link may lead out of the folder, or to a file that is found anyway.
            plain = path.suffix in (".yaml", ".yml") and path.is_file() and not path.is_symlink()
            if plain and path.stat().st_size <= LARGEST_BYTES:
                yield path


def _in_file(path: Path) -> Iterator[Source]:
    try:
        found = documents(_read(path))
    except (UnsafeEditError, UnicodeDecodeError):
        return
    for index, document in enumerate(found):
        if not isinstance(document, dict) or not str(document.get("apiVersion", "")).startswith(f"{GROUP}/"):
            continue
        meta = document.get("metadata")
        if isinstance(meta, dict) and isinstance(meta.get("name"), str):
            yield Source(path, index, (str(document.get("kind")), str(meta.get("namespace") or ""), meta["name"]))


def edit_source(found: Sequence[Source], key: Key, steps: list[JSON]) -> Edit:
    """Make the patch in the one manifest that has the object; says why where that can't be done safely."""
    hits = [each for each in found if each.key[0] == key[0] and each.key[2] == key[2] and each.key[1] in ("", key[1])]
    if not hits:
        return Edit(key, None, "left", "no manifest of it in the folder")
    if len(hits) > 1:
        where = ", ".join(str(each.path) for each in hits)
        return Edit(key, None, "left", f"it is written in several places: {where}")
    source = hits[0]
    try:
        before = _read(source.path)
        after = edited(before, source.index, steps)
    except (UnsafeEditError, UnicodeDecodeError) as error:
        return Edit(key, source.path, "left", str(error))
    if before == after:
        return Edit(key, source.path, "unchanged")
    write_whole(source.path, after)
    shared = "" if source.key[1] else "it names no namespace: look at what else is built from it"
    return Edit(key, source.path, "changed", shared)


def _read(path: Path) -> str:
    """The text with its line ends as they are."""
    return path.read_bytes().decode("utf-8")


def write_whole(path: Path, text: str) -> bool:
    """Write a file by renaming a complete one over it; False where it has that text already."""
    path = path.resolve()
    data = text.encode("utf-8")
    if path.is_file() and path.read_bytes() == data:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        if path.exists():
            shutil.copymode(path, partial)
        else:
            Path(partial).chmod(0o644)
        Path(partial).replace(path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise
    return True


def described(edit: Edit) -> str:
    """One line on an edit."""
    where = f" {edit.path}" if edit.path else ""
    return f"{named(edit.key)}: {edit.result}{where}{f': {edit.detail}' if edit.detail else ''}"
