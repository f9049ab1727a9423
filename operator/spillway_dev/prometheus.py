"""A real Prometheus on a free port, with targets that can change and history that can be filled in.

    with PrometheusServer(find_tools(), [ScrapeJob("vllm", ("127.0.0.1:9000",))], scrape_seconds=1) as prometheus:
        prometheus.url                                  # for the operator
        prometheus.wait_for('up{job="vllm"} == 1')
        prometheus.set_targets("vllm", ("127.0.0.1:9001",))

History goes in before the start: `prometheus.backfill(path)` with an OpenMetrics file.
Stopped and started again it keeps its port and its data.
"""

from __future__ import annotations

import atexit
import json
import signal
import subprocess
import tempfile
import urllib.error
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from spillway_dev.loopback import fetch
from spillway_dev.processes import (
    ChildProcess,
    ProcessError,
    free_ports,
    remove_folder,
    remove_if_killed,
    wait_until,
)
from spillway_dev.toolchain import Tools

START_TIMEOUT_SECONDS = 60.0
QUERY_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class ScrapeJob:
    """One scrape job.

    Attributes:
        name: the job label.
        targets: `host:port` each.
        path: where the metrics are.
        honor_labels: keep labels of the exposition (`namespace`, `pod`) instead of renaming them `exported_...`.
        labels: labels put on every series of the job.
        metric_relabelings: `metric_relabel_configs` as Prometheus takes them.
        bearer_token: sent with every scrape where given.
    """

    name: str
    targets: tuple[str, ...] = ()
    path: str = "/metrics"
    honor_labels: bool = True
    labels: Mapping[str, str] = field(default_factory=dict)
    metric_relabelings: tuple[Mapping[str, Any], ...] = ()
    bearer_token: str = ""


