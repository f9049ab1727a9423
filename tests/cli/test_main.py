"""The command line: help, versions, errors in one line, exit codes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from spillway import __version__
from spillway.cli.main import main


def run(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "spillway", *arguments],
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"} | (env or {}),
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )


def test_version(capsys: pytest.CaptureFixture[str], repository: Path) -> None:
    assert main(["version"]) == 0
    assert capsys.readouterr().out == f"spillway {__version__} (spillway.dev/v1alpha1)\n"
    assert main(["version", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["version"] == __version__
    assert tomllib.loads((repository / "pyproject.toml").read_text())["project"]["version"] == __version__


def test_crds_are_the_files_of_the_repository(capsys: pytest.CaptureFixture[str], repository: Path) -> None:
    assert main(["crds"]) == 0
    printed = {item["metadata"]["name"]: item for item in yaml.safe_load_all(capsys.readouterr().out)}
    files = [yaml.safe_load(path.read_text()) for path in (repository / "crds").glob("*.yaml")]
    assert printed == {item["metadata"]["name"]: item for item in files}


@pytest.mark.parametrize("command", [[], ["run"], ["release"], ["doctor"], ["version"], ["crds"]])
def test_help_fits_80_columns(capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    assert main([*command, "--help"]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["nope"], 2, "No such command 'nope'"),
        (["release", "-o", "xml"], 2, "'xml' is not one of"),
        (["release", "--kubeconfig", "/nonexistent"], 2, "does not exist"),
        (["run", "--config", "/nonexistent.yaml"], 1, "configuration /nonexistent.yaml"),
        (["run"], 1, "prometheus: is required"),
        (["release", "-A"], 1, "there is no kubeconfig"),
        (["doctor"], 1, "there is no kubeconfig"),
    ],
)
def test_errors_are_one_line(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    status: int,
    said: str,
) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nonexistent/kubeconfig")
    assert main(arguments) == status
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1


def test_a_missing_kubeconfig_is_one_line(tmp_path: Path) -> None:
    done = run("release", "x", env={**os.environ, "KUBECONFIG": str(tmp_path / "none")})
    assert done.returncode == 1
    assert done.stderr.startswith("error: there is no kubeconfig")
    assert done.stderr.count("\n") == 1


def test_module_without_a_command_runs_the_operator() -> None:
    done = run("--config", "/nonexistent.yaml")
    assert done.returncode == 1
    assert done.stderr.startswith("error: configuration /nonexistent.yaml")
    assert run("--help").stdout.startswith("Usage: python -m spillway")
    assert run("version").stdout.startswith("spillway ")


def test_a_closed_pipe_is_no_traceback() -> None:
    command = f"{sys.executable} -m spillway crds | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, timeout=180)
    assert done.stderr == ""


def test_ctrl_c_is_clean(tmp_path: Path) -> None:
    """The doctor waits for an apiserver that never answers; SIGINT ends it with one line."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        cluster = {"server": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "c", "cluster": cluster}],
                    "users": [{"name": "u", "user": {}}],
                    "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                    "current-context": "x",
                }
            )
        )
        process = subprocess.Popen(
            [sys.executable, "-m", "spillway", "doctor", "--kubeconfig", str(kubeconfig)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        silent.settimeout(180)
        connection, _ = silent.accept()
        with connection:
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=180)
    assert process.returncode == 130
    assert errors.strip() == "error: interrupted"
