"""One inference engine replica, stepped iteration by iteration (the latency model of the backtest).

An iteration decodes one token for every running sequence first; what is left of `max_batched_tokens` goes
first come, first served to prompts, so at most one prompt is partial. With b sequences in the step, k tokens
held in the KV cache once the step is done and p prompt tokens it takes

    alpha + beta*b + gamma*k/1000 + prefill*p/1000   milliseconds.

Arrivals wait for the end of the iteration. Admission reserves input + output tokens of KV cache and one of
`max_sequences`. The first token appears at the end of the iteration that finishes the prompt.

Counting k at the end of the step (with the tokens that the step itself writes) makes a request's service work
at least gamma*O*(I + O/2)/1000 ms, which the cost bound relies on.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ReplicaProfile:
    """What one replica can do: the four latency coefficients (milliseconds) and the engine's limits."""

    alpha_ms: float
    beta_ms_per_sequence: float
    gamma_ms_per_ktoken_kv: float
    prefill_ms_per_ktoken: float
    max_sequences: int = 256
    max_batched_tokens: int = 8192
    kv_cache_tokens: int = 450_000
    max_queued: int | None = None
    """Requests that may wait in the engine before it answers 503; None: no limit."""

    def __post_init__(self) -> None:
        if self.alpha_ms <= 0:
            raise ValueError("alpha_ms must be above 0: an iteration always takes time")
        if self.max_batched_tokens <= self.max_sequences:
            raise ValueError("max_batched_tokens must exceed max_sequences, else prompts could starve")

    def step_ms(self, sequences: int, kv_tokens: float, prompt_tokens: int) -> float:
        """Duration of one iteration in milliseconds."""
        return (
            self.alpha_ms
            + self.beta_ms_per_sequence * sequences
            + self.gamma_ms_per_ktoken_kv * kv_tokens / 1000.0
            + self.prefill_ms_per_ktoken * prompt_tokens / 1000.0
        )


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it arrives: times in seconds on the simulation's clock, lengths in tokens."""

    number: int
    arrival_s: float
    class_name: str
    input_tokens: int
    output_tokens: int
    priority: int = 0
    """Lower goes first in a replica's queue; first come, first served inside."""


@dataclass(frozen=True, slots=True)
class Completion:
    """A request that a replica has finished; every time in seconds on the simulation's clock."""

    request: Request
    admitted_s: float
    first_token_s: float
    end_s: float

    @property
    def ttft_s(self) -> float:
        """Time to first token in seconds, from the request's arrival."""
        return self.first_token_s - self.request.arrival_s

    @property
    def itl_s(self) -> float | None:
        """Mean inter-token latency in seconds; None where there was one token only."""
        if self.request.output_tokens <= 1:
            return None
        return (self.end_s - self.first_token_s) / (self.request.output_tokens - 1)


class Admission(Enum):
    """A replica's answer to a request."""

    ACCEPTED = "accepted"
    QUEUE_FULL = "queue_full"
    TOO_LONG = "too_long"


class StepObserver(Protocol):
    """Told of what an engine would count, at the moment that it would count it."""

    def step(self, duration_s: float, decodes: int, prompt_tokens: int, repeat: int) -> None:
        """`repeat` alike iterations have ended, each with `decodes` sequences that got one more token."""

    def first_token(self, request: Request, ttft_s: float) -> None:
        """A prompt is done and its first token is out."""


@dataclass(slots=True)
class _Sequence:
    request: Request
    prompt_left: int
    admitted_s: float = 0.0
    first_token_s: float = 0.0


