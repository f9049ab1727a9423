"""A load generator with an end: chat requests to a loopback address, and who served each.

with Load(gateway.url, LoadOptions(concurrency=8, max_requests=50_000, max_seconds=60)) as load:
    load.wait_for(1000)                     # requests from now
    before = load.report()
    ...
    share = load.report().since(before).share("gpu")
assert load.report().failed == 0
"""

from __future__ import annotations

import asyncio
import ipaddress
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp

from spillway_dev.processes import wait_until
from spillway_dev.upstreams.server import SERVED_BY

MOST_REQUESTS = 1_000_000
MOST_SECONDS = 1200.0
KEPT_ERRORS = 10
JOIN_SECONDS = 120.0
CATCH_UP_SECONDS = 1.0
# vLLM's word for an answer that it gave up.
ABORTED, ABORTED_WITHIN = b'"finish_reason":"abort"', 2_000


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """What is sent.

    Attributes:
        concurrency: requests in flight at most.
        max_requests: it ends after this many (at most 1,000,000).
        max_seconds: it sends nothing new after this time (at most 600).
        per_second: pace, which `Load.pace` changes; None for as fast as answers come.
        body: the chat request, such as `{"stream": True, "max_tokens": 30}`.
        headers: sent with each request.
        request_timeout_seconds: a request that takes longer has failed.
        served_by: the response header that names who gave an answer.
        remember: keep of each answer when it was sent and who gave it, for `Load.answers`.
    """

    concurrency: int
    max_requests: int
    max_seconds: float
    per_second: float | None = None
    body: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    request_timeout_seconds: float = 60.0
    served_by: str = SERVED_BY
    remember: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.max_requests <= MOST_REQUESTS or not 0 < self.max_seconds <= MOST_SECONDS:
            raise ValueError(f"load: max_requests up to {MOST_REQUESTS}, max_seconds up to {MOST_SECONDS:g}")


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer in full: when it was asked for (Unix time in seconds), and who gave it."""

    sent_at: float
    served_by: str


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What came of it so far.

    A request has `ok` when it was answered by 200 in full: a stream came to its end, and nothing was aborted. Every
    other one has `failed`.
    """

    sent: int
    ok: int
    failed: int
    served_by: Mapping[str, int]
    """Answers with 200, by the upstream that the response header named."""
    statuses: Mapping[int, int]
    errors: tuple[str, ...] = ()
    """The first failures, in words."""

    def since(self, before: LoadReport) -> LoadReport:
        """The difference to an earlier report; `errors` stay whole."""
        return LoadReport(
            self.sent - before.sent,
            self.ok - before.ok,
            self.failed - before.failed,
            Counter(self.served_by) - Counter(before.served_by),
            Counter(self.statuses) - Counter(before.statuses),
            self.errors,
        )

    def share(self, upstream: str) -> float:
        """Percent of the answers with 200 that this upstream gave; 0 where there were none."""
        total = sum(self.served_by.values())
        return 100 * self.served_by.get(upstream, 0) / total if total else 0.0


