"""BASE and HEAD: a folder, a file, a Git revision with a path, or standard input, as texts of YAML."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from spillway.cli.diff.errors import InputError
from spillway.cli.diff.git import Repository

STDIN = "-"
SUFFIXES = (".yaml", ".yml", ".json")
MAX_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Text:
    """One file."""

    origin: str
    """As a message names it."""
    content: str


@dataclass(frozen=True, slots=True)
class Source:
    """One side."""

    name: str
    """As it was given."""
    texts: tuple[Text, ...]
    missing: bool = False
    """Whether the revision doesn't have the path: everything is new, or all gone."""
    may_be_empty: bool = False
    """A revision, whose path a first pull request adds, or the file that holds nothing by its nature."""


def read_side(side: str, given: str, git_path: str | None) -> Source:
    """What BASE or HEAD holds; ``side``: "BASE" or "HEAD". Raises InputError."""
    if given == STDIN:
        return Source("standard input", (Text("standard input", _stdin(side)),))
    if git_path is not None:
        if ":" in given:
            raise InputError(f"{side} {given}: with --git-path give a revision alone, such as main")
        return _of_revision(side, given, git_path, here=True)
    path = Path(given)
    if given == os.devnull:
        return Source(given, (Text(given, ""),), may_be_empty=True)
    if path.exists():
        return Source(given, tuple(_files(side, path)))
    revision, colon, inside = given.partition(":")
    if colon:
        return _of_revision(side, revision, inside, here=False)
    raise InputError(
        f"{side} {given}: there is no such file or folder; for a Git revision give REVISION:PATH, such as "
        f"{given}:deploy, or --git-path PATH"
    )


def _stdin(side: str) -> str:
    if sys.stdin.isatty():
        raise InputError(f"{side} -: standard input is a terminal; pipe manifests into it (kustomize build DIR | ...)")
    return _decoded(sys.stdin.buffer.read(MAX_BYTES + 1), f"{side} standard input")


def _files(side: str, path: Path) -> Iterator[Text]:
    if not path.is_dir():
        yield _read(side, path)
        return
    found = sorted(each for each in path.rglob("*") if _wanted(each.relative_to(path).parts) and each.is_file())
    if not found:
        raise InputError(f"{side} {path}: there is no {', '.join(SUFFIXES)} file in this folder")
    root = path.resolve()
    for each in found:
        if not each.resolve().is_relative_to(root):
            raise InputError(f"{side} {each}: is a link out of the folder, which is not followed; put the file there")
        yield _read(side, each)


def _read(side: str, path: Path) -> Text:
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"{side} {path}: cannot be read: {error.strerror}") from error
    return Text(str(path), _decoded(content, f"{side} {path}"))


def _of_revision(side: str, revision: str, path: str, *, here: bool) -> Source:
    label = f"{side} {revision}:{path}"
    repository = Repository.around(Path(), label)
    commit = repository.commit(revision, label)
    inside = repository.from_root(path, label, here=here)
    entries = repository.entries(commit, inside)
    whole = [each for each in entries if each.path == inside]
    # A file that is named is read whatever it is called; of a folder, the manifests.
    depth = 0 if inside == "." else len(PurePosixPath(inside).parts)
    chosen = whole or [each for each in entries if _wanted(PurePosixPath(each.path).parts[depth:])]
    texts = []
    for entry in chosen:
        origin = f"{revision}:{entry.path}"
        if entry.link:
            raise InputError(f"{side} {origin}: is a link, which is not followed; put the file there")
        texts.append(Text(origin, _decoded(repository.content(entry), f"{side} {origin}")))
    return Source(f"{revision}:{path}", tuple(texts), missing=not entries, may_be_empty=True)


def _wanted(parts: Iterable[str]) -> bool:
    names = list(parts)
    return bool(names) and names[-1].endswith(SUFFIXES) and not any(name.startswith(".") for name in names)


def _decoded(content: bytes, origin: str) -> str:
    if len(content) > MAX_BYTES:
        raise InputError(f"{origin}: has more than {MAX_BYTES // 1024 // 1024} MiB; give only Spillway's manifests")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{origin}: is not UTF-8 text; save it as such") from None
