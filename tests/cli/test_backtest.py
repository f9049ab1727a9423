"""``spillway backtest``: outputs, exchange of requests, resuming, interrupting, and errors in one line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from spillway.cli.main import main
from support.scenario_files import Files

PAGE_KEYS = {
    "cost_usd", "cost_with_misses_usd", "gpu_cost_usd", "hosted_cost_usd", "gpu_hours", "slo_held", "slo_attainment",
    "slo_attainment_by_class", "spilled_token_share", "scale_ups", "scale_downs", "direction_changes_per_hour",
    "deadline_misses", "decide_ms", "ci95", "seeds",
}  # fmt: skip


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "spillway", "backtest", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(folder: Path, *arguments: str) -> tuple[int, str, str]:
    process = start(folder, *arguments)
    out, err = process.communicate(timeout=240)
    return process.returncode, out, err


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a scenario in ``s`` and a cache that all tests of this module share."""
    made = tmp_path_factory.mktemp("backtest")
    Files().write(made / "s")
    return made


@pytest.fixture(scope="module")
def result(folder: Path) -> dict[str, Any]:
    status, out, err = run(
        folder, "s/scenario.yaml", "--policy", "hpa,static-peak,api-only", "--seeds", "2", "-o", "json"
    )
    assert status == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


def test_the_json_is_that_of_the_page(result: dict[str, Any]) -> None:
    assert result["scenario"] == "small"
    assert len(result["requests_hash"]) == 16
    assert list(result["policies"]) == [
        "hpa", "hpa+cap", "hpa+hold", "static-peak", "static-peak+cap", "static-peak+hold", "api-only",
    ]  # fmt: skip
    for entry in result["policies"].values():
        assert set(entry) >= PAGE_KEYS
        assert set(entry["cost_with_misses_usd"]) == {"0", "3", "10"}
        assert entry["cost_usd"] == pytest.approx(entry["gpu_cost_usd"] + entry["hosted_cost_usd"])
        assert entry["cost_usd"] >= result["bound"]["cost_usd"]
        assert [seed["seed"] for seed in entry["seeds"]] == [1, 2]
        assert set(entry["decide_ms"]) == {"p50", "p99"}
    assert set(result["spill"]["hpa"]) == {"queue", "cap", "hold"}
    assert result["policies"]["api-only"]["slo_held"] is True
    assert result["policies"]["api-only"]["spilled_token_share"] == 1.0
    timeline = result["timelines"]["api-only"]
    assert len({len(timeline["at_s"]), len(timeline["ready"]["gpu"]), len(timeline["usd_per_hour"])}) == 1
    # 1 request a second, 1,000 tokens in and 50 out, beside the one replica that the lane keeps.
    hosted_usd_per_hour = 3600 * (1000 * 0.88 + 50 * 1.76) / 1e6
    mean = sum(timeline["usd_per_hour"]) / len(timeline["usd_per_hour"])
    assert mean == pytest.approx(hosted_usd_per_hour + 7.7, rel=0.05)
    assert sum(timeline["arrived_per_s"]["inference/chat"]) / len(timeline["at_s"]) == pytest.approx(1, rel=0.02)


def test_finished_runs_are_not_run_again(folder: Path, result: dict[str, Any]) -> None:
    status, out, err = run(folder, "s/scenario.yaml", "--policy", "static-peak,hpa", "--seeds", "2", "-o", "json")
    assert status == 0, err
    assert "14 of 14 runs are kept from before" in err
    again = json.loads(out)["policies"]
    assert again == {name: entry for name, entry in result["policies"].items() if name in again}


def test_the_table_fits_100_columns_and_the_page_stands_alone(folder: Path, result: dict[str, Any]) -> None:
    arguments = ["s/scenario.yaml", "--policy", "hpa,static-peak,api-only", "--seeds", "2"]
    status, out, _ = run(folder, *arguments)
    assert status == 0
    assert max(map(len, out.splitlines())) <= 100
    rows = [line.split() for line in out.splitlines()[2:9]]
    assert sorted((name, spill) for name, spill, *_ in rows) == [
        ("api-only", "–"),
        *((name, spill) for name in ("hpa", "static-peak") for spill in ("cap", "hold", "queue")),
    ]
    held = [float(cost.lstrip("$")) for _, _, cost, slo, *_ in rows if slo == "held"]
    assert held == sorted(held)
    assert [slo for _, _, _, slo, *_ in rows] == ["held"] * len(held) + ["MISSED"] * (7 - len(held))
    assert "\x1b" not in out
    status, out, _ = run(folder, *arguments, "-o", "html", "--to", "page.html")
    assert (status, out) == (0, "")
    page = (folder / "page.html").read_text(encoding="utf-8")
    assert page.lower().startswith("<!doctype html>")
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_requests_written_and_read_back_give_the_same_result(folder: Path, result: dict[str, Any]) -> None:
    status, out, err = run(folder, "s/scenario.yaml", "--seeds", "2", "--dump-requests", "r-{seed}.csv.gz")
    assert (status, out) == (0, "")
    assert "3600 requests written to r-2.csv.gz" in err
    assert f"seed 1: requests {result['requests_hash_by_seed']['1']}" in err
    status, out, err = run(
        folder, "s/scenario.yaml", "--policy", "static-peak+cap", "--seeds", "2",
        "--requests", "r-{seed}.csv.gz", "-o", "json",
    )  # fmt: skip
    assert status == 0, err
    again = json.loads(out)
    assert again["requests_hash"] == result["requests_hash"]
    first, second = result["policies"]["static-peak+cap"], again["policies"]["static-peak+cap"]
    assert {**first, "decide_ms": 0, "seeds": 0} == {**second, "decide_ms": 0, "seeds": 0}


