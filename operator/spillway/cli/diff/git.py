"""Files of a Git revision, read without a checkout."""

from __future__ import annotations

import os
import posixpath
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from spillway.cli.diff.errors import InputError

SECONDS = 120
FILE_MODES = ("100644", "100755")
LINK_MODE = "120000"
OUTSIDE = (".", "")


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a tree."""

    path: str
    """From the repository's root."""
    blob: str
    link: bool = False


@dataclass(frozen=True, slots=True)
class Repository:
    """The repository that a folder lies in."""

    folder: Path
    prefix: str
    """The folder's path from the root, with a slash at its end; empty for the root."""

    @classmethod
    def around(cls, folder: Path, side: str) -> Repository:
        """Raises InputError: the folder is in none, or git is not installed."""
        try:
            found = _git(folder, ("rev-parse", "--show-prefix")).decode().strip()
        except InputError as error:
            raise InputError(f"{side}: {error}; run this inside a Git repository, or give a folder or a file") from None
        return cls(folder, found)

    def commit(self, revision: str, side: str) -> str:
        """The commit's full name. Raises InputError: there is no such revision."""
        if not revision or revision.startswith("-"):
            raise InputError(f"{side}: {revision!r} is no Git revision; give such as main, HEAD~1 or v1.2.0")
        try:
            arguments = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
            return _git(self.folder, arguments).decode().strip()
        except InputError:
            raise InputError(
                f"{side}: this repository has no revision {revision!r}; fetch it (in CI: a checkout that is deep "
                "enough), or mend its name"
            ) from None

    def entries(self, commit: str, path: str) -> list[Entry]:
        """The files at or below a path from the root; none where the commit doesn't have it."""
        literal = ("--literal-pathspecs", "ls-tree", "-r", "-z", "--full-tree", commit)
        output = _git(self.folder, literal if path in OUTSIDE else (*literal, "--", path))
        found = []
        for line in output.decode("utf-8", "surrogateescape").split("\0"):
            if line:
                facts, _, name = line.partition("\t")
                mode, _, blob = facts.split(" ")
                if mode in FILE_MODES or mode == LINK_MODE:
                    found.append(Entry(name, blob, mode == LINK_MODE))
        return found

    def content(self, entry: Entry) -> bytes:
        """What the file holds."""
        return _git(self.folder, ("cat-file", "blob", entry.blob))

    def from_root(self, path: str, side: str, *, here: bool) -> str:
        """The path from the root; ``here``: it is given from this folder. Raises InputError: it lies outside."""
        start = self.prefix if here or path.startswith("./") or path == "." else ""
        found = posixpath.normpath(posixpath.join(start, path))
        if found.startswith(("../", "/")) or found == "..":
            raise InputError(f"{side}: {path} lies outside of the repository; give a path inside")
        return found


def _git(folder: Path, arguments: Sequence[str]) -> bytes:
    environment = {**os.environ, "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
    try:
        done = subprocess.run(
            ("git", "-C", str(folder), *arguments), capture_output=True, check=True, timeout=SECONDS, env=environment
        )
    except FileNotFoundError:
        raise InputError("git is not installed") from None
    except subprocess.TimeoutExpired:
        raise InputError(f"git {arguments[0]} took more than {SECONDS} s") from None
    except subprocess.CalledProcessError as error:
        lines = error.stderr.decode("utf-8", "replace").strip().splitlines() or ["failed"]
        raise InputError(lines[-1].removeprefix("fatal: ").rstrip(".:")) from None
    return done.stdout
