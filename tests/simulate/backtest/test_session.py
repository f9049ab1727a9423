"""Jobs of a scenario: what is kept, for which code, and what a lost worker leaves."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

import spillway
from spillway.simulate.backtest import pool
from spillway.simulate.backtest.jobs import BOUND, Job, score_of
from spillway.simulate.backtest.names import Spill
from spillway.simulate.backtest.pool import WorkerLostError
from spillway.simulate.backtest.session import Exchange, Session, code_of, combined_hash
from spillway.simulate.backtest.store import NEVER, Code, Store, run_key
from spillway.simulate.backtest.tuning import Choice
from spillway.simulate.scenario import load_scenario
from support.scenario_files import Files


class Heard:
    """What a session tells."""

    def __init__(self) -> None:
        self.kept: list[tuple[int, int]] = []
        self.done: list[str] = []

    def planned(self, runs: int, kept: int) -> None:
        self.kept.append((runs, kept))

    def note(self, text: str) -> None:
        pass

    def finished(self, label: str, error: str | None) -> None:
        self.done.append(label)


JOBS = [Job(BOUND, 1), Job("static-peak", 1, Choice(Spill.CAP)), Job("api-only", 1)]


def test_runs_are_kept_and_a_changed_scenario_is_another(tmp_path: Path) -> None:
    files = Files()
    scenario = load_scenario(files.write(tmp_path / "s"))
    store = Store(tmp_path / "cache")
    first, again, changed = Heard(), Heard(), Heard()
    with Session(scenario, [1], 2, store, first) as session:
        made = session.documents(JOBS)
        hashes = session.hashes()
    assert sorted(first.done) == ["api-only, seed 1", "bound, seed 1", "static-peak+cap, seed 1"]
    with Session(scenario, [1], 2, store, again) as session:
        assert session.documents(JOBS) == made
        assert session.hashes() == hashes
    assert (again.kept, again.done) == ([(3, 3)], [])
    assert score_of(made[JOBS[2]]).cost_usd == made[JOBS[2]]["score"]["cost_usd"]

    files.gpu["spec"]["selfHosted"]["price"]["usdPerGpuHour"] = "4"
    with Session(load_scenario(files.write(tmp_path / "s")), [1], 2, store, changed) as session:
        session.documents(JOBS[:1])
    assert changed.kept == [(1, 0)]


def test_a_damaged_file_is_run_again(tmp_path: Path) -> None:
    scenario = load_scenario(Files().write(tmp_path / "s"))
    store = Store(tmp_path / "cache")
    with Session(scenario, [1], 1, store, Heard()) as session:
        made = session.documents(JOBS[:1])
    for path in (tmp_path / "cache").iterdir():
        path.write_text('{"bou')
    heard = Heard()
    with Session(scenario, [1], 1, store, heard) as session:
        assert session.documents(JOBS[:1]) == made
    assert heard.kept == [(1, 0)]


def test_requests_of_a_file_are_another_load(tmp_path: Path) -> None:
    scenario = load_scenario(Files().write(tmp_path / "s"))
    store, path = Store(tmp_path / "cache"), tmp_path / "r.csv"
    with Session(scenario, [1], 1, store, Heard()) as session:
        session.exchange(Exchange(write=path))
        own = session.hashes()
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:1000]))
    with Session(scenario, [1], 1, store, Heard()) as session:
        session.exchange(Exchange(read=path))
        assert session.hashes() != own


def test_a_lost_worker_is_one_line_and_ends_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = load_scenario(Files().write(tmp_path / "s"))
    jobs = [Job("hpa", 1, Choice(Spill.CAP, (("cap_share", 0.5 + 0.01 * n),))) for n in range(60)]
    before = children()

    def kill_one() -> None:
        while not (mine := children() - before):
            time.sleep(0.05)
        os.kill(min(mine), signal.SIGKILL)

    with Session(scenario, [1], 2, Store(tmp_path / "cache"), Heard()) as session:
        threading.Thread(target=kill_one, daemon=True).start()
        with pytest.raises(WorkerLostError, match="a worker process died, most likely for want of memory"):
            session.documents(jobs)
    deadline = time.monotonic() + 120
    while children() - before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not children() - before
    assert pool.cores() >= 1


def children() -> set[int]:
    """Worker processes of this one: the tracker of shared resources is none."""
    found = set()
    for name in Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split():
        try:
            command = Path(f"/proc/{name}/cmdline").read_text()
        except OSError:
            continue
        if "spawn_main" in command:
            found.add(int(name))
    return found


def test_keys_tell_parts_and_code_apart() -> None:
    assert run_key("a", [1]) == run_key("a", [1]) != run_key("a", [2])
    assert len({run_key("a", code=code) for code in Code}) == len(Code)


def test_a_job_rests_on_the_code_of_its_kind() -> None:
    kinds = {code_of(Job(name, 1)) for name in ("spillway", "spillway-no-hold")}
    assert kinds == {Code.SPILLWAY}
    assert {code_of(Job(name, 1)) for name in (BOUND, "static-best", "clairvoyant-replay")} == {Code.SEARCH}
    assert {code_of(Job(name, 1)) for name in ("hpa", "static-peak", "api-only")} == {Code.BASELINE}


def test_what_a_kind_of_run_does_not_rest_on_is_there() -> None:
    root = Path(spillway.__file__).parent
    assert all((root / name).exists() for code in Code for name in (*code.value, *NEVER))


def test_several_seeds_have_one_fingerprint() -> None:
    assert combined_hash({1: "abc"}) == "abc"
    assert combined_hash({1: "abc", 2: "def"}) != combined_hash({2: "def", 1: "abc"})
    assert len(combined_hash({1: "abc", 2: "def"})) == 16
