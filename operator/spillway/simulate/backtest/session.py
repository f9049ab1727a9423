"""The jobs of one scenario: done once, kept on disk, their requests realised once for each seed."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from spillway.simulate.backtest import shared_requests
from spillway.simulate.backtest.jobs import BOUND, SEARCHES, Document, Job
from spillway.simulate.backtest.names import is_spillway
from spillway.simulate.backtest.pool import Setting, run_jobs
from spillway.simulate.backtest.store import Code, Store, run_key
from spillway.simulate.scenario import Scenario, ScenarioError, dump_requests, read_requests, seed_file
from spillway.simulate.world import Workload


class Listener(Protocol):
    """Who is told how a backtest gets on."""

    def planned(self, runs: int, kept: int) -> None:
        """So many more runs; so many of them are kept from before."""

    def note(self, text: str) -> None:
        """What goes on between runs."""

    def finished(self, label: str, error: str | None) -> None:
        """A run has ended; with an error where it has no result."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """Files of realised requests."""

    read: Path | None = None
    """Instead of drawing them."""
    write: Path | None = None


class Session:
    """Runs jobs of one scenario. A context manager: its temporary files go with it."""

    def __init__(
        self, scenario: Scenario, seeds: Sequence[int], workers: int, store: Store, listener: Listener
    ) -> None:
        """Nothing is done yet."""
        self.scenario = scenario
        self.seeds = tuple(seeds)
        self.errors: dict[Job, str] = {}
        self._workers = workers
        self._store = store
        self._listener = listener
        self._exchange = Exchange()
        self._sources: dict[int, str] = {}
        self._documents: dict[Job, Document] = {}
        self._realised: set[int] = set()
        self._folder = tempfile.TemporaryDirectory(prefix="spillway-backtest-")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._folder.cleanup()

    def exchange(self, files: Exchange) -> None:
        """Read requests from files, or write them; at once, before any job. Raises ScenarioError, OSError."""
        self._exchange = files
        if files.read is not None:
            for seed in self.seeds:
                path = seed_file(files.read, seed, len(self.seeds) > 1)
                try:
                    self._sources[seed] = hashlib.sha256(path.read_bytes()).hexdigest()
                except OSError as error:
                    raise ScenarioError(f"requests {path}: cannot be read: {error.strerror or error}") from error
        if files.write is not None:
            for seed in self.seeds:
                self._realise(seed)

    def hashes(self) -> dict[int, str]:
        """Fingerprint of each seed's requests."""
        found = {}
        for seed in self.seeds:
            key = self._key("requests-hash", seed)
            kept = self._store.get(key)
            if kept is None:
                self._realise(seed)
                kept = self._store.get(key) or {}
            found[seed] = str(kept.get("requests_hash", ""))
        return found

    def documents(self, jobs: Sequence[Job]) -> Mapping[Job, Document]:
        """Do what is not done yet. Jobs that have no result are left out, and stand in `errors`.

        Raises ScenarioError, OSError, WorkerLostError.
        """
        new = [job for job in dict.fromkeys(jobs) if job not in self._documents and job not in self.errors]
        left = []
        for job in new:
            if (kept := self._store.get(self._job_key(job))) is not None:
                self._documents[job] = kept
            else:
                left.append(job)
        # Searches take longest: begun first, they don't keep one core busy at the end.
        left.sort(key=lambda job: job.scaler not in SEARCHES)
        self._listener.planned(len(new), len(new) - len(left))
        for seed in sorted({job.seed for job in left}):
            self._realise(seed)
        setting = Setting(self.scenario.world, self.scenario.known, Path(self._folder.name))
        for done in run_jobs(setting, left, self._workers):
            if done.document is None:
                self.errors[done.job] = done.error or "no result"
            else:
                self._documents[done.job] = done.document
                self._store.put(self._job_key(done.job), done.document)
            self._listener.finished(done.job.label, done.error)
        return {job: self._documents[job] for job in jobs if job in self._documents}

    def _job_key(self, job: Job) -> str:
        return self._key(*job.identity, code=code_of(job))

    def _key(self, *identity: object, code: Code = Code.BASELINE) -> str:
        sources = sorted(self._sources.items())
        return run_key(self.scenario.content_hash, sources, *identity, code=code)

    def _realise(self, seed: int) -> None:
        if seed in self._realised:
            return
        self._listener.note(f"{self.scenario.name}: requests of seed {seed}")
        workload = self._workload(seed)
        fingerprint = self.scenario.requests_hash(workload)
        self._store.put(self._key("requests-hash", seed), {"requests_hash": fingerprint})
        shared_requests.save(Path(self._folder.name), seed, workload)
        self._realised.add(seed)
        if self._exchange.write is not None:
            path = seed_file(self._exchange.write, seed, len(self.seeds) > 1)
            dump_requests(path, workload, self.scenario.class_names())
            self._listener.note(f"{workload.size} requests written to {path}")

    def _workload(self, seed: int) -> Workload:
        if self._exchange.read is None:
            return self.scenario.workload(seed)
        path = seed_file(self._exchange.read, seed, len(self.seeds) > 1)
        return read_requests(path, self.scenario.class_numbers, self.scenario.world.duration_s)


def code_of(job: Job) -> Code:
    """Which code a job rests on."""
    if is_spillway(job.scaler):
        return Code.SPILLWAY
    return Code.SEARCH if job.scaler in (BOUND, *SEARCHES) else Code.BASELINE


def combined_hash(hashes: Mapping[int, str]) -> str:
    """One fingerprint for all seeds: the seed's own if there is but one, else the SHA-256 (16 digits) of theirs."""
    values = list(hashes.values())
    return values[0] if len(values) == 1 else hashlib.sha256("\n".join(values).encode()).hexdigest()[:16]