class PrometheusServer:
    """One Prometheus. Use it as a context manager, or call `start` and `stop`, then `close`.

    Args:
        tools: the built tools.
        jobs: what to scrape.
        scrape_seconds: how often, also the time limit of a scrape.
        arguments: further command-line arguments, such as `--web.config.file=...`.
    """

    def __init__(
        self,
        tools: Tools,
        jobs: Sequence[ScrapeJob] = (),
        *,
        scrape_seconds: float = 5.0,
        arguments: Sequence[str] = (),
    ) -> None:
        self.tools = tools
        self.jobs = {job.name: job for job in jobs}
        self.scrape_seconds = scrape_seconds
        self.arguments = tuple(arguments)
        self.folder = Path(tempfile.mkdtemp(prefix="spillway-prometheus-"))
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

    def backfill(self, openmetrics: Path) -> None:
        """Turn an OpenMetrics file (timestamps in seconds, `# EOF` at its end) into history.

        Call it before `start`. The file may not reach into the future.

        Raises:
            ProcessError: it already runs, or promtool refused the file.
        """
        if self.process is not None:
            raise ProcessError("backfill: Prometheus runs already; fill in history before the start")
        done = subprocess.run(
            [
                self.tools.path("promtool"), "tsdb", "create-blocks-from", "--quiet", "openmetrics",
                str(openmetrics), str(self.folder / "data"),
            ],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise ProcessError(f"backfill {openmetrics}: {done.stderr.strip() or done.stdout.strip()}")

    def start(self) -> Self:
        """Start and wait until queries are answered.

        Raises:
            ProcessError: it did not come up; carries the end of its log.
        """
        self._write_config()
        for name, job in self.jobs.items():
            self.set_targets(name, job.targets)
        atexit.register(self.close)
        self.process = ChildProcess(
            "prometheus",
            [
                self.tools.path("prometheus"),
                f"--config.file={self.folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={self.folder / 'data'}",
                "--storage.tsdb.retention.time=60d",
                # Equal durations switch compaction off: filled-in history would only be rewritten.
                "--storage.tsdb.min-block-duration=2h",
                "--storage.tsdb.max-block-duration=2h",
                f"--web.listen-address=127.0.0.1:{self.port}",
                "--web.enable-lifecycle",
                "--log.level=warn",
                *self.arguments,
            ],
            self.folder / "prometheus.log",
            folder=self.folder,
        )
        try:
            self.process.wait_ready(self._ready, START_TIMEOUT_SECONDS)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End the process; data and port stay for another `start`."""
        if self.process is not None:
            self.process.stop()
            self.process = None

    def close(self) -> None:
        """End the process and remove its data."""
        atexit.unregister(self.close)
        self.stop()
        remove_folder(self.folder)

    def freeze(self) -> None:
        """Let it answer nothing more: connections are taken, requests hang."""
        if self.process is not None:
            self.process.send(signal.SIGSTOP)

    def thaw(self) -> None:
        """Undo `freeze`."""
        if self.process is not None:
            self.process.send(signal.SIGCONT)

    def set_targets(self, job: str, targets: Sequence[str], labels: Mapping[str, str] | None = None) -> None:
        """Replace the targets of a job, at once and without a restart."""
        self._target_groups(job, [{"targets": list(targets), "labels": dict(labels or {})}])

    def set_labelled_targets(self, job: str, targets: Mapping[str, Mapping[str, str]]) -> None:
        """The same, each `host:port` with labels of its own, as service discovery puts them on."""
        self._target_groups(job, [{"targets": [name], "labels": dict(each)} for name, each in targets.items()])

    def _target_groups(self, job: str, groups: list[dict[str, Any]]) -> None:
        path = self.folder / f"{job}.targets.json"
        partial = path.with_suffix(".new")
        partial.write_text(json.dumps(groups))
        partial.rename(path)

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """An instant query: labels and value of each series.

        Raises:
            ProcessError: Prometheus refused the query or did not answer.
        """
        address = f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
        try:
            body = json.loads(fetch(address, timeout_seconds=QUERY_TIMEOUT_SECONDS))
        except urllib.error.HTTPError as error:
            raise ProcessError(f"query {expression}: {error.read().decode(errors='replace')}") from error
        except OSError as error:
            raise ProcessError(f"query {expression}: {error}") from error
        return [(series["metric"], float(series["value"][1])) for series in body["data"]["result"]]

    def wait_for(self, expression: str, timeout_seconds: float = 30.0) -> list[tuple[dict[str, str], float]]:
        """The result of a query as soon as it is not empty.

        Raises:
            TimeoutError: it stayed empty.
        """
        found: list[tuple[dict[str, str], float]] = []

        def seen() -> bool:
            found[:] = self.query(expression)
            return bool(found)

        wait_until(seen, f"Prometheus query {expression}", timeout_seconds, 0.1)
        return found

    def _ready(self) -> bool:
        try:
            fetch(f"{self.url}/-/ready")
        except OSError:
            return False
        return True

    def _write_config(self) -> None:
        interval = f"{round(self.scrape_seconds * 1000)}ms"
        config = {
            "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": "1m"},
            "scrape_configs": [self._job_config(job) for job in self.jobs.values()],
        }
        (self.folder / "prometheus.yml").write_text(yaml.safe_dump(config, sort_keys=False))

    def _job_config(self, job: ScrapeJob) -> dict[str, Any]:
        config: dict[str, Any] = {
            "job_name": job.name,
            "metrics_path": job.path,
            "honor_labels": job.honor_labels,
            "file_sd_configs": [{"files": [str(self.folder / f"{job.name}.targets.json")]}],
        }
        if job.labels:
            config["relabel_configs"] = [
                {"target_label": name, "replacement": value} for name, value in job.labels.items()
            ]
        if job.metric_relabelings:
            config["metric_relabel_configs"] = [dict(rule) for rule in job.metric_relabelings]
        if job.bearer_token:
            config["authorization"] = {"credentials": job.bearer_token}
        return config