class Replica:
    """A replica's queue, batch and clock. Call `advance(t)` before `submit(..., t)`; t never goes back."""

    def __init__(self, profile: ReplicaProfile, now_s: float = 0.0, observer: StepObserver | None = None):
        self.profile = profile
        self.completions: list[Completion] = []
        """Finished requests since somebody last took them (see `take_completions`)."""
        self._observer = observer
        self._clock_s = now_s
        self._busy_s = 0.0
        self._in_flight = 0
        self._waiting: dict[int, deque[_Sequence]] = {}
        self._waiting_count = 0
        self._partial: _Sequence | None = None
        self._decoding = 0
        self._finishing: list[tuple[int, int, _Sequence]] = []
        self._steps = 0
        self._held_tokens = 0
        self._reserved_tokens = 0
        self._step_end_s: float | None = None
        self._step_prompts: list[_Sequence] = []
        self._step_prompt_tokens = 0

    @property
    def running(self) -> int:
        """Sequences admitted to the batch."""
        return self._in_flight - self._waiting_count

    @property
    def waiting(self) -> int:
        """Requests that wait for admission."""
        return self._waiting_count

    @property
    def in_flight(self) -> int:
        """Requests that are here and not finished."""
        return self._in_flight

    @property
    def kv_usage(self) -> float:
        """Share of the KV cache that is reserved, 0 to 1."""
        return self._reserved_tokens / self.profile.kv_cache_tokens

    def submit(self, request: Request, now_s: float) -> Admission:
        """Queue a request at `now_s`, or say why not."""
        profile = self.profile
        if request.input_tokens + request.output_tokens > profile.kv_cache_tokens:
            return Admission.TOO_LONG
        if profile.max_queued is not None and self._waiting_count >= profile.max_queued:
            return Admission.QUEUE_FULL
        if self._step_end_s is None and not self._has_work():
            self._clock_s = now_s
        queue = self._waiting.setdefault(request.priority, deque())
        queue.append(_Sequence(request, request.input_tokens))
        self._waiting_count += 1
        self._in_flight += 1
        return Admission.ACCEPTED

    def advance(self, to_s: float) -> None:
        """Run every iteration that ends by `to_s`; one that is under way stays under way."""
        while True:
            if self._step_end_s is None:
                if self._clock_s >= to_s or not self._has_work():
                    return
                if self._next_prompt() is None and self._leap(to_s):
                    continue
                self._begin_step()
            if self._step_end_s is None or self._step_end_s > to_s:
                return
            self._end_step(self._step_end_s)

    def busy_s(self, now_s: float) -> float:
        """Seconds spent inside iterations up to `now_s`, to which the replica has been advanced."""
        under_way = now_s - self._clock_s if self._step_end_s is not None else 0.0
        return self._busy_s + max(0.0, under_way)

    def take_completions(self) -> list[Completion]:
        """The requests that finished since the last call."""
        done, self.completions = self.completions, []
        return done

    def _has_work(self) -> bool:
        return self._decoding > 0 or self._partial is not None or self._waiting_count > 0

    def _next_prompt(self) -> _Sequence | None:
        """The prompt that the next iteration would work on: the partial one, else the queue's admissible head."""
        if self._partial is not None:
            return self._partial
        if not self._waiting_count or self._decoding >= self.profile.max_sequences:
            return None
        head = self._head()
        return head if self._fits(head) else None

    def _head(self) -> _Sequence:
        return self._waiting[min(p for p, queue in self._waiting.items() if queue)][0]

    def _fits(self, sequence: _Sequence) -> bool:
        need = sequence.request.input_tokens + sequence.request.output_tokens
        return self._reserved_tokens + need <= self.profile.kv_cache_tokens

    def _admit_head(self) -> _Sequence:
        sequence = self._head()
        self._waiting[sequence.request.priority].popleft()
        self._waiting_count -= 1
        self._reserved_tokens += sequence.request.input_tokens + sequence.request.output_tokens
        sequence.admitted_s = self._clock_s
        return sequence

    def _begin_step(self) -> None:
        profile = self.profile
        prompts, tokens = self._fill_prompts(profile.max_batched_tokens - self._decoding)
        finished = sum(1 for sequence in prompts if sequence.prompt_left == 0)
        self._held_tokens += self._decoding + tokens + finished
        duration_ms = profile.step_ms(self._decoding + len(prompts), self._held_tokens, tokens)
        self._step_prompts, self._step_prompt_tokens = prompts, tokens
        self._step_end_s = self._clock_s + duration_ms / 1000.0

    def _fill_prompts(self, budget: int) -> tuple[list[_Sequence], int]:
        """Share the token budget among prompts, oldest first: those that got a chunk, and all their tokens."""
        prompts: list[_Sequence] = []
        tokens = 0
        while budget > 0:
            sequence, self._partial = self._partial, None
            if sequence is None:
                slots = self.profile.max_sequences - self._decoding - len(prompts)
                if not self._waiting_count or slots <= 0 or not self._fits(self._head()):
                    break
                sequence = self._admit_head()
            chunk = min(budget, sequence.prompt_left)
            sequence.prompt_left -= chunk
            budget -= chunk
            tokens += chunk
            prompts.append(sequence)
            if sequence.prompt_left > 0:
                self._partial = sequence
        return prompts, tokens

    def _end_step(self, end_s: float) -> None:
        duration_s = end_s - self._clock_s
        self._busy_s += duration_s
        if self._observer is not None:
            self._observer.step(duration_s, self._decoding, self._step_prompt_tokens, 1)
        self._steps += 1
        self._clock_s = end_s
        self._step_end_s = None
        prompts, self._step_prompts = self._step_prompts, []
        self._pop_finished(end_s)
        for sequence in prompts:
            if sequence.prompt_left == 0:
                self._first_token(sequence, end_s)

    def _first_token(self, sequence: _Sequence, now_s: float) -> None:
        sequence.first_token_s = now_s
        request = sequence.request
        if self._observer is not None:
            self._observer.first_token(request, now_s - request.arrival_s)
        if request.output_tokens <= 1:
            self._finish(sequence, now_s)
            return
        self._decoding += 1
        last_step = self._steps + request.output_tokens - 1
        heapq.heappush(self._finishing, (last_step, request.number, sequence))

    def _pop_finished(self, now_s: float) -> None:
        while self._finishing and self._finishing[0][0] <= self._steps:
            sequence = heapq.heappop(self._finishing)[2]
            self._decoding -= 1
            self._finish(sequence, now_s)

    def _finish(self, sequence: _Sequence, now_s: float) -> None:
        request = sequence.request
        tokens = request.input_tokens + request.output_tokens
        self._held_tokens -= tokens
        self._reserved_tokens -= tokens
        self._in_flight -= 1
        self.completions.append(Completion(request, sequence.admitted_s, sequence.first_token_s, now_s))

    def _leap(self, to_s: float) -> bool:
        """Run alike decode-only iterations in closed form: until one finishes a sequence, or `to_s`.

        The i-th of them takes first + slope*i ms, since each sequence adds one KV token a step.
        """
        profile, sequences = self.profile, self._decoding
        first_ms = profile.step_ms(sequences, self._held_tokens, 0)
        slope_ms = profile.gamma_ms_per_ktoken_kv * sequences / 1000.0
        left = self._finishing[0][0] - self._steps
        steps = min(left, _steps_within((to_s - self._clock_s) * 1000.0, first_ms, slope_ms))
        if steps < 2:
            return False
        duration_s = (first_ms * steps + slope_ms * steps * (steps + 1) / 2.0) / 1000.0
        self._steps += steps
        self._clock_s += duration_s
        self._busy_s += duration_s
        self._held_tokens += sequences * steps
        if self._observer is not None:
            self._observer.step(duration_s / steps, sequences, 0, steps)
        self._pop_finished(self._clock_s)
        return True


def _steps_within(budget_ms: float, first_ms: float, slope_ms: float) -> int:
    """The most iterations n with first*n + slope*n*(n+1)/2 <= budget (milliseconds)."""
    if budget_ms < first_ms + slope_ms:
        return 0
    if slope_ms <= 0:
        return int(budget_ms / first_ms)
    linear = first_ms + slope_ms / 2.0
    # The stable form of the quadratic's root: no cancellation for a small slope.
    return int(2.0 * budget_ms / (linear + math.sqrt(linear * linear + 2.0 * slope_ms * budget_ms)))
