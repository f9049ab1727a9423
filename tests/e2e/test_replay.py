"""What the operator decided in a cluster is decided again from its recording, byte by byte."""

from __future__ import annotations

import json
import subprocess
import sys

from spillway.report.logs import redact
from support.world import World


def test_recorded_ticks_replay_byte_by_byte(world: World) -> None:
    folder = world.scratch / "recording"
    world.extra_config = {"recording": {"directory": str(folder), "maxMegabytes": 64}}
    world.standard(replicas=1)
    world.fleet.demand_rps = 5
    world.start_operator()
    world.wait_condition("MetricsAvailable", "True")
    world.fleet.demand_rps = 45
    world.wait(lambda: world.replicas() >= 4, "replicas for 45 requests/s")
    world.wait_ticks(8)
    world.start_operator()  # a restart goes on in the same file
    world.wait_ticks(4)
    ticks = world.ticks()
    world.stop_operator()

    (file,) = folder.iterdir()
    done = subprocess.run(
        [sys.executable, "-m", "spillway", "replay", "-o", "json", "--show", str(file)],
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    found = json.loads(done.stdout)
    assert found["different"] == []
    assert done.returncode == 0, done.stderr
    assert found["replayed"] == found["identical"] >= ticks + 8
    recommended = {lane["recommended"] for each in found["records"] for lane in each["decision"]["lanes"]}
    assert {1, 4} & recommended, "both calm and the rise are in it"
    text = file.read_text()
    assert redact(text) == text, "nothing that looks like a secret"