def test_an_interrupt_keeps_what_is_finished_and_leaves_no_worker(folder: Path) -> None:
    arguments = ["s/scenario.yaml", "--policy", "keda-queue", "--seeds", "100", "--jobs", "2"]
    process = start(folder, *arguments)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("3/"):
            break
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert children
    process.send_signal(signal.SIGINT)
    before = time.monotonic()
    _, err = process.communicate(timeout=180)
    assert process.returncode == 130
    assert time.monotonic() - before < 10
    assert "runs are finished" in err
    assert "Traceback" not in err
    assert _gone(children, 120.0)
    process = start(folder, *arguments)
    assert process.stderr is not None
    first = process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=180)
    assert "runs are kept from before" in first
    assert process.returncode == 130


def _gone(pids: list[str], within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while alive := [pid for pid in pids if _alive(pid)]:
        if time.monotonic() > deadline:
            return not alive
        time.sleep(0.1)
    return True


def _alive(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["none.yaml"], 1, "scenario none.yaml: cannot be read: No such file"),
        (["s/scenario.yaml", "--policy", "hpaa"], 2, "policy 'hpaa' is unknown; known: spillway, hpa, keda-queue"),
        (["s/scenario.yaml", "--policy", "hpa@best"], 2, "'@best' is not understood"),
        (["s/scenario.yaml", "--policy", "api-only@tuned"], 2, "has nothing to tune"),
        (["s/scenario.yaml", "--policy", "hpa", "--spill", "drop"], 2, "--spill: 'drop' is unknown"),
        (["s/scenario.yaml", "--policy", ","], 2, "name one policy or more"),
        (["s/scenario.yaml", "--seeds", "0"], 2, "0 is not in the range"),
        (["s/scenario.yaml", "--policy", "api-only", "--requests", "none.csv"], 1, "requests none.csv: cannot be read"),
        (["s/trace.csv"], 1, "scenario s/trace.csv:"),
        (
            ["s/scenario.yaml", "--policy", "api-only", "--cache", "s/trace.csv/x"],
            1,
            "--cache s/trace.csv/x: cannot be written: Not a directory; name another folder",
        ),
        (
            ["s/scenario.yaml", "--policy", "api-only", "-o", "html", "--to", "none/page.html"],
            1,
            "--to none/page.html: cannot be written: there is no folder none; name another file",
        ),
        (["s/scenario.yaml", "--dump-requests", "none/r.csv"], 1, "--dump-requests none/r.csv: cannot be written"),
        (["s/scenario.yaml", "--days", "3"], 2, "--days belongs to --from-prometheus"),
        (["s/scenario.yaml", "--plan", "a/b"], 2, "--plan belongs to --from-prometheus"),
        (["s"], 1, "scenario s: cannot be read: Is a directory"),
    ],
)
def test_errors_come_before_anything_is_run_and_are_one_line(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    status: int,
    said: str,
) -> None:
    monkeypatch.chdir(folder)
    assert main(["backtest", *arguments]) == status
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert said in err


def test_ctrl_c_during_the_start_of_the_workers_is_no_traceback(folder: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "spillway", "backtest", "s/scenario.yaml", "--policy", "hpa", "--cache", "fresh"],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while len(children.read_text().split()) < 2 and time.monotonic() < deadline:
        time.sleep(0.002)
    # As a terminal does: to the whole process group, workers that are still importing among them.
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=180)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert err.splitlines()[-1].startswith("interrupted: ")


def test_ctrl_c_during_the_imports_is_no_traceback(folder: Path) -> None:
    process = start(folder, "s/scenario.yaml")
    loaded = Path(f"/proc/{process.pid}/maps")
    # An extension module that is among the first to be imported by the command itself.
    while "pydantic_core" not in loaded.read_text():
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=180)
    assert process.returncode == 130
    assert err == "error: interrupted\n"


def test_a_replay_alone_is_shown(folder: Path) -> None:
    status, out, err = run(folder, "s/scenario.yaml", "--policy", "clairvoyant-replay")
    assert status == 0, err
    assert "clairvoyant-replay $" in out
    status, out, _ = run(folder, "s/scenario.yaml", "--policy", "clairvoyant-replay", "-o", "html")
    assert status == 0
    assert out.startswith("<!doctype html>")


def test_a_policy_that_cannot_run_is_named_and_the_rest_is_shown(folder: Path) -> None:
    files = Files()
    del files.gpu["spec"]["selfHosted"]["profile"]
    files.write(folder / "no-profile")
    status, out, err = run(folder, "no-profile/scenario.yaml", "--policy", "wva-model+queue,api-only", "-o", "json")
    assert status == 1
    assert list(json.loads(out)["policies"]) == ["api-only"]
    assert "error: policy wva-model: CapacityLane gpu: spec.selfHosted.profile is missing" in err


def test_without_numba_it_says_what_to_install(folder: Path) -> None:
    code = (
        "import sys; sys.modules['numba'] = None; from spillway.cli.main import main;"
        "sys.exit(main(['backtest', 's/scenario.yaml']))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        "error: the simulator needs numba, which is not installed: install Spillway with its extra `backtest`\n"
    )


def test_help_fits_80_columns_and_is_quick(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backtest", "--help"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80
    code = (
        "import sys; from spillway.cli.main import main; main(['backtest', '--help']);"
        "sys.exit('numba' in sys.modules or 'spillway.simulate.scenario' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=os.environ, capture_output=True, check=False)
    assert done.returncode == 0
