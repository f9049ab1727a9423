"""An upstream as a child process, with its counters and its settings."""

from __future__ import annotations

import json
import signal
import sys
import tempfile
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from spillway_dev.loopback import fetch
from spillway_dev.processes import ChildProcess, free_ports, remove_folder, remove_if_killed, wait_until

START_TIMEOUT_SECONDS = 60.0


class Upstream:
    """One upstream. Use it as a context manager, or call `start` and `stop`.

    Args:
        name: what it says in the header `x-served-by`.
        host: the loopback address; several addresses on one port can stand behind one name.
        port: 0 for a free one.
        engine: what serves by iterations, as `--engine` of the command takes it.
        egress: the model and the team that its answers are counted for, as `--egress` takes it.
        settings: fields of `Behaviour` (server.py) to start with, such as `token_seconds`.
    """

    def __init__(
        self,
        name: str,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        engine: Mapping[str, Any] | None = None,
        egress: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> None:
        self.name = name
        self.host = host
        self.port = port or free_ports(1)[0]
        self._parts = {"--engine": engine, "--egress": egress}
        self._settings = settings
        self._folder = Path(tempfile.mkdtemp(prefix="spillway-upstream-"))
        remove_if_killed(self._folder)
        self.process: ChildProcess | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Its address, without a slash at its end."""
        return f"http://{self.host}:{self.port}"

    def start(self) -> Self:
        """Start it and wait until it answers.

        Raises:
            ProcessError: it did not come up; carries the end of its log.
        """
        self.launch()
        assert self.process is not None  # noqa: S101 - just launched
        try:
            self.process.wait_ready(self.answers, START_TIMEOUT_SECONDS)
        except BaseException:
            self.stop()
            raise
        return self

    def launch(self) -> None:
        """Start it and return; it is to be used once it `answers`."""
        command = [
            sys.executable, "-m", "spillway_dev.upstreams",
            "--name", self.name, "--host", self.host, "--port", str(self.port),
        ]  # fmt: skip
        for option, settings in self._parts.items():
            command += [option, json.dumps(settings)] if settings is not None else []
        self.process = ChildProcess(f"upstream {self.name}", command, self._folder / "log")

    def answers(self) -> bool:
        """Whether it is up, with its settings."""
        try:
            if fetch(f"{self.url}/healthz").decode() != self.name:
                return False
            self.set(**self._settings)
        except OSError:
            return False
        return True

    def set(self, **settings: Any) -> None:
        """Change how it answers from the next request on; fields of `Behaviour` in server.py."""
        if settings:
            body = json.dumps(settings).encode()
            request = urllib.request.Request(f"{self.url}/behaviour", data=body)  # noqa: S310 - our own address
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(request, timeout=10):
                pass

    def counters(self) -> dict[str, int]:
        """`received`, `served`, `refused`, `failed`, `broken`, `in_flight`, `most_in_flight` since the start."""
        found: dict[str, int] = json.loads(fetch(f"{self.url}/counters", timeout_seconds=10))
        return found

    def last_counters(self) -> dict[str, int] | None:
        """What it counted until it ended by itself; None where it was killed."""
        if self.process is None or self.process.returncode != 0:
            return None
        found: dict[str, int] = json.loads(self.process.tail(1))
        return found

    def last_requests(self) -> list[dict[str, Any]]:
        """The latest requests, oldest first: `model`, `host`, `path`, `headers`."""
        found: list[dict[str, Any]] = json.loads(fetch(f"{self.url}/requests", timeout_seconds=10))
        return found

    def terminate(self) -> None:
        """Send SIGTERM and return: it refuses what is new and finishes what is in flight."""
        if self.process is not None:
            self.process.send(signal.SIGTERM)

    def wait_ended(self, timeout_seconds: float = 60.0) -> int:
        """Its exit status, once it has ended.

        Raises:
            TimeoutError: it still runs.
        """
        process = self.process
        assert process is not None  # noqa: S101 - callers have started it
        wait_until(lambda: not process.running, f"upstream {self.name} ended", timeout_seconds)
        return process.returncode or 0

    def stop(self, grace_seconds: float = 1.0) -> None:
        """End it, and cut what is in flight after `grace_seconds`."""
        if self.process is not None:
            self.process.stop(grace_seconds)
            self.process = None
        remove_folder(self._folder)
