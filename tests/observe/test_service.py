"""Which moments teach what a replica serves."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from spillway.decide.snapshot import ServiceSample
from spillway.observe.counters import EngineHistory
from spillway.observe.metrics import HistoryView
from spillway.observe.service import service_samples
from support.views import NOW, engine_history, grid

N = 24


def samples(kv_size: float | None = 1000, **changes: Sequence[float | None]) -> list[ServiceSample]:
    """Samples of two replicas at 10 requests each, 20 ms a token, with some measures replaced."""
    measures: dict[str, Sequence[float | None]] = {
        "running": [20.0] * N,
        "pods": [2.0] * N,
        "input_tokens": [4000.0] * N,
        "output_tokens": [1000.0] * N,
        "itl_sum": [20.0] * N,
        "itl_count": [1000.0] * N,
        "kv_usage": [0.5] * N,
    }
    history = grid(engine_history("ns", **(measures | changes)))
    rows = EngineHistory(HistoryView(history), "namespace").rows("ns", "Deployment", "vllm")
    return list(service_samples(history, rows, kv_size))


def at(index: int) -> float:
    return NOW - (N - 1 - index) * 15


def test_one_sample_for_each_rate_window_per_replica() -> None:
    found = samples()
    assert [sample.at for sample in found] == [at(n) for n in (4, 8, 12, 16, 20)]
    known = {"decodes_per_second": 500, "computed_prompt_tokens_per_second": 2000, "window_seconds": 60}
    assert found[0] == ServiceSample(at(4), pytest.approx(0.02), 10, 2000, 500, 500, **known)


def test_what_identifies_the_latency_model_comes_along_where_engines_count_it() -> None:
    first, *_ = samples(
        iterations=[80.0] * N,
        cached_tokens=[1000.0] * N,
        busy=[1.0, 2.0] * (N // 2),
        waiting=[0.0] * N,
        ttft_sum=[0.9] * N,
        ttft_count=[3.0] * N,
    )
    assert first.iterations_per_second == 40
    assert first.computed_prompt_tokens_per_second == 1500
    assert first.busy_share == pytest.approx(0.75)
    assert first.time_to_first_token_seconds == pytest.approx(0.3)
    assert first.prompt_tokens_per_first_token == pytest.approx(1000)


def test_first_tokens_behind_a_queue_say_nothing_of_the_model() -> None:
    queued = samples(waiting=[1.0] * N, ttft_sum=[0.9] * N, ttft_count=[3.0] * N)
    assert {sample.time_to_first_token_seconds for sample in queued} == {None}


def test_a_starting_pod_spoils_its_moments() -> None:
    young = [1.0 if 4 <= n < 9 else None for n in range(N)]
    assert min(sample.at for sample in samples(young=young)) == at(9)


def test_a_changing_fleet_spoils_the_rate_window() -> None:
    found = samples(pods=[2.0] * 10 + [3.0] * (N - 10))
    assert not any(at(10) <= sample.at < at(14) for sample in found)
    assert any(sample.at >= at(14) for sample in found)


def test_idle_moments_and_gaps_teach_nothing() -> None:
    assert samples(running=[0.0] * N) == []
    assert samples(itl_count=[0.0] * N, itl_sum=[0.0] * N) == []
    assert samples(output_tokens=[None] * N) == []
    gap: list[float | None] = [20.0] * N
    gap[8] = None
    assert at(8) not in [sample.at for sample in samples(running=gap)]


def test_a_queue_does_not_spoil_them() -> None:
    assert len(samples(waiting=[50.0] * N)) == 5


def test_the_cache_is_unknown_without_its_size() -> None:
    assert {sample.kv_tokens_per_replica for sample in samples(kv_size=None)} == {None}


def test_a_measure_that_is_missing_altogether() -> None:
    history = grid(engine_history("ns", running=[20.0] * N, pods=[2.0] * N))
    rows = EngineHistory(HistoryView(history), "namespace").rows("ns", "Deployment", "vllm")
    assert service_samples(history, rows, None) == ()
    assert service_samples(None, rows, None) == ()


def test_a_leader_worker_sets_groups_are_one_workload() -> None:
    parts = engine_history("ns", workload="llm", running=[1.0]) | engine_history("ns", workload="llm-3", running=[2.0])
    rows = EngineHistory(HistoryView(grid(parts)), "namespace")
    assert len(rows.rows("ns", "LeaderWorkerSet", "llm")) == 2
    assert len(rows.rows("ns", "StatefulSet", "llm")) == 1
    assert rows.rows("ns", "StatefulSet", "llm-4") == []
