"""A client of OpenAI's chat API that keeps what it was told: status, lane, tokens."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

TIMEOUT_SECONDS = 120.0
CHAT = "/v1/chat/completions"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer."""

    status: int
    lane: str
    """Which lane served it, as the proxy says."""
    reason: str
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    """Input tokens that the provider had cached."""
    text: str


@dataclass(frozen=True, slots=True)
class Client:
    """Whom to ask, with which key."""

    url: str
    key: str

    async def ask(
        self,
        bodies: Iterable[Mapping[str, Any]],
        concurrency: int,
        *,
        path: str = CHAT,
        headers: Mapping[str, str] | None = None,
    ) -> list[Answer]:
        """Every body once, so many at the same time; answers in order."""
        gate = asyncio.Semaphore(concurrency)
        sent = {"authorization": f"Bearer {self.key}", **(headers or {})}
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        async with aiohttp.ClientSession(
            timeout=timeout, connector=aiohttp.TCPConnector(limit=0), trust_env=False
        ) as session:

            async def one(body: Mapping[str, Any]) -> Answer:
                async with gate, session.post(f"{self.url}{path}", json=body, headers=sent) as answer:
                    return _read(answer, await answer.text())

            return list(await asyncio.gather(*(one(body) for body in bodies)))


def chat(model: object, tokens: int = 1, *, stream: bool = False, **more: Any) -> dict[str, Any]:
    """One request; a stream tells its usage at its end."""
    body = {"model": model, "max_tokens": tokens, "messages": [{"role": "user", "content": "hello"}], **more}
    return {**body, "stream": True, "stream_options": {"include_usage": True}} if stream else body


def _read(answer: aiohttp.ClientResponse, text: str) -> Answer:
    usage: Mapping[str, Any] = {}
    if answer.status == 200:
        chunks = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: {")]
        for chunk in chunks or [text]:
            told = json.loads(chunk)
            usage = (told.get("usage") if isinstance(told, dict) else None) or usage
    return Answer(
        answer.status,
        answer.headers.get("x-spillway-served-by", ""),
        answer.headers.get("x-spillway-spill-reason", ""),
        int(usage.get("prompt_tokens", 0)),
        int(usage.get("completion_tokens", 0)),
        int((usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0),
        text,
    )
