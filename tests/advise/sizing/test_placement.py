"""Memory, tensor parallelism and counts of GPUs."""

from __future__ import annotations

from decimal import Decimal

import pytest

from advise.sizing.builders import A100, gpu, need
from spillway.advise.figures import given, traced
from spillway.advise.sizing.errors import SizingError
from spillway.advise.sizing.memory import (
    Precision,
    Quantization,
    kv_per_sequence,
    kv_per_token,
    loaded_gb,
    room,
    weights,
)
from spillway.advise.sizing.placement import Placement, Refusal, degrees, place
from spillway.observe.sizing_data import find_model

CONTEXT = given("context", 8192, "tokens", "test")


@pytest.mark.parametrize(
    ("model", "bytes_"),
    [("Llama-3.1-8B", 131_072), ("Llama-3.1-70B", 327_680), ("Qwen2.5-7B", 57_344), ("DeepSeek-V3", 70_272)],
)
def test_kv_cache_of_a_token(model: str, bytes_: int) -> None:
    found = kv_per_token(find_model(model), Precision())
    assert found is not None
    assert found.value == bytes_


def test_an_fp8_cache_takes_half() -> None:
    model = find_model("Llama-3.1-70B")
    full = kv_per_sequence(model, Precision(), CONTEXT).value
    assert kv_per_sequence(model, Precision(kv_bytes=1), CONTEXT).value * 2 == full == Decimal("2.68435456")


def test_windows_are_counted_as_windows() -> None:
    found = kv_per_sequence(find_model("gpt-oss-120b"), Precision(), CONTEXT)
    assert found.value == Decimal((18 * 8192 + 18 * 128) * 8 * 128 * 2) / 10**9
    assert "18 of 36 layers keep 128 tokens only" in found.formula


@pytest.mark.parametrize(
    ("model", "quantization", "gigabytes"),
    [
        ("Llama-3.1-8B", "none", 16.06),
        ("Llama-3.1-8B", "8bit", 8.03),
        ("gpt-oss-120b", "none", 65.3),  # the published checkpoint: 60.8 GiB
        ("DeepSeek-V3", "none", 671.0),
    ],
)
def test_weights(model: str, quantization: str, gigabytes: float) -> None:
    found = weights(find_model(model), Precision(Quantization(quantization)))
    assert float(found.value) == pytest.approx(gigabytes, rel=0.003)


def test_quantized_weights_keep_their_embeddings_and_scales() -> None:
    model, precision = find_model("Llama-3.1-70B"), Precision(Quantization.INT4)
    assert loaded_gb(model, precision) == pytest.approx(Decimal("39.8"), abs=Decimal("0.1"))
    assert weights(model, precision).high == loaded_gb(model, precision)


def test_room_is_what_the_engine_leaves() -> None:
    model = find_model("Llama-3.1-8B")
    found = room(model, Precision(), A100, 1, CONTEXT)
    assert found.left.value == 80 * Decimal("0.9") - loaded_gb(model, Precision()) - 2
    assert found.sequences == int(found.left.value / Decimal("1.073741824"))
    assert room(model, Precision(), A100, 2, CONTEXT).sequence.value * 2 == found.sequence.value


def test_heads_decide_the_degrees() -> None:
    assert degrees(find_model("Llama-3.1-70B"), None) == [1, 2, 4, 8]
    assert degrees(find_model("Qwen2.5-7B"), None) == [1, 2, 4]
    assert degrees(find_model("70B"), None) == [1, 2, 4, 8]
    assert degrees(find_model("Llama-3.1-70B"), 16) == [16]
    with pytest.raises(SizingError, match=r"--tensor-parallel 3: Qwen2.5-7B has 28 attention heads.*: 1, 2, 4$"):
        degrees(find_model("Qwen2.5-7B"), 3)


def served(**changes: object) -> Placement:
    found = place(need(**changes), changes.get("gpu", A100))  # type: ignore[arg-type]
    assert isinstance(found, Placement)
    return found


def test_a_large_model_is_spread() -> None:
    found = place(need("Llama-3.1-405B", "fp8"), gpu("H100"))
    assert isinstance(found, Placement)
    assert (found.tensor_parallel, found.gpus.value % 8) == (8, 0)


def test_spare_replicas_are_added() -> None:
    assert served(spare=1, tensor_parallel=1).gpus.value == served(tensor_parallel=1).gpus.value + 1


def test_concurrency_is_bound_by_memory_where_speed_is_not_asked_for() -> None:
    found = served(concurrency=100, tokens_per_second=1, tensor_parallel=1)
    assert found.limit == "KV cache"
    assert found.replicas.value == -(-100 // room(need().model, need().precision, A100, 1, CONTEXT).sequences)
    assert served(concurrency=100, tensor_parallel=1).limit == "speed"


def test_streams_get_what_was_asked_for() -> None:
    for concurrency in (1, 7, 50, 400):
        found = served(concurrency=concurrency)
        assert found.stream.value >= 30
        assert found.total.value == found.stream.value * concurrency


def test_the_band_of_gpus_follows_from_the_speeds() -> None:
    found = served(concurrency=10)
    assert found.gpus.low is not None
    assert found.gpus.high is not None
    assert found.gpus.low <= found.gpus.value <= found.gpus.high


def test_where_the_slow_end_reaches_nothing_it_is_said() -> None:
    found = served(tensor_parallel=1)
    assert found.gpus.high is None
    assert "at the slow end" in found.gpus.note


@pytest.mark.parametrize(
    ("question", "machine", "reason", "fits"),
    [
        ({"model": "Llama-3.1-405B", "quantization": "none"}, "A100", "the weights don't fit 8 GPUs", False),
        ({"model": "Llama-3.1-8B", "context": 131072, "tensor_parallel": 1}, "L4", "the KV cache of one stream", False),
        ({"tokens_per_second": 500}, "A100", "one stream gets", True),
    ],
)
def test_what_does_not_serve_says_why(question: dict[str, object], machine: str, reason: str, fits: bool) -> None:
    found = place(need(**question), gpu(machine))  # type: ignore[arg-type]
    assert isinstance(found, Refusal)
    assert found.reason.startswith(reason)
    assert found.fits is fits


def test_every_figure_leads_to_sources() -> None:
    found = served()
    for figure in (found.gpus, found.stream, found.total, found.first_token):
        for _, each in traced(figure):
            assert each.source or each.formula, each.name
            assert bool(each.inputs) == bool(each.formula), each.name
