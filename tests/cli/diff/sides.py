"""Both sides of a change on disk, and the command on them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from advise.review.builders import ALL, Document
from spillway.cli.main import main

Captured = pytest.CaptureFixture[str]


def write(folder: Path, *documents: Document, name: str = "all.yaml") -> Path:
    """One file with all documents; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(yaml.safe_dump_all(documents, sort_keys=False), encoding="utf-8")
    return folder


def sides(tmp_path: Path, *head: Document, base: tuple[Document, ...] = ALL) -> tuple[str, str]:
    """BASE and HEAD as folders."""
    return str(write(tmp_path / "base", *base)), str(write(tmp_path / "head", *(head or ALL)))


def run(capsys: Captured, *arguments: str, status: int = 0) -> str:
    """What the command prints."""
    found = main(["diff", *arguments])
    printed = capsys.readouterr()
    assert found == status, printed.err + printed.out
    return printed.out


def document(capsys: Captured, *arguments: str, status: int = 0) -> Any:
    return json.loads(run(capsys, *arguments, "-o", "json", status=status))


def refused(capsys: Captured, *arguments: str, status: int = 1) -> str:
    """The one line that says why not."""
    assert main(["diff", *arguments]) == status
    printed = capsys.readouterr()
    assert not printed.out
    (line,) = [each for each in printed.err.splitlines() if not each.startswith("warning: ")]
    assert line.startswith("error: ")
    return line


def git(folder: Path, *arguments: str) -> str:
    """Git in a folder, with a name and without anybody's configuration."""
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ("git", "-C", str(folder), *identity, *arguments), check=True, capture_output=True, text=True
    )  # fmt: skip
    return done.stdout.strip()