class Load:
    """Sends from a thread of its own until the block ends, or one of the limits of `options` is reached."""

    def __init__(self, url: str | Callable[[], str], options: LoadOptions) -> None:
        """``url``: where to, or what tells it for each request, as a Service's name does."""
        self._url: Callable[[], str] = (lambda: url) if isinstance(url, str) else url
        if isinstance(url, str):
            _address(url)
        self._options = options
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._sent = self._ok = self._failed = 0
        self._served_by: Counter[str] = Counter()
        self._statuses: Counter[int] = Counter()
        self._errors: list[str] = []
        self._answers: list[Answer] = []
        self._per_second = options.per_second
        self._due = 0.0
        self._turn = asyncio.Lock()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> LoadReport:
        """Send nothing new, let every open request end, and report."""
        self._stop.set()
        return self.finish()

    def finish(self, timeout_seconds: float = JOIN_SECONDS) -> LoadReport:
        """Wait until a limit of the options ends it, and report.

        Raises:
            TimeoutError: it still runs.
        """
        self._thread.join(timeout_seconds)
        if self._thread.is_alive():
            raise TimeoutError(f"load: requests still open after {timeout_seconds:g} s")
        return self.report()

    def report(self) -> LoadReport:
        """What came of it so far."""
        with self._lock:
            return LoadReport(
                self._sent, self._ok, self._failed, dict(self._served_by), dict(self._statuses), tuple(self._errors)
            )

    def pace(self, per_second: float) -> None:
        """Send this many a second from now on."""
        self._per_second = per_second

    def answers(self) -> list[Answer]:
        """All answers in full so far, where the options have them remembered."""
        with self._lock:
            return self._answers[:]

    def wait_for(self, requests: int, timeout_seconds: float = 120.0) -> LoadReport:
        """What came of the next `requests` answered ones.

        Raises:
            TimeoutError: they were not answered in time, for instance because the load has ended.
        """
        before = self.report()
        wait_until(
            lambda: self.report().ok + self.report().failed >= before.ok + before.failed + requests,
            f"{requests} answered requests",
            timeout_seconds,
        )
        return self.report().since(before)

    async def _run(self) -> None:
        timeout = aiohttp.ClientTimeout(total=self._options.request_timeout_seconds)
        connector = aiohttp.TCPConnector(limit=0)
        began = time.monotonic()
        async with aiohttp.ClientSession(timeout=timeout, connector=connector, trust_env=False) as session:
            await asyncio.gather(*(self._worker(session, began) for _ in range(self._options.concurrency)))

    async def _worker(self, session: aiohttp.ClientSession, began: float) -> None:
        while not self._over(began):
            async with self._turn:
                if not self._over(began):
                    await self._wait_turn()
                if self._over(began):
                    return
                self._sent += 1
            await self._request(session)

    def _over(self, began: float) -> bool:
        late = time.monotonic() - began >= self._options.max_seconds
        return late or self._stop.is_set() or self._sent >= self._options.max_requests

    async def _wait_turn(self) -> None:
        if self._per_second is None:
            return
        now = time.monotonic()
        # What answers that are late have held up is caught up with, but for a second's worth only.
        earliest = now if self._due == 0 else now - CATCH_UP_SECONDS
        self._due = max(self._due + 1 / self._per_second, earliest)
        await asyncio.sleep(max(0.0, self._due - now))

    async def _request(self, session: aiohttp.ClientSession) -> None:
        body = {"model": "m", "messages": [], **self._options.body}
        sent_at = time.time()
        try:
            async with session.post(_address(self._url()), json=body, headers=self._options.headers) as answer:
                content = await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            self._count(None, sent_at, "", f"{type(error).__name__}: {error}")
            return
        problem = _problem(answer.status, content, bool(body.get("stream")))
        self._count(answer.status, sent_at, answer.headers.get(self._options.served_by, ""), problem)

    def _count(self, status: int | None, sent_at: float, served_by: str, problem: str) -> None:
        with self._lock:
            if status is not None:
                self._statuses[status] += 1
            if status == 200:
                self._served_by[served_by] += 1
            if problem:
                self._failed += 1
                if len(self._errors) < KEPT_ERRORS:
                    self._errors.append(problem)
            else:
                self._ok += 1
                if self._options.remember:
                    self._answers.append(Answer(sent_at, served_by))


def _problem(status: int, content: bytes, stream: bool) -> str:
    """What is wrong with an answer; empty for one in full."""
    if status != 200:
        return f"HTTP {status}: {content[:200].decode(errors='replace')}"
    if stream and not content.rstrip().endswith(b"data: [DONE]"):
        return "a stream ended before its end"
    if ABORTED in content[-ABORTED_WITHIN:]:
        return "aborted, with a status of success"
    return ""


def _address(url: str) -> str:
    if not _is_loopback(urlsplit(url).hostname or ""):
        raise ValueError(f"load to {url or 'nowhere'}: loopback addresses only")
    return f"{url}/v1/chat/completions"


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
