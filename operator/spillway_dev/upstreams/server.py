"""One upstream's process: `/v1/chat/completions` with tokens at a set pace, a concurrency limit, and counters.

With an engine it makes tokens as that does, and `/metrics` are the engine's. On SIGTERM it does as vLLM 0.32 does with
--shutdown-timeout (tests/vllm/test_sigterm.py): it finishes what is in flight, answers all else by 500 meanwhile, and
ends, with its counters as the last line of its output.
"""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from aiohttp import web

from spillway_dev.upstreams.egress import EgressMetrics
from spillway_dev.upstreams.engine import BatchEngine

SERVED_BY = "x-served-by"
FINISH_SECONDS = 120.0
LAST_WORDS_SECONDS = 10.0
DEFAULT_MAX_TOKENS = 1
METRICS_TYPE = "text/plain; version=0.0.4"


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How an upstream answers; it can change while it runs.

    Attributes:
        token_seconds: pause before each token.
        limit: requests in flight above which it refuses; None for no limit.
        refuse_status: the answer to a refused request, 429 or 503.
        fail_status: the answer to every request; None to serve.
        prompt_tokens: input tokens that it tells of each request.
        cached_tokens: how many of these it says were cached.
    """

    token_seconds: float = 0.0
    limit: int | None = None
    refuse_status: int = 503
    fail_status: int | None = None
    prompt_tokens: int = 1
    cached_tokens: int = 0

    def changed(self, changes: dict[str, Any]) -> Behaviour:
        """A copy with these fields; raises ValueError for an unknown one."""
        known = {field.name for field in fields(self)}
        if unknown := sorted(set(changes) - known):
            raise ValueError(f"no setting {', '.join(unknown)}; there are {', '.join(sorted(known))}")
        return replace(self, **changes)


@dataclass(slots=True)
class Counters:
    """What happened since the start. `in_flight` is now; the others only grow, or hold the highest seen."""

    received: int = 0
    served: int = 0
    refused: int = 0
    failed: int = 0
    broken: int = 0
    """Clients that went away before the end."""
    in_flight: int = 0
    most_in_flight: int = 0


class UpstreamServer:
    """The application. `name` is told in the response header `x-served-by`.

    Args:
        name: of this upstream.
        behaviour: how it answers; without an engine also how fast.
        engine: what makes its tokens and its metrics, if one does.
        egress: what counts its answers as an egress proxy does, if it plays one.
    """

    def __init__(
        self,
        name: str,
        behaviour: Behaviour,
        engine: BatchEngine | None = None,
        egress: EgressMetrics | None = None,
    ) -> None:
        self.name = name
        self.behaviour = behaviour
        self.engine = engine
        self.egress = egress
        self.counters = Counters()
        self.stopping = False
        self._idle = asyncio.Event()
        self._idle.set()
        self.requests: list[dict[str, Any]] = []

    async def run(self, host: str, port: int) -> None:
        """Serve until SIGTERM or SIGINT, then finish what is in flight. Raises OSError where the port is taken."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        runner = web.AppRunner(self.application(), access_log=None, shutdown_timeout=LAST_WORDS_SECONDS)
        await runner.setup()
        iterating = asyncio.create_task(self.engine.run()) if self.engine is not None else None
        try:
            await web.TCPSite(runner, host, port, backlog=1024).start()
            await stop.wait()
            await self._drain()
        finally:
            await runner.cleanup()
            if iterating is not None:
                iterating.cancel()
            print(json.dumps(asdict(self.counters)), flush=True)

    async def _drain(self) -> None:
        self.stopping = True
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), FINISH_SECONDS)

    def application(self) -> web.Application:
        """The routes."""
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_get("/healthz", self._health)
        if self.engine is not None or self.egress is not None:
            app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/counters", self._show)
        app.router.add_get("/requests", self._last_requests)
        app.router.add_post("/behaviour", self._change)
        return app

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        counters, now = self.counters, self.behaviour
        counters.received += 1
        try:
            body = await request.json()
        except ValueError:
            counters.failed += 1
            return self._error(400, "the body is no JSON")
        self._note(request, body)
        if self.stopping:
            counters.failed += 1
            return self._error(500, "shutting down")
        if now.fail_status is not None:
            counters.failed += 1
            return self._error(now.fail_status, "told to fail")
        if now.limit is not None and counters.in_flight >= now.limit:
            counters.refused += 1
            return self._error(now.refuse_status, "too many requests in flight")
        counters.in_flight += 1
        self._idle.clear()
        counters.most_in_flight = max(counters.most_in_flight, counters.in_flight)
        done = False
        try:
            answer = await (self._stream if body.get("stream") else self._whole)(request, body)
            done = True
            if self.egress is not None:
                self.egress.served(now.prompt_tokens, _tokens(body))
        finally:
            counters.in_flight -= 1
            if not counters.in_flight:
                self._idle.set()
            counters.served += done
            counters.broken += not done
        return answer

    async def _whole(self, _request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        tokens = _tokens(body)
        if self.engine is None:
            await asyncio.sleep(tokens * self.behaviour.token_seconds)
        else:
            async for _ in self._made(tokens):
                pass
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": " ".join(["token"] * tokens)},
            "finish_reason": "length",
        }
        return web.json_response(
            _head(body, "chat.completion") | {"choices": [choice], "usage": self._usage(tokens)},
            headers={SERVED_BY: self.name},
        )

    async def _stream(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"content-type": "text/event-stream", SERVED_BY: self.name})
        await answer.prepare(request)
        tokens, head = _tokens(body), _head(body, "chat.completion.chunk")
        async for _ in self._made(tokens):
            await _event(answer, head | {"choices": [{"index": 0, "delta": {"content": "token "}}]})
        if (body.get("stream_options") or {}).get("include_usage"):
            await _event(answer, head | {"choices": [], "usage": self._usage(tokens)})
        await answer.write(b"data: [DONE]\n\n")
        await answer.write_eof()
        return answer

    async def _made(self, tokens: int) -> AsyncGenerator[None, None]:
        """Tokens as they are made."""
        if self.engine is None:
            for _ in range(tokens):
                await asyncio.sleep(self.behaviour.token_seconds)
                yield
            return
        async with aclosing(self.engine.tokens(self.behaviour.prompt_tokens, tokens)) as made:
            async for _ in made:
                yield

    def _usage(self, tokens: int) -> dict[str, Any]:
        now = self.behaviour
        return {
            "prompt_tokens": now.prompt_tokens,
            "completion_tokens": tokens,
            "total_tokens": tokens + now.prompt_tokens,
            "prompt_tokens_details": {"cached_tokens": now.cached_tokens},
        }

    def _error(self, status: int, message: str) -> web.Response:
        error = {"message": message, "type": "upstream", "code": status}
        return web.json_response({"error": error}, status=status, headers={SERVED_BY: self.name})

    def _note(self, request: web.Request, body: dict[str, Any]) -> None:
        self.requests.append(
            {"model": body.get("model"), "host": request.host, "path": request.path, "headers": dict(request.headers)}
        )
        del self.requests[:-LAST_REQUESTS]

    async def _health(self, _request: web.Request) -> web.Response:
        return web.Response(text=self.name)

    async def _metrics(self, _request: web.Request) -> web.Response:
        parts = [part.exposition() for part in (self.engine, self.egress) if part is not None]
        return web.Response(body=b"".join(parts), headers={"content-type": METRICS_TYPE})

    async def _show(self, _request: web.Request) -> web.Response:
        return web.json_response(asdict(self.counters))

    async def _last_requests(self, _request: web.Request) -> web.Response:
        return web.json_response(self.requests)

    async def _change(self, request: web.Request) -> web.Response:
        try:
            self.behaviour = self.behaviour.changed(await request.json())
        except ValueError as error:
            return self._error(400, str(error))
        return web.json_response(asdict(self.behaviour))


LAST_REQUESTS = 20
"""How many requests are kept for a look at their headers."""


def _tokens(body: dict[str, Any]) -> int:
    wanted = body.get("max_tokens", DEFAULT_MAX_TOKENS)
    return wanted if isinstance(wanted, int) and wanted > 0 else DEFAULT_MAX_TOKENS


def _head(body: dict[str, Any], kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-0", "object": kind, "created": int(time.time()), "model": body.get("model")}


async def _event(answer: web.StreamResponse, content: dict[str, Any]) -> None:
    await answer.write(b"data: " + json.dumps(content).encode() + b"\n\n")
