"""How development tools are had: real Go, a tiny real module, no network."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from spillway_dev import toolchain, toolchain_go
from spillway_dev.processes import wait_until
from spillway_dev.toolchain import ToolchainError, Tools, ensure_tools, find_tools
from spillway_dev.toolchain_cache import cache_root, exclusive
from spillway_dev.toolchain_debian import AptError, unpack_package
from spillway_dev.toolchain_go import GoTool, build, module_version, require_go
from spillway_dev.toolchain_progress import PlainProgress

MODULES = Path(toolchain.MODULES)
needs_go = pytest.mark.skipif(shutil.which("go") is None, reason="needs Go on PATH")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def module(tmp_path: Path) -> Path:
    """A Go module without dependencies."""
    folder = tmp_path / "module"
    folder.mkdir()
    (folder / "go.mod").write_text("module example.test/hello\n\ngo 1.21\n")
    (folder / "main.go").write_text(
        'package main\n\nvar version = "none"\n\nfunc main() { print("hello " + version) }\n'
    )
    return folder


@pytest.fixture
def path_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole PATH."""
    folder = tmp_path / "path"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def test_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SPILLWAY_CACHE", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_root() == tmp_path / "own"
    monkeypatch.delenv("SPILLWAY_CACHE")
    assert cache_root() == tmp_path / "xdg" / "spillway"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_root() == Path.home() / ".cache" / "spillway"


def test_versions_stand_in_go_mod_only() -> None:
    assert module_version(MODULES / "kubernetes", "k8s.io/kubernetes").startswith("v1.")
    with pytest.raises(ToolchainError, match=r"no requirement on example\.test/nothing"):
        module_version(MODULES / "kubernetes", "example.test/nothing")


def test_every_module_pins_its_checksums() -> None:
    for tool in toolchain.TOOLS:
        assert (MODULES / tool.module / "go.sum").stat().st_size > 0, tool.name


@needs_go
def test_a_tool_is_built_with_its_version(module: Path, tmp_path: Path) -> None:
    target = tmp_path / "bin" / "hello"
    target.parent.mkdir()
    build(GoTool("hello", "module", "example.test/hello", ("main.version=v1",)), module, target, PlainProgress())
    done = subprocess.run([str(target)], capture_output=True, text=True, check=True)
    assert done.stderr == "hello v1"
    assert names(target.parent) == ["hello"]


@needs_go
def test_a_failed_build_tells_why_and_leaves_nothing(module: Path, tmp_path: Path) -> None:
    (module / "main.go").write_text("package main\n\nfunc main() { missing() }\n")
    target = tmp_path / "bin" / "hello"
    target.parent.mkdir()
    with pytest.raises(ToolchainError, match="undefined: missing"):
        build(GoTool("hello", "module", "example.test/hello"), module, target, PlainProgress())
    assert names(target.parent) == []


