"""Builds pinned Go programs from the small modules under `tools/`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from spillway_dev.toolchain_debian import install_go
from spillway_dev.toolchain_progress import BuildProgress

ERROR_TAIL_LINES = 20
GO_HELP = "install it (https://go.dev/doc/install) and put its bin folder on PATH"


class ToolchainError(Exception):
    """A development tool cannot be had; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class GoTool:
    """One Go program and how it is built.

    `module` is the folder under `tools/` whose go.mod pins it; `package` its import path, or a file of the Go
    installation (`$GOROOT/...`); `stamps` are string variables set by the linker to the module's version.
    """

    name: str
    module: str
    package: str
    stamps: tuple[str, ...] = ()


def module_version(module_folder: Path, module_path: str) -> str:
    """The version of `module_path` that the go.mod in `module_folder` requires, like `v1.36.3`."""
    text = (module_folder / "go.mod").read_text()
    found = re.search(rf"^(?:require\s+|\s+){re.escape(module_path)}\s+(v\S+)", text, re.MULTILINE)
    if found is None:
        raise ToolchainError(f"{module_folder / 'go.mod'}: no requirement on {module_path}")
    return found[1]


def require_go(module_folder: Path, progress: BuildProgress) -> None:
    """See that `go` is there and new enough for the go.mod in `module_folder`.

    Go switches to a newer toolchain by itself where GOTOOLCHAIN allows it, so the module is asked, not the program.

    Raises:
        ToolchainError: Go is missing or too old, and the distribution's package is no help.
    """
    wanted = _go_line(module_folder)
    problem = _go_problem(module_folder, wanted)
    if problem and install_go(wanted, progress.note):
        problem = _go_problem(module_folder, wanted)
    if problem:
        text = ".".join(str(part) for part in wanted)
        raise ToolchainError(f"{problem}; the development tools need Go {text} or newer: {GO_HELP}")


def _go_line(module_folder: Path) -> tuple[int, ...]:
    found = re.search(r"^go (\d+(?:\.\d+)*)$", (module_folder / "go.mod").read_text(), re.MULTILINE)
    if found is None:
        raise ToolchainError(f"{module_folder / 'go.mod'}: no go line")
    return tuple(int(part) for part in found[1].split("."))


def _go_problem(module_folder: Path, wanted: tuple[int, ...]) -> str | None:
    go = shutil.which("go")
    if go is None:
        return "Go is not installed"
    asked = subprocess.run(
        [go, "version"], cwd=module_folder, env=go_environment(), capture_output=True, text=True, check=False
    )
    if asked.returncode != 0:
        return f"{go}: {asked.stderr.strip().splitlines()[-1] if asked.stderr.strip() else 'does not run'}"
    found = re.search(r"go(\d+(?:\.\d+)*)", asked.stdout.removeprefix("go version "))
    have = tuple(int(part) for part in found[1].split(".")) if found else ()
    if have < wanted[: len(have)]:
        return f"{go} is {asked.stdout.strip()}"
    return None


def go_environment() -> dict[str, str]:
    """The caller's environment with whatever would change the result of a build taken out."""
    kept: Mapping[str, str] = {
        name: value
        for name, value in os.environ.items()
        if name not in {"GOFLAGS", "GOWORK", "GOOS", "GOARCH", "GO111MODULE", "GOEXPERIMENT", "GOBIN"}
    }
    return {**kept, "CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": "-mod=readonly -trimpath -buildvcs=false"}


def module_directory(module_folder: Path, module_path: str) -> Path:
    """The folder with the sources of `module_path`, downloaded if it is not there yet."""
    _go(module_folder, "mod", "download", module_path)
    return Path(_go(module_folder, "list", "-m", "-f", "{{.Dir}}", module_path).strip())


def build(tool: GoTool, module_folder: Path, target: Path, progress: BuildProgress) -> None:
    """Build one tool into the file `target`, which appears only when it is whole.

    Raises:
        ToolchainError: the download or the build failed; carries the end of Go's output.
    """
    package = tool.package
    if package.startswith("$GOROOT/"):
        package = package.replace("$GOROOT", _go(module_folder, "env", "GOROOT").strip())
        if not Path(package).exists():
            raise ToolchainError(f"Go's own sources lack {package}: install Go's source package (golang-src)")
    total = len(_go(module_folder, "list", "-deps", package).splitlines())
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    for left in target.parent.glob(f".{target.name}.*.partial"):
        # A killed build could not tidy up; the caller's lock says that no other runs.
        left.unlink()
    flags = " ".join(["-s", "-w", *(f"-X {stamp}" for stamp in tool.stamps)])
    arguments = ["build", "-v", "-ldflags", flags, "-o", str(partial), package]
    compiled = 0

    def count(_line: str) -> None:
        nonlocal compiled
        compiled += 1

    try:
        _go_watched(module_folder, arguments, count, lambda: progress.advance(min(compiled, total), total, "packages"))
        partial.rename(target)
    finally:
        partial.unlink(missing_ok=True)


def _go(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["go", *arguments], cwd=folder, env=go_environment(), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise _failure(arguments, done.stderr.splitlines())
    return done.stdout


def _go_watched(
    folder: Path, arguments: list[str], on_line: Callable[[str], None], on_tick: Callable[[], None]
) -> None:
    tail: deque[str] = deque(maxlen=ERROR_TAIL_LINES)
    process = subprocess.Popen(
        ["go", *arguments],
        cwd=folder,
        env=go_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )

    def drain() -> None:
        assert process.stderr is not None  # noqa: S101 - asked for above
        for line in process.stderr:
            tail.append(line.rstrip())
            on_line(line)

    reader = threading.Thread(target=drain, daemon=True)
    reader.start()
    try:
        while True:
            try:
                code = process.wait(timeout=0.5)
                break
            except subprocess.TimeoutExpired:
                on_tick()
        reader.join()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
    if code != 0:
        raise _failure(arguments, list(tail))


def _failure(arguments: tuple[str, ...] | list[str], lines: list[str]) -> ToolchainError:
    tail = "\n  ".join(lines[-ERROR_TAIL_LINES:])
    hint = ""
    if any(word in tail for word in ("dial tcp", "i/o timeout", "no such host", "proxyconnect", "module lookup")):
        hint = "\nThe first build downloads Go modules: it needs the network, or GOPROXY set to a reachable proxy."
    elif "no space left" in tail:
        hint = "\nThe first build needs about 6 GB for Go's module and build caches (GOMODCACHE, GOCACHE)."
    return ToolchainError(f"go {' '.join(arguments)} failed:\n  {tail}{hint}")
