"""A bounded load generator for OpenAI-compatible servers that remembers what it saw of every request."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import aiohttp

from spillway_dev.vllm.model import words

REQUEST_TIMEOUT_SECONDS = 180.0
MOST_REQUESTS = 5000
ABORTED = "abort"
"""Finish reason of an answer that an engine ends halfway."""
EVENT = b"data: "
BROKEN = "broken:"
"""How the error of an answer begins whose connection failed."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One request: a prompt and how many tokens are wanted."""

    prompt: str
    output_tokens: int
    stream: bool = True

    @property
    def prompt_tokens(self) -> int:
        """Its length in tokens of the tiny model."""
        return len(self.prompt.split())


@dataclass(slots=True)
class Answer:
    """What the client saw of one request. Times are Unix times in seconds."""

    ask: Ask
    sent_at: float
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    first_at: float | None = None
    """First token; of a plain answer, all of it."""
    last_at: float | None = None
    ended_at: float | None = None
    prompt_tokens: int = 0
    """By the answer's usage, as the rest."""
    output_tokens: int = 0
    cached_tokens: int = 0
    token_times: list[float] = field(default_factory=list)
    """When events with text came; under load one may bring several tokens."""
    error: str = ""
    """What the answer, or an event of its stream after the status, said went wrong."""

    @property
    def served(self) -> bool:
        """Whether it was answered in full."""
        return self.status == 200 and not self.error and self.output_tokens > 0

    @property
    def broken(self) -> bool:
        """Whether the connection failed before the end."""
        return self.error.startswith(BROKEN)

    @property
    def refused_late(self) -> bool:
        """Whether it was refused in the stream, after a status of success: no gateway can send it elsewhere."""
        return self.status == 200 and bool(self.error) and not self.broken

    @property
    def first_seconds(self) -> float:
        """Time to the first token."""
        return (self.first_at or self.sent_at) - self.sent_at

    @property
    def token_seconds(self) -> float:
        """Mean time between two tokens; 0 for an answer of one."""
        if self.first_at is None or self.last_at is None or self.output_tokens < 2:
            return 0.0
        return (self.last_at - self.first_at) / (self.output_tokens - 1)


class LoadGenerator:
    """Sends requests to one server. Use it as an async context manager.

    Args:
        url: `http://host:port`.
        model: the model asked for.
        path: of the API.
        headers: sent along.
        most: requests in all, beyond which it refuses to send.
        seed: of prompts and arrivals.
    """

    def __init__(
        self,
        url: str,
        model: str = "tiny",
        *,
        path: str = "/v1/completions",
        headers: Mapping[str, str] | None = None,
        most: int = MOST_REQUESTS,
        seed: int = 0,
    ) -> None:
        self.url = f"{url}{path}"
        self.model = model
        self.chat = path.endswith("/chat/completions")
        self.headers = dict(headers or {})
        self.rng = random.Random(seed)
        self.answers: list[Answer] = []
        self._left = most
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_SECONDS),
            headers=self.headers,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    def ask(self, prompt_tokens: int, output_tokens: int, *, stream: bool = True) -> Ask:
        """A request with a prompt that no other has."""
        return Ask(words(prompt_tokens, self.rng), output_tokens, stream)

    async def send(self, ask: Ask) -> Answer:
        """Send one request and wait for all of its answer; a refusal is an answer, and so is a broken connection.

        Raises:
            RuntimeError: more requests than the generator may send.
        """
        if self._session is None or self._left <= 0:
            raise RuntimeError("the load generator is closed, or has sent all that it may")
        self._left -= 1
        answer = Answer(ask, time.time())
        self.answers.append(answer)
        try:
            async with self._session.post(self.url, json=self._body(ask)) as response:
                answer.status, answer.headers = response.status, dict(response.headers)
                if ask.stream and response.status == 200:
                    await _read_stream(response, answer)
                else:
                    _take(answer, _json(await response.text()))
        except aiohttp.ClientError as error:
            answer.error = f"{BROKEN} {error}"
        finally:
            # Hung up on is an end, too.
            answer.ended_at = time.time()
        return answer

    async def closed(self, asks: Iterable[Ask], concurrency: int) -> list[Answer]:
        """Send all, `concurrency` of them at a time."""
        room = asyncio.Semaphore(concurrency)

        async def one(ask: Ask) -> Answer:
            async with room:
                return await self.send(ask)

        return list(await asyncio.gather(*(one(ask) for ask in asks)))

    async def paced(self, asks: Iterable[Ask], per_second: float) -> list[Answer]:
        """Send all at Poisson arrivals, however long answers take."""
        tasks = []
        for ask in asks:
            tasks.append(asyncio.create_task(self.send(ask)))
            await asyncio.sleep(self.rng.expovariate(per_second))
        return list(await asyncio.gather(*tasks))

    @asynccontextmanager
    async def holding(self, asks: Iterable[Ask]) -> AsyncIterator[list[asyncio.Task[Answer]]]:
        """Keep these requests open during the block, then hang up on those that still are."""
        tasks = [asyncio.create_task(self.send(ask)) for ask in asks]
        try:
            yield tasks
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _body(self, ask: Ask) -> dict[str, Any]:
        prompt = {"messages": [{"role": "user", "content": ask.prompt}]} if self.chat else {"prompt": ask.prompt}
        body = {
            "model": self.model,
            "max_tokens": ask.output_tokens,
            "ignore_eos": True,
            # A special token would else be an event without text, which is not sent.
            "skip_special_tokens": False,
            "stream": ask.stream,
            **prompt,
        }
        return body | ({"stream_options": {"include_usage": True}} if ask.stream else {})


async def _read_stream(response: aiohttp.ClientResponse, answer: Answer) -> None:
    async for line in response.content:
        now = time.time()
        if not line.startswith(EVENT) or line.startswith(b"data: [DONE]"):
            continue
        event = json.loads(line.removeprefix(EVENT))
        if event.get("choices"):
            answer.first_at = answer.first_at or now
            answer.last_at = now
            answer.token_times.append(now)
        _take(answer, event)


def _json(text: str) -> dict[str, Any]:
    """The answer, or as its error what a proxy said in plain words."""
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    return content if isinstance(content, dict) else {"error": text or "an empty answer"}


def _take(answer: Answer, content: Mapping[str, Any]) -> None:
    if error := content.get("error"):
        answer.error = str(error.get("message", error)) if isinstance(error, dict) else str(error)
    if any(choice.get("finish_reason") == ABORTED for choice in content.get("choices") or ()):
        answer.error = "cut short by the engine (finish_reason abort)"
    if usage := content.get("usage"):
        answer.prompt_tokens = usage["prompt_tokens"]
        answer.output_tokens = usage["completion_tokens"]
        answer.cached_tokens = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