@needs_go
def test_an_unreachable_proxy_is_named(module: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (module / "go.mod").write_text("module example.test/hello\n\ngo 1.21\n\nrequire example.test/other v1.0.0\n")
    monkeypatch.setenv("GOPROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("GOMODCACHE", str(tmp_path / "mod"))
    monkeypatch.setenv("GONOSUMDB", "*")
    with pytest.raises(ToolchainError, match="needs the network, or GOPROXY"):
        toolchain_go.module_directory(module, "example.test/other")


@needs_go
def test_go_that_is_too_old_is_refused_with_the_way_out(module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (module / "go.mod").write_text("module example.test/hello\n\ngo 1.999\n")
    monkeypatch.setenv("GOTOOLCHAIN", "local")
    monkeypatch.setattr(toolchain_go, "install_go", lambda *_: False)
    with pytest.raises(ToolchainError, match=r"Go 1\.999 or newer: install it"):
        require_go(module, PlainProgress())


def test_go_from_before_toolchains_is_refused(path_with: Path, module: Path) -> None:
    old = path_with / "go"
    old.write_text("#!/bin/sh\necho go version go1.19.8 linux/amd64\n")
    old.chmod(0o755)
    with pytest.raises(ToolchainError, match=r"is go version go1\.19\.8 .* need Go 1\.21 or newer"):
        require_go(module, PlainProgress())


def test_missing_go_is_named_with_the_way_out(path_with: Path, module: Path) -> None:
    with pytest.raises(ToolchainError, match=r"Go is not installed; .*put its bin folder on PATH"):
        require_go(module, PlainProgress())


def test_tools_that_are_not_built_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPILLWAY_CACHE", str(tmp_path))
    with pytest.raises(ToolchainError, match=r"not built yet \(.*kube-apiserver.*\): run `make tools`"):
        find_tools()


def test_an_unwritable_cache_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SPILLWAY_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(ToolchainError, match="set SPILLWAY_CACHE"):
        ensure_tools(PlainProgress())


def test_a_named_prometheus_must_be_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "prometheus").touch()
    monkeypatch.setenv("SPILLWAY_PROMETHEUS", str(tmp_path / "prometheus"))
    with pytest.raises(ToolchainError, match="promtool beside it"):
        find_tools()


def test_built_tools_are_found_at_once(tools: Tools) -> None:
    began = time.monotonic()
    assert ensure_tools(PlainProgress()) == tools
    assert time.monotonic() - began < 1
    shown = subprocess.run([tools.path("kubectl"), "version", "--client"], capture_output=True, text=True, check=True)
    assert module_version(MODULES / "kubernetes", "k8s.io/kubernetes") in shown.stdout
    assert any("httproutes" in crd.name for crd in tools.gateway_api_crds("experimental"))
    assert all(crd.is_file() for crd in tools.ai_gateway_crds("aigatewayroutes", "aiservicebackends"))


def test_two_builds_never_run_at_once(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    program = textwrap.dedent(
        f"""
        import signal
        from pathlib import Path
        from spillway_dev.toolchain_cache import exclusive
        with exclusive(Path({str(lock)!r}), lambda: print("waiting", flush=True)):
            print("mine", flush=True)
            signal.pause()
        """
    )
    with exclusive(lock, lambda: None):
        other = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
        assert other.stdout is not None
        assert other.stdout.readline() == "waiting\n"
    assert other.stdout.readline() == "mine\n"
    # A killed build lets go of the lock.
    other.send_signal(signal.SIGKILL)
    other.wait()
    other.stdout.close()
    with exclusive(lock, lambda: pytest.fail("the lock outlived its holder")):
        pass


@needs_go
def test_an_interrupted_build_leaves_nothing_half_done(module: Path, tmp_path: Path) -> None:
    # A compiler that never comes back, as a stand-in for one that takes minutes.
    slow = tmp_path / "slow"
    slow.write_text(f"#!/bin/sh\necho $$ > {tmp_path / 'pid'}\nexec sleep 600\n")
    slow.chmod(0o755)
    program = textwrap.dedent(
        f"""
        from pathlib import Path
        from spillway_dev.toolchain_go import GoTool, build
        from spillway_dev.toolchain_progress import PlainProgress
        import os
        os.environ["GOCACHE"] = {str(tmp_path / "gocache")!r}
        import spillway_dev.toolchain_go as go
        environment = go.go_environment()
        go.go_environment = lambda: environment | {{"GOFLAGS": "-mod=readonly -toolexec={slow}"}}
        build(GoTool("hello", "module", "example.test/hello"), Path({str(module)!r}),
              Path({str(tmp_path / "bin" / "hello")!r}), PlainProgress())
        """
    )
    (tmp_path / "bin").mkdir()
    running = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL, start_new_session=True)
    wait_until((tmp_path / "pid").exists, "the compiler runs", 60)
    os.killpg(running.pid, signal.SIGINT)
    assert running.wait(timeout=180) != 0
    assert names(tmp_path / "bin") == []
    wait_until(lambda: not _in_session(running.pid), "its compilers end", 120)


def _in_session(leader: int) -> bool:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[3]) == leader and fields[0] != "Z":
                return True
    return False


def test_a_package_that_cannot_be_had_is_refused_and_leaves_nothing(path_with: Path, tmp_path: Path) -> None:
    for program in ("apt-get", "dpkg"):
        (path_with / program).write_text("#!/bin/sh\necho 'E: Unable to locate package' >&2\nexit 100\n")
        (path_with / program).chmod(0o755)
    target = tmp_path / "cache" / "prometheus"
    with pytest.raises(AptError, match="apt-get failed: E: Unable to locate package"):
        unpack_package("prometheus", target, lambda _: None)
    assert names(target.parent) == []


def test_without_apt_prometheus_says_what_to_do(path_with: Path, tmp_path: Path) -> None:
    with pytest.raises(ToolchainError, match=r"no apt-get here .* set SPILLWAY_PROMETHEUS"):
        toolchain._fetch_prometheus(tmp_path / "prometheus", PlainProgress())
