"""An inference engine in real time, without a model: one iteration after another, as long as anything runs.

Its iterations take what the latency model of the backtest says, its requests wait for one of `max_sequences`, and what
it counts is what vLLM counts.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from spillway.simulate.replica import Completion, ReplicaProfile, Request
from spillway_dev.fleet.engine_metrics import EngineMetrics
from spillway_dev.fleet.histogram import exposition


@dataclass(slots=True, eq=False)
class _Sequence:
    request: Request
    tokens: asyncio.Queue[None] = field(default_factory=asyncio.Queue)
    made: int = 0
    admitted_s: float = 0.0
    first_token_s: float = 0.0


class BatchEngine:
    """Answers many requests at once by continuous batching. `run` is its loop."""

    def __init__(self, profile: ReplicaProfile, metrics: EngineMetrics) -> None:
        self._profile = profile
        self._metrics = metrics
        self._waiting: deque[_Sequence] = deque()
        self._running: list[_Sequence] = []
        self._numbers = itertools.count()
        self._asked = asyncio.Event()

    @property
    def profile(self) -> ReplicaProfile:
        """What it can do."""
        return self._profile

    @property
    def running(self) -> int:
        """Requests in the batch."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Requests before it."""
        return len(self._waiting)

    @property
    def kv_usage(self) -> float:
        """Share of the KV cache in use, 0 to 1."""
        return self._kv_tokens() / self._profile.kv_cache_tokens

    def exposition(self) -> bytes:
        """Its /metrics."""
        return exposition(self._metrics.families(self)).encode()

    async def tokens(self, input_tokens: int, output_tokens: int) -> AsyncGenerator[None, None]:
        """A request's tokens as they are made; leaving early takes it out of the batch."""
        request = Request(next(self._numbers), time.monotonic(), "", input_tokens, output_tokens)
        sequence = _Sequence(request)
        self._waiting.append(sequence)
        self._asked.set()
        try:
            for _ in range(output_tokens):
                await sequence.tokens.get()
                yield
        finally:
            if sequence.made < output_tokens:
                self._drop(sequence)

    async def run(self) -> None:
        """Iterate until cancelled."""
        while True:
            if not self._running and not self._waiting:
                self._asked.clear()
                await self._asked.wait()
            await self._iterate()

    async def _iterate(self) -> None:
        began = time.monotonic()
        admitted = self._admit(began)
        prompt_tokens = sum(sequence.request.input_tokens for sequence in admitted)
        step_ms = self._profile.step_ms(len(self._running), self._kv_tokens(), prompt_tokens)
        await asyncio.sleep(step_ms / 1000)
        now = time.monotonic()
        decodes = sum(sequence.made > 0 for sequence in self._running)
        self._metrics.step(now - began, decodes, prompt_tokens, 1)
        for sequence in list(self._running):
            self._advance(sequence, now)

    def _admit(self, now: float) -> list[_Sequence]:
        admitted = []
        while self._waiting and len(self._running) < self._profile.max_sequences:
            sequence = self._waiting.popleft()
            sequence.admitted_s = now
            self._running.append(sequence)
            admitted.append(sequence)
        return admitted

    def _advance(self, sequence: _Sequence, now: float) -> None:
        sequence.made += 1
        if sequence.made == 1:
            sequence.first_token_s = now
            self._metrics.first_token(sequence.request, now - sequence.request.arrival_s)
        if sequence.made == sequence.request.output_tokens:
            self._running.remove(sequence)
            self._metrics.completed(
                Completion(sequence.request, sequence.admitted_s, sequence.first_token_s, end_s=now)
            )
        sequence.tokens.put_nowait(None)

    def _drop(self, sequence: _Sequence) -> None:
        for queue in (self._waiting, self._running):
            if sequence in queue:
                queue.remove(sequence)

    def _kv_tokens(self) -> int:
        return sum(sequence.request.input_tokens + sequence.made for sequence in self._running)
