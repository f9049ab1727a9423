"""A running vLLM on loopback.

with VllmServer(ensure_vllm(print), queue_limit=12) as engine:
    engine.url                      # http://127.0.0.1:PORT, OpenAI's API and /metrics
"""

from __future__ import annotations

import atexit
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from spillway_dev.loopback import fetch
from spillway_dev.processes import ChildProcess, ProcessError, free_ports, remove_folder, remove_if_killed
from spillway_dev.vllm.install import VllmInstall
from spillway_dev.vllm.model import MAX_TOKENS, write_model

MODEL = "tiny"
START_TIMEOUT_SECONDS = 420.0
"""Imports alone take a minute on two busy cores."""
STOP_SECONDS = 20.0
SEQUENCES = 8

_ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    # Nothing is ever downloaded or reported.
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_LOGGING_LEVEL": "INFO",
}


class VllmServer:
    """One engine. Use it as a context manager, or call `start` and `close`.

    Args:
        install: the installed vLLM.
        queue_limit: most requests in flight, running ones included (`--max-num-queued-reqs`); None for no limit.
        sequences: most requests that run at once.
        api_servers: processes that take requests.
        arguments: further command-line arguments of `vllm serve`.
    """

    def __init__(
        self,
        install: VllmInstall,
        *,
        queue_limit: int | None = None,
        sequences: int = SEQUENCES,
        api_servers: int = 1,
        arguments: Sequence[str] = (),
    ) -> None:
        self.install = install
        self.queue_limit = queue_limit
        self.sequences = sequences
        self.api_servers = api_servers
        self.arguments = tuple(arguments)
        self.folder = Path(tempfile.mkdtemp(prefix="spillway-vllm-"))
        remove_if_killed(self.folder)
        self.port = free_ports(1)[0]
        self.address = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.address}"
        self.process: ChildProcess | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> Self:
        """Start and wait until it serves (1 to 3 minutes).

        Raises:
            ProcessError: it did not come up; carries the end of its log.
        """
        atexit.register(self.close)
        self.process = ChildProcess(
            "vllm",
            self._command(),
            self.folder / "vllm.log",
            # Its caches and sockets go with the folder.
            {**_ENVIRONMENT, "HOME": str(self.folder), "TMPDIR": str(self.folder)},
            self.folder,
        )
        try:
            self.process.wait_ready(self._ready, START_TIMEOUT_SECONDS)
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """End it and everything it started, and remove its files."""
        atexit.unregister(self.close)
        if self.process is not None:
            self.process.stop(STOP_SECONDS)
            self.process = None
        remove_folder(self.folder)

    def metrics(self) -> str:
        """What it exports now.

        Raises:
            ProcessError: it does not answer.
        """
        try:
            return fetch(f"{self.url}/metrics", timeout_seconds=10.0).decode()
        except OSError as error:
            raise ProcessError(f"{self.url}/metrics: {error}") from error

    def _ready(self) -> bool:
        try:
            fetch(f"{self.url}/health")
        except OSError:
            return False
        return True

    def _command(self) -> list[str]:
        limit = [] if self.queue_limit is None else ["--max-num-queued-reqs", str(self.queue_limit)]
        return [
            self.install.program, "serve", str(write_model(self.folder / "model")),
            "--served-model-name", MODEL,
            "--host", "127.0.0.1", "--port", str(self.port),
            "--load-format", "dummy",
            "--enforce-eager",
            "--max-model-len", str(MAX_TOKENS),
            "--max-num-seqs", str(self.sequences),
            "--api-server-count", str(self.api_servers),
            "--enable-prompt-tokens-details",
            "--disable-uvicorn-access-log",
            *limit,
            *self.arguments,
        ]  # fmt: skip
