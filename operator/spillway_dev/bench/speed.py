"""What `spillway backtest` of one policy costs: the whole command, from the file to the JSON."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from spillway.simulate.backtest.store import Code, Store, run_key
from spillway.simulate.scenario import load_scenario


@dataclass(frozen=True, slots=True)
class Speed:
    """One run of the command."""

    scenario: str
    cpu_s: float
    """User and system, of all its processes."""
    wall_s: float
    """Other programs on the machine count in here."""


class CommandFailedError(RuntimeError):
    """The command ended with an error; one line."""


def speed_of(path: Path, store: Store) -> Speed:
    """Run it on one core with one seed, nothing kept from before but the compiled code; kept from then on."""
    scenario = load_scenario(path)
    key = run_key("speed", scenario.content_hash, code=Code.SPILLWAY)
    kept = store.get(key)
    if kept is not None:
        return Speed(**kept)
    with tempfile.TemporaryDirectory(prefix="spillway-bench-") as folder:
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        options = ["--policy", "spillway", "--seeds", "1", "--jobs", "1", "--cache", folder, "-o", "json"]
        done = subprocess.run(
            [sys.executable, "-m", "spillway.cli.main", "backtest", str(path), *options, "--to", f"{folder}/r.json"],
            check=False,
            capture_output=True,
            text=True,
        )
        after, wall_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - began
    if done.returncode != 0:
        raise CommandFailedError(f"spillway backtest {path.name}: {(done.stderr.strip() or 'failed').splitlines()[-1]}")
    cpu_s = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    found = Speed(scenario.name, cpu_s, wall_s)
    store.put(key, asdict(found))
    return found
