"""What Debian and its descendants can give: Prometheus unpacked into the cache, and Go where it is new enough."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

APT_TIMEOUT_SECONDS = 300
# From this version on Go fetches the toolchain that a module asks for by itself.
GO_SELF_UPDATING = (1, 21)


class AptError(Exception):
    """apt or dpkg failed; the message is the end of its output."""


def release_key() -> str:
    """Distribution, version and architecture, like `debian-12-x86_64`: what an unpacked package runs on."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    return f"{release.get('ID', 'unknown')}-{release.get('VERSION_ID', 'rolling')}-{platform.machine()}"


def has_apt() -> bool:
    """Whether packages can be downloaded and unpacked here, which needs no root."""
    return all(shutil.which(program) for program in ("apt-get", "dpkg"))


def unpack_package(package: str, target: Path, note: Callable[[str], None]) -> None:
    """Download `package` with private apt state and unpack it into the folder `target`.

    Nothing is installed and the machine's own package lists stay untouched.

    Raises:
        AptError: the package is unknown, or the download failed.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".apt-") as scratch:
        work = Path(scratch)
        for folder in ("lists/partial", "archives/partial", "root"):
            (work / folder).mkdir(parents=True)
        options = [
            f"-oDir::State::Lists={work / 'lists'}",
            f"-oDir::Cache={work}",
            f"-oDir::Cache::archives={work / 'archives'}",
            "-oAcquire::Languages=none",
            "-oDebug::NoLocking=1",
        ]
        if os.geteuid() == 0:
            # The unprivileged download user may not write to a private folder.
            options.append("-oAPT::Sandbox::User=root")
        note(f"downloading the distribution's package {package} (nothing is installed)")
        _run(["apt-get", *options, "-q", "update"], work)
        _run(["apt-get", *options, "-q", "download", package], work)
        archives = list(work.glob("*.deb"))
        if not archives:
            raise AptError(f"apt-get download {package} brought no package")
        _run(["dpkg", "-x", str(archives[0]), str(work / "root")], work)
        (work / "root").rename(target)


def install_go(wanted: tuple[int, ...], note: Callable[[str], None]) -> bool:
    """Install the package golang-go if this is root on Debian and the package is of use; whether it was."""
    if os.geteuid() != 0 or not has_apt() or shutil.which("apt-cache") is None:
        return False
    try:
        candidate = _candidate("golang-go")
        if candidate is None:
            _run(["apt-get", "-q", "update"], Path("/"))
            candidate = _candidate("golang-go")
        if candidate is None or candidate < min(wanted, GO_SELF_UPDATING):
            return False
        note(f"installing the distribution's package golang-go ({'.'.join(str(part) for part in candidate)})")
        _run(["apt-get", "-q", "-y", "--no-install-recommends", "install", "golang-go", "golang-src"], Path("/"))
    except AptError as error:
        note(f"golang-go could not be installed: {error}")
        return False
    return True


def _candidate(package: str) -> tuple[int, ...] | None:
    found = re.search(r"Candidate: (?:\d+:)?(\d+(?:\.\d+)+)", _run(["apt-cache", "policy", package], Path("/")))
    return tuple(int(part) for part in found[1].split(".")) if found else None


def _run(command: list[str], folder: Path) -> str:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=APT_TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise AptError(f"{command[0]} took longer than {APT_TIMEOUT_SECONDS} s") from late
    if done.returncode != 0:
        tail = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise AptError(f"{command[0]} failed: {' '.join(tail)}")
    return done.stdout
