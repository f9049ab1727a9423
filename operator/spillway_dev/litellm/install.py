"""LiteLLM's proxy from PyPI, in a venv of its own in the tools cache (600 MB, seconds), installed on demand.

`requirements.lock` pins every package by hash; CONTRIBUTING.md says how it is made.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from spillway_dev.toolchain_cache import cache_root, exclusive

LOCK = Path(__file__).parent / "requirements.lock"
# Raised when the way of installing changes, so that an installed one is made again.
RECIPE = "1"
INSTALL_TIMEOUT_SECONDS = 1200
_MARK = ".complete"


class LiteLLMError(Exception):
    """LiteLLM can't be had here; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class LiteLLMInstall:
    """An installed LiteLLM."""

    folder: Path

    @property
    def program(self) -> str:
        """The path of `litellm`."""
        return str(self.folder / "bin" / "litellm")


def ensure_litellm(note: Callable[[str], None]) -> LiteLLMInstall:
    """LiteLLM, installed where it is missing. `note` gets a line where that takes time.

    Raises:
        LiteLLMError: it can't be installed here.
    """
    folder = _folder()
    if (folder / _MARK).exists():
        return LiteLLMInstall(folder)
    root = cache_root()
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LiteLLMError(f"cache folder {root}: {error.strerror}; set SPILLWAY_CACHE to another") from error
    with exclusive(root / "litellm.lock", lambda: note("another installation of LiteLLM is running: waiting for it")):
        if not (folder / _MARK).exists():
            shutil.rmtree(folder, ignore_errors=True)
            note(f"installing LiteLLM into {folder} (600 MB, once)")
            _install(folder)
    return LiteLLMInstall(folder)


def _folder() -> Path:
    digest = hashlib.sha256(RECIPE.encode() + LOCK.read_bytes())
    digest.update(f"{sys.version_info[:2]} {sys.platform} {platform.machine()}".encode())
    return cache_root() / "tools" / f"litellm-{digest.hexdigest()[:12]}"


def _install(folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    uv = [sys.executable, "-m", "uv"]
    _run([*uv, "venv", "--quiet", "--python", sys.executable, str(folder)], "making its venv")
    _run(
        [
            *uv, "pip", "install", "--quiet", "--python", str(folder / "bin" / "python"),
            "--require-hashes", "--only-binary", ":all:", "--compile-bytecode", "-r", str(LOCK),
        ],
        "installing its packages",
    )  # fmt: skip
    (folder / _MARK).touch()


def _run(command: list[str], what: str) -> None:
    environment = {**os.environ, "UV_NO_CONFIG": "1"}
    environment.pop("VIRTUAL_ENV", None)
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as late:
        raise LiteLLMError(f"{what} took longer than {INSTALL_TIMEOUT_SECONDS // 60} minutes") from late
    if done.returncode != 0:
        tail = (done.stderr or done.stdout).strip().splitlines()[-4:]
        raise LiteLLMError(f"{what} failed: {' '.join(line.strip() for line in tail)}")
