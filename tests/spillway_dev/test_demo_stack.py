"""The demo's processes for real: up, answering, and gone afterwards, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from spillway_dev.demo import settings
from spillway_dev.demo.samples import Sampler
from spillway_dev.demo.settings import DemoError, DemoOptions
from spillway_dev.demo.stack import DemoStack, answers
from spillway_dev.fleet.config import draw_requests, load_config
from spillway_dev.processes import wait_until
from spillway_dev.toolchain import Tools

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_everything_comes_up_works_together_and_goes_down(tools: Tools) -> None:
    config = load_config(settings.FLEET_CONFIG)
    said: list[str] = []
    with DemoStack(tools, DemoOptions(), config, draw_requests(config), said.append) as stack:
        endpoints = stack.start()
        pids = [process.pid for process in stack.processes()]
        sampler = Sampler(endpoints, stack.control_plane, config.lanes[0].name)
        wait_until(lambda: sampler.sample().requests_per_second > 1, "live traffic", 120)

        def decided() -> bool:
            sampler.refresh_plan()
            sample = sampler.sample()
            return bool(sample.message) and sample.recommended is not None

        wait_until(decided, "a decision", 60)
        wait_until(lambda: sampler.sample().utilization["busy"] is not None, "GPU figures", 60)
        stack.require()
        folder = stack.control_plane.folder
        stack.processes()[-1].kill()
        with pytest.raises(DemoError, match="ended with status"):
            stack.require()
    assert len(pids) > 6
    wait_until(lambda: not any(alive(pid) for pid in pids), "all processes to end", 120)
    assert not folder.exists()
    assert not answers(f"{endpoints.fleet}/healthz")
    assert said[0].startswith("control plane")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_stops_everything(tools: Tools, tmp_path: Path, number: signal.Signals) -> None:
    log = tmp_path / "demo.log"
    with log.open("w") as out:
        command = [sys.executable, "-u", "-m", "spillway_dev", "demo"]
        demo = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
    wait_until(lambda: "fleet simulator" in log.read_text(), "the fleet to be started", 120)
    demo.send_signal(number)
    assert demo.wait(timeout=180) == 130
    text = log.read_text()
    assert "interrupted; everything is stopped" in text
    assert "Traceback" not in text
