"""Child processes that never outlive their parent.

Each child runs in a session of its own, so that Ctrl-C in a terminal reaches only the parent, which stops its
children in order. Should the parent die without a word (SIGKILL, a crash), the reaper, one tiny shell per parent,
sees its standard input close and ends what is left. That works for threads too, which PR_SET_PDEATHSIG does not:
there a child dies with the *thread* that started it.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

# Below the range of Linux's ephemeral ports, so that no outgoing connection takes a port between probe and use.
PORTS = range(20000, 30000)
TAIL_LINES = 25

_REAPER = """
children=""
folders=""
while read -r what value; do
  case "$what" in
    child) children="$children $value " ;;
    gone) children=$(printf %s "$children" | sed "s/ $value / /") ;;
    folder) folders="$folders $value" ;;
    done) exit 0 ;;
  esac
done
for group in $children; do kill -TERM -"$group" 2>/dev/null; done
sleep 2
for group in $children; do kill -KILL -"$group" 2>/dev/null; done
for folder in $folders; do rm -rf "$folder"; done
"""


class ProcessError(Exception):
    """A child did not start, or ended by itself; carries the end of its log."""


def free_ports(count: int) -> list[int]:
    """`count` distinct ports of the loopback interface that nothing listens on."""
    chosen: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        chosen.append(port)
        if len(chosen) == count:
            return chosen
    raise ProcessError(f"no {count} free ports in {PORTS.start}-{PORTS.stop} on 127.0.0.1")


def wait_until(
    condition: Callable[[], bool], what: str, timeout_seconds: float, interval_seconds: float = 0.05
) -> None:
    """Return as soon as `condition` holds.

    Raises:
        TimeoutError: it did not within `timeout_seconds`; names `what`.
    """
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout_seconds:g} s")
        time.sleep(interval_seconds)


class _Reaper:
    """Tells the shell above what to end if this process dies."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shell: subprocess.Popen[str] | None = None
        self._owner = 0

    def tell(self, line: str) -> None:
        with self._lock:
            if self._shell is None or self._owner != os.getpid():
                self._start()
            assert self._shell is not None  # noqa: S101 - just started
            assert self._shell.stdin is not None  # noqa: S101 - asked for
            try:
                self._shell.stdin.write(line + "\n")
                self._shell.stdin.flush()
            except OSError:
                # The shell was killed from outside: the children still end with a normal exit.
                self._shell = None

    def _start(self) -> None:
        self._owner = os.getpid()
        self._shell = subprocess.Popen(
            ["/bin/sh", "-c", _REAPER],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        atexit.register(self.dismiss)

    def dismiss(self) -> None:
        if self._shell is not None and self._owner == os.getpid() and self._shell.stdin is not None:
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                self._shell.stdin.close()
                self._shell.wait(timeout=5)
            self._shell = None


_reaper = _Reaper()


def remove_if_killed(folder: Path) -> None:
    """Have `folder` removed if this process is killed before it can do that itself."""
    _reaper.tell(f"folder {folder}")


class ChildProcess:
    """A running program with its log in a file.

    Args:
        name: how messages call it.
        command: program and arguments.
        log: file for standard output and error.
        environment: variables on top of a minimal set (PATH, HOME, TMPDIR).
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        self.name = name
        self.log = log
        inherited = {key: os.environ[key] for key in ("PATH", "HOME", "TMPDIR", "LANG") if key in os.environ}
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**inherited, **(environment or {})},
                cwd=folder,
                start_new_session=True,
            )
        _reaper.tell(f"child {self._process.pid}")
        atexit.register(self.stop)

    @property
    def pid(self) -> int:
        """The process id, which is the id of its process group, too."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    @property
    def returncode(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs."""
        return self._process.poll()

    def tail(self, lines: int = TAIL_LINES) -> str:
        """The last lines of its log."""
        with self.log.open(errors="replace") as text:
            return "".join(deque(text, maxlen=lines)).rstrip()

    def require(self) -> None:
        """See that it runs.

        Raises:
            ProcessError: it ended by itself.
        """
        if (code := self.returncode) is not None:
            raise ProcessError(f"{self.name} ended with status {code}; the end of {self.log}:\n{self.tail()}")

    def wait_ready(self, ready: Callable[[], bool], timeout_seconds: float) -> None:
        """Return as soon as `ready` holds.

        Raises:
            ProcessError: the program ended first, or was not ready in time.
        """

        def check() -> bool:
            self.require()
            return ready()

        try:
            wait_until(check, self.name, timeout_seconds)
        except TimeoutError as late:
            raise ProcessError(
                f"{self.name} not ready within {timeout_seconds:g} s; the end of {self.log}:\n{self.tail()}"
            ) from late

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the program alone (not to its group)."""
        if self.running:
            self._process.send_signal(number)

    def stop(self, grace_seconds: float = 5.0) -> None:
        """End the program and everything in its group: SIGTERM, then SIGKILL. Harmless when it is gone."""
        atexit.unregister(self.stop)
        self.begin_stop()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=grace_seconds)
        self._signal_group(signal.SIGKILL)
        self._process.wait()
        _reaper.tell(f"gone {self._process.pid}")

    def begin_stop(self) -> None:
        """Send SIGTERM and return: several programs can go down at the same time, `stop` then waits for each."""
        if self.running:
            self._signal_group(signal.SIGTERM)
            # A frozen program would see the signal above only when it is thawed.
            self._signal_group(signal.SIGCONT)

    def kill(self) -> None:
        """End the program at once by SIGKILL, as a crash would."""
        if self.running:
            self._signal_group(signal.SIGKILL)
        self.stop()

    def _signal_group(self, number: signal.Signals) -> None:
        # The group may be gone (macOS says "not permitted" for a group of zombies).
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)


def remove_folder(folder: Path) -> None:
    """Remove a scratch folder with all it holds."""
    shutil.rmtree(folder, ignore_errors=True)
