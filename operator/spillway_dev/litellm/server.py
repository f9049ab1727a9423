"""A running LiteLLM proxy on loopback.

with LiteLLMServer(ensure_litellm(print), files, {"SPILLWAY_CLIENT_KEY": "..."}) as proxy:
    proxy.url                       # http://127.0.0.1:PORT, OpenAI's API
    proxy.metrics()                 # the text of /metrics
    proxy.model_info(key)           # the JSON of /model/info
"""

from __future__ import annotations

import atexit
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from spillway_dev.litellm.install import LiteLLMInstall
from spillway_dev.loopback import fetch
from spillway_dev.processes import ChildProcess, free_ports, remove_folder, remove_if_killed

CONFIG = "config.yaml"
START_TIMEOUT_SECONDS = 240.0
"""Imports alone take half a minute on busy cores."""
STOP_SECONDS = 10.0

_ENVIRONMENT = {
    # Nothing is ever downloaded or reported.
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_TELEMETRY": "False",
    "DO_NOT_TRACK": "1",
    "NO_PROXY": "*",
    "DISABLE_ADMIN_UI": "True",
    "PYTHONUNBUFFERED": "1",
}


class LiteLLMServer:
    """One proxy process with one worker. Use it as a context manager, or call `start` and `close`.

    Args:
        install: the installed LiteLLM.
        files: file name to content, as a ConfigMap holds them; one is `config.yaml`.
        environment: further variables, such as keys.
    """

    def __init__(
        self, install: LiteLLMInstall, files: Mapping[str, str], environment: Mapping[str, str] | None = None
    ) -> None:
        self.install = install
        self.files = dict(files)
        self.environment = dict(environment or {})
        self.folder = Path(tempfile.mkdtemp(prefix="spillway-litellm-"))
        remove_if_killed(self.folder)
        self.port = free_ports(1)[0]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: ChildProcess | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> Self:
        """Start and wait until it serves (10 to 60 seconds).

        Raises:
            ProcessError: it did not come up; carries the end of its log.
        """
        self.launch()
        assert self.process is not None  # noqa: S101 - launched
        try:
            self.process.wait_ready(self.answers, START_TIMEOUT_SECONDS)
        except BaseException:
            self.close()
            raise
        return self

    def launch(self) -> None:
        """Start it, without waiting; see `answers`."""
        atexit.register(self.close)
        for name, content in self.files.items():
            (self.folder / name).write_text(content)
        command = [
            self.install.program,
            *("--config", str(self.folder / CONFIG), "--host", "127.0.0.1", "--port", str(self.port)),
        ]
        self.process = ChildProcess(
            "litellm",
            command,
            self.folder / "litellm.log",
            {**_ENVIRONMENT, "HOME": str(self.folder), "TMPDIR": str(self.folder), **self.environment},
            self.folder,
        )

    def restart(self, files: Mapping[str, str]) -> None:
        """Stop it and start it again with other files, at the same address, as a rollout would.

        Raises:
            ProcessError: it did not come up.
        """
        if self.process is not None:
            self.process.stop(STOP_SECONDS)
        self.files = dict(files)
        self.start()

    def close(self) -> None:
        """End it, and remove its files."""
        atexit.unregister(self.close)
        if self.process is not None:
            self.process.stop(STOP_SECONDS)
            self.process = None
        remove_folder(self.folder)

    def metrics(self) -> str:
        """What it exports now.

        Raises:
            OSError: it does not answer with success.
        """
        # Without the slash it redirects.
        return fetch(f"{self.url}/metrics/", timeout_seconds=30.0).decode()

    def model_info(self, key: str) -> Any:
        """What it has loaded, as JSON, asked for with `key`.

        Raises:
            OSError: it does not answer with success.
        """
        headers = {"authorization": f"Bearer {key}"}
        return json.loads(fetch(f"{self.url}/model/info", timeout_seconds=30.0, headers=headers))

    def answers(self) -> bool:
        """Whether it serves."""
        try:
            fetch(f"{self.url}/health/readiness")
        except OSError:
            return False
        return True
