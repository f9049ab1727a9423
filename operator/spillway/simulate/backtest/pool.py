"""Jobs side by side in processes. Each result is handed over as it comes; an interrupt ends the workers at once."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, as_completed, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import resource_tracker
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType
from typing import TypeVar

from spillway.simulate.backtest import shared_requests
from spillway.simulate.backtest.jobs import Document, Job, JobError, do
from spillway.simulate.policy import Known
from spillway.simulate.world import World

Item = TypeVar("Item")
Done = TypeVar("Done")

PARENT_CHECK_SECONDS = 2.0
WATCH_SECONDS = 1.0
COLLECT_AFTER = 50_000
"""Values more than before, after which a worker looks for garbage in cycles."""


class WorkerLostError(RuntimeError):
    """A worker process died; one line."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What every job of a scenario shares."""

    world: World
    known: Known
    requests: Path
    """Folder of the realised requests."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A job's document, or the line that says why there is none."""

    job: Job
    document: Document | None
    error: str | None = None


def run_jobs(setting: Setting, jobs: Sequence[Job], workers: int) -> Iterator[Finished]:
    """Yield each job as it ends. Leaving the loop early, by an interrupt too, ends the workers.

    Raises WorkerLostError where a process dies, as the kernel ends one when memory runs out.
    """
    yield from run_each(_run, jobs, workers, setting)


def run_each(
    function: Callable[[Item], Done],
    items: Sequence[Item],
    workers: int,
    setting: Setting | None = None,
    watch: Callable[[], None] | None = None,
) -> Iterator[Done]:
    """Yield `function(item)` of each item as it ends, in processes; `watch` is called about once a second meanwhile.

    Leaving the loop early ends the workers. Raises WorkerLostError as `run_jobs` does, and what `function` raises.
    """
    if not items:
        return
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(
        max_workers=max(1, min(workers, len(items))),
        # Not fork: threads of the compiled code and of the solver would be lost in the child.
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start_worker,
        initargs=(setting,),
    )
    complete = False
    try:
        with _starting_workers():  # all items at once, which starts the workers
            futures = [pool.submit(function, item) for item in items]
        for future in as_completed(futures) if watch is None else _watched(futures, watch):
            yield future.result()
        complete = True
    except BrokenProcessPool as error:
        raise WorkerLostError(
            "a worker process died, most likely for want of memory; run fewer side by side with --jobs, "
            "or lower demandScale. Finished runs are kept"
        ) from error
    finally:
        if complete:
            pool.shutdown()
        else:
            _end(pool, others)


def _watched(futures: Sequence[Future[Done]], watch: Callable[[], None]) -> Iterator[Future[Done]]:
    left = set(futures)
    while left:
        done, left = wait(left, WATCH_SECONDS, FIRST_COMPLETED)
        yield from done
        watch()


@contextmanager
def _starting_workers() -> Iterator[None]:
    """Ctrl-C reaches the whole process group. A worker that is still starting would answer it with a traceback, so
    workers begin with SIGINT blocked; a parent that left halfway would leave workers without their task, so it waits.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # Started with the first worker otherwise, it would unblock SIGINT halfway.
    resource_tracker.ensure_running()
    came: list[tuple[int, FrameType | None]] = []
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    for number in handlers:
        signal.signal(number, lambda number, frame: came.append((number, frame)))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0][0])


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _end(pool: ProcessPoolExecutor, others: set[BaseProcess]) -> None:
    """End the pool's own processes without waiting for their jobs."""
    pool.shutdown(wait=False, cancel_futures=True)
    children = set(multiprocessing.active_children()) - others
    for child in children:
        child.terminate()
    for child in children:
        child.join(timeout=5)


_setting: list[Setting] = []
"""In a worker: what its jobs share."""


def _start_worker(setting: Setting | None) -> None:
    # Ctrl-C goes to the whole process group; the parent ends its workers itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    # A job makes millions of small values and hardly a cycle among them: looking for cycles seldom is enough.
    gc.set_threshold(COLLECT_AFTER)
    _setting[:] = [] if setting is None else [setting]


def _end_with_parent(parent: int) -> None:
    """A parent that was killed outright can't end its workers."""
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_SECONDS)
    os._exit(1)


def _run(job: Job) -> Finished:
    setting = _setting[0]
    workload = shared_requests.load(setting.requests, job.seed)
    try:
        return Finished(job, do(job, setting.world, replace(setting.known, seed=job.seed), workload))
    except JobError as error:
        return Finished(job, None, str(error))
