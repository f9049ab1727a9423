"""The replica's closed-form leaps and lazy steps give what a plain, literal stepping of the page gives."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import pytest

from spillway.simulate.replica import Admission, Completion, Replica, ReplicaProfile, Request

PROFILE = ReplicaProfile(
    alpha_ms=12,
    beta_ms_per_sequence=0.2,
    gamma_ms_per_ktoken_kv=0.05,
    prefill_ms_per_ktoken=40,
    max_sequences=6,
    max_batched_tokens=512,
    kv_cache_tokens=6000,
)


@dataclass
class Plain:
    """One sequence of the literal stepping."""

    request: Request
    done_prompt: int = 0
    generated: int = 0
    first_s: float = 0.0


def literal(profile: ReplicaProfile, requests: list[Request]) -> dict[int, tuple[float, float]]:
    """Every iteration on its own, every sequence looked at: first token and end by request number."""
    arrivals, queue, running = deque(requests), deque[Plain](), list[Plain]()
    now, out = 0.0, {}
    while arrivals or queue or running:
        if not queue and not running:
            now = max(now, arrivals[0].arrival_s)
        while arrivals and arrivals[0].arrival_s <= now:
            queue.append(Plain(arrivals.popleft()))
        decodes = [s for s in running if s.generated > 0]
        budget = profile.max_batched_tokens - len(decodes)
        chunks: list[tuple[Plain, int]] = []
        for s in [s for s in running if s.generated == 0]:
            chunks.append((s, min(budget, s.request.input_tokens - s.done_prompt)))
            budget -= chunks[-1][1]
        while queue and budget > 0 and len(running) < profile.max_sequences:
            reserved = sum(s.request.input_tokens + s.request.output_tokens for s in running)
            need = queue[0].request.input_tokens + queue[0].request.output_tokens
            if reserved + need > profile.kv_cache_tokens:
                break
            s = queue.popleft()
            running.append(s)
            chunks.append((s, min(budget, s.request.input_tokens)))
            budget -= chunks[-1][1]
        for s in decodes:
            s.generated += 1
        for s, chunk in chunks:
            s.done_prompt += chunk
            s.generated += s.done_prompt == s.request.input_tokens
        held = sum(s.done_prompt + s.generated for s in running)
        prompt = sum(chunk for _, chunk in chunks)
        now += profile.step_ms(len(decodes) + len(chunks), held, prompt) / 1000
        for s, _ in chunks:
            if s.generated == 1:
                s.first_s = now
        for s in [s for s in running if s.generated >= s.request.output_tokens]:
            out[s.request.number] = (s.first_s, now)
            running.remove(s)
    return out


def served(profile: ReplicaProfile, requests: list[Request], tick_s: float | None = None) -> list[Completion]:
    replica = Replica(profile)
    clock = 0.0
    for request in requests:
        while tick_s is not None and clock + tick_s < request.arrival_s:
            clock += tick_s
            replica.advance(clock)
        replica.advance(request.arrival_s)
        assert replica.submit(request, request.arrival_s) is Admission.ACCEPTED
    replica.advance(1e9)
    assert replica.in_flight == replica.running == replica.waiting == 0
    assert replica.kv_usage == 0
    return replica.take_completions()


def draw(seed: int, count: int, per_second: float) -> list[Request]:
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.exponential(1 / per_second, count)).tolist()
    return [Request(i, t, "c", int(rng.integers(1, 1200)), int(rng.integers(1, 90))) for i, t in enumerate(times)]


@pytest.mark.parametrize("per_second", [0.3, 3.0, 8.0, 40.0])
@pytest.mark.parametrize("tick_s", [None, 0.02])
def test_equals_the_literal_stepping(per_second: float, tick_s: float | None) -> None:
    requests = draw(7, 150, per_second)
    expected = literal(PROFILE, requests)
    for done in served(PROFILE, requests, tick_s):
        first_s, end_s = expected.pop(done.request.number)
        assert done.first_token_s == pytest.approx(first_s, abs=1e-6)
        assert done.end_s == pytest.approx(end_s, abs=1e-6)
    assert not expected


def test_one_request_by_hand() -> None:
    """600 prompt tokens in chunks of 512 and 88, then two decodes of one sequence."""
    (done,) = served(PROFILE, [Request(0, 10.0, "c", 600, 3)])
    first = 12 + 0.2 + 0.05 * 0.512 + 40 * 0.512
    second = 12 + 0.2 + 0.05 * 0.601 + 40 * 0.088
    decodes = 2 * (12 + 0.2) + 0.05 * (0.602 + 0.603)
    assert done.ttft_s == pytest.approx((first + second) / 1000)
    assert done.itl_s == pytest.approx(decodes / 2 / 1000)


def test_a_single_token_has_no_inter_token_latency() -> None:
    (done,) = served(PROFILE, [Request(0, 0.0, "c", 10, 1)])
    assert done.itl_s is None
    assert done.end_s == done.first_token_s


def test_lower_priority_number_is_admitted_first() -> None:
    replica = Replica(PROFILE)
    requests = [Request(0, 0.0, "late", 500, 50, priority=2), Request(1, 0.0, "late", 500, 2, priority=2)]
    requests.append(Request(2, 0.0, "soon", 500, 2, priority=0))
    for request in requests:
        replica.submit(request, 0.0)
    replica.advance(60)
    firsts = {done.request.number: done.first_token_s for done in replica.take_completions()}
    assert firsts[2] < firsts[0] < firsts[1]


def test_a_full_queue_and_a_request_that_never_fits_are_refused() -> None:
    profile = ReplicaProfile(12, 0.2, 0.05, 40, max_sequences=1, kv_cache_tokens=1000, max_queued=1)
    replica = Replica(profile)
    assert replica.submit(Request(0, 0.0, "c", 900, 101), 0.0) is Admission.TOO_LONG
    assert replica.submit(Request(1, 0.0, "c", 10, 5), 0.0) is Admission.ACCEPTED
    assert replica.submit(Request(2, 0.0, "c", 10, 5), 0.0) is Admission.QUEUE_FULL
    replica.advance(0.001)
    assert replica.submit(Request(3, 0.001, "c", 10, 5), 0.001) is Admission.ACCEPTED


def test_busy_time_is_the_time_inside_iterations() -> None:
    replica = Replica(PROFILE)
    replica.submit(Request(0, 0.0, "c", 600, 3), 0.0)
    replica.advance(0.005)
    assert replica.busy_s(0.005) == pytest.approx(0.005)
    replica.advance(30.0)
    (done,) = replica.take_completions()
    assert replica.busy_s(30.0) == pytest.approx(done.end_s)


def test_service_work_is_never_below_the_bound_of_one_request() -> None:
    for request in draw(3, 60, 5.0):
        replica = Replica(PROFILE)
        replica.submit(request, request.arrival_s)
        replica.advance(1e9)
        tokens_in, tokens_out = request.input_tokens, request.output_tokens
        bound_ms = (
            PROFILE.beta_ms_per_sequence * tokens_out
            + PROFILE.gamma_ms_per_ktoken_kv * tokens_out * (tokens_in + tokens_out / 2) / 1000
            + PROFILE.prefill_ms_per_ktoken * tokens_in / 1000
        )
        assert replica.busy_s(1e9) * 1000 >= bound_ms


def test_a_profile_that_would_starve_prompts_is_refused() -> None:
    with pytest.raises(ValueError, match="max_batched_tokens must exceed max_sequences"):
        ReplicaProfile(12, 0.2, 0.05, 40, max_sequences=512, max_batched_tokens=512)
