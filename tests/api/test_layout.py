"""The source folder is called ``operator``, like a module of the standard library: it must never shadow it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROBE = "import operator, spillway.api, sys; print(operator.__file__); print(operator.itemgetter(0)('a'))"


def test_the_source_folder_is_no_package(repository: Path) -> None:
    assert not (repository / "operator" / "__init__.py").exists()
    assert (repository / "operator" / "spillway" / "__init__.py").is_file()


def test_the_standard_librarys_operator_wins_in_the_checkout(repository: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-c", PROBE], cwd=repository, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert found[1] == "a"
    assert not Path(found[0]).is_relative_to(repository / "operator")


@pytest.mark.parametrize("command", [("-m", "pytest"), ("-c", "import sys, pytest; sys.exit(pytest.main())")])
def test_pytest_collects_from_the_checkout(repository: Path, command: tuple[str, ...]) -> None:
    """``python -m pytest`` puts the checkout first on the path, bare ``pytest`` does not: both must do."""
    done = subprocess.run(
        [sys.executable, *command, "--collect-only", "-q", "-p", "no:cacheprovider", "tests/api/test_layout.py"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "test_the_source_folder_is_no_package" in done.stdout
