"""The process as a whole: it ends as it should."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from spillway.controller.run import Generations
from spillway_dev.cluster import Cluster
from spillway_dev.processes import wait_until

CONFIG = """
prometheus: {url: "http://127.0.0.1:9", timeoutSeconds: 1}
tickSeconds: 0.5
operatorNamespace: default
httpPort: 0
httpHost: 127.0.0.1
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(crds: Cluster, tmp_path: Path, number: signal.Signals) -> None:
    config, log = tmp_path / "config.yaml", tmp_path / "log"
    config.write_text(CONFIG)
    with log.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "spillway", "run", "--config", str(config), "--log-format", "json"],
            env=os.environ | {"KUBECONFIG": str(crds.kubeconfig)},
            stderr=stream,
        )
    try:
        wait_until(lambda: _ready(log), "the first tick", 60)
        process.send_signal(number)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
    said = [json.loads(line) for line in log.read_text().splitlines()]
    assert not [line for line in said if line["level"] == "ERROR" and line["logger"].startswith("spillway")]


def _ready(log: Path) -> bool:
    for line in log.read_text().splitlines():
        if port := json.loads(line).get("port"):
            return requests.get(f"http://127.0.0.1:{port}/readyz", timeout=5).ok
    return False


def test_without_a_cluster_it_says_why(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG)
    done = subprocess.run(
        [sys.executable, "-m", "spillway", "run", "--config", str(config), "--log-format", "plain"],
        env=os.environ | {"KUBECONFIG": str(tmp_path / "none")},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 1
    line = done.stderr.strip().splitlines()[-1]
    assert "there is no kubeconfig" in line


def test_only_changes_of_the_spec_and_deletions_are_news() -> None:
    seen = Generations()
    assert seen.is_news(None, {"uid": "u", "generation": 1})  # first sight
    assert not seen.is_news("MODIFIED", {"uid": "u", "generation": 1})  # a status write
    assert seen.is_news("MODIFIED", {"uid": "u", "generation": 2})
    assert seen.is_news("MODIFIED", {"uid": "u", "generation": 2, "deletionTimestamp": "now"})
    assert seen.is_news("DELETED", {"uid": "u", "generation": 2})
    assert seen.is_news("ADDED", {"uid": "u", "generation": 2})


def test_a_persons_word_on_a_proposal_is_news() -> None:
    seen = Generations()
    meta = {"uid": "u", "generation": 1, "annotations": {}}
    assert seen.is_news(None, meta)
    assert not seen.is_news("MODIFIED", meta | {"annotations": {"somebody": "else"}})
    approved = {"spillway.dev/approved": "6f1c0d2e9a3b4c5d"}
    assert seen.is_news("MODIFIED", meta | {"annotations": approved})
    assert not seen.is_news("MODIFIED", meta | {"annotations": approved})
    assert seen.is_news("MODIFIED", meta | {"annotations": approved | {"spillway.dev/rejected": "no"}})
