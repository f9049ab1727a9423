"""Files are written all or none, and never over what is there unless told so."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from spillway.cli.first.write import write_files

FILES = [("a.yaml", "a: 1\n"), ("b.yaml", "b: é\n")]


def test_new_files_in_a_new_folder(tmp_path: Path) -> None:
    paths = write_files(tmp_path / "x" / "y", FILES, force=False)
    assert [path.read_text("utf-8") for path in paths] == ["a: 1\n", "b: é\n"]
    assert sorted(path.name for path in (tmp_path / "x" / "y").iterdir()) == ["a.yaml", "b.yaml"]


def test_what_is_there_is_kept_unless_forced(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text("mine")
    with pytest.raises(click.ClickException, match=r"b\.yaml exists already; give --force"):
        write_files(tmp_path, FILES, force=False)
    assert [path.name for path in tmp_path.iterdir()] == ["b.yaml"]
    assert (tmp_path / "b.yaml").read_text() == "mine"
    write_files(tmp_path, FILES, force=True)
    assert (tmp_path / "b.yaml").read_text("utf-8") == "b: é\n"


def test_nothing_is_left_half_done(tmp_path: Path) -> None:
    unwritable = [*FILES, ("c.yaml", "\ud800")]
    with pytest.raises(UnicodeEncodeError):
        write_files(tmp_path, unwritable, force=False)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="File exists"):
        write_files(tmp_path / "file", FILES, force=False)
