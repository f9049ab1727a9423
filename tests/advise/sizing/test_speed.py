"""Iterations by formula and by measured profile."""

from __future__ import annotations

from decimal import Decimal

import pytest

from advise.sizing.builders import gpu, need
from spillway.advise.figures import given
from spillway.advise.sizing.memory import Precision, Quantization
from spillway.advise.sizing.prior import prior, speed
from spillway.advise.sizing.speed import MAX_SEQUENCES
from spillway.observe.sizing_data import find_model, profiles

BF16 = Precision()
SHORT = given("context", 400, "tokens", "test")


@pytest.mark.parametrize(("sequences", "measured_ms"), [(8, 7.3), (256, 26.1)])
def test_an_engine_of_today_is_within_the_band(sequences: int, measured_ms: float) -> None:
    """vLLM, Llama-3.1-8B on one H100, chat."""
    pace = prior(find_model("Llama-3.1-8B"), BF16, gpu("H100"), 1, SHORT)
    assert float(pace.band[0]) < measured_ms / pace.step_ms(sequences) < float(pace.band[1])


def test_more_streams_are_slower_each_and_faster_in_all() -> None:
    pace = prior(find_model("Llama-3.1-8B"), BF16, gpu("H100"), 1, SHORT)
    each = [pace.per_stream(count).value for count in (1, 8, 64)]
    assert each == sorted(each, reverse=True)
    assert each[2] * 64 > each[1] * 8 > each[0]


def test_a_measured_profile_is_preferred_and_named() -> None:
    model = find_model("Llama-3.1-8B")
    found = speed(model, BF16, gpu("H100"), 1, SHORT, profiles())
    assert not found.estimate
    assert "LLM-Inference-Bench" in found.source
    assert found.step_ms(1) == pytest.approx(7.747 + 0.074 + 0.0575 * 0.4)
    assert "measured up to 64" in found.per_stream(65).note
    assert not found.per_stream(64).note


@pytest.mark.parametrize(
    ("model", "quantization", "name", "degree"),
    [
        ("Llama-3.1-8B", Quantization.INT4, "H100", 1),
        ("Llama-3.1-8B", Quantization.NONE, "H200", 1),
        ("Qwen3-8B", Quantization.NONE, "H100", 1),
        ("Llama-3.1-8B", Quantization.NONE, "H100", 8),
        ("8B", Quantization.NONE, "H100", 1),
    ],
)
def test_anything_else_is_an_estimate(model: str, quantization: Quantization, name: str, degree: int) -> None:
    found = speed(find_model(model), Precision(quantization), gpu(name), degree, SHORT, profiles())
    assert found.estimate
    assert "estimate" in found.source


def test_the_largest_batch_is_the_last_that_is_fast_enough() -> None:
    pace = prior(find_model("Llama-3.1-70B"), Precision(Quantization.INT4), gpu("A100"), 1, need().context)
    most = pace.most_sequences(Decimal(30))
    assert pace.per_stream(most).value >= 30 > pace.per_stream(most + 1).value
    assert pace.most_sequences(Decimal(1000)) == 0
    assert pace.most_sequences(Decimal("0.1")) == MAX_SEQUENCES


def test_a_batch_reads_more_experts_than_a_stream() -> None:
    pace = prior(find_model("Mixtral-8x22B"), BF16, gpu("H100"), 8, SHORT)
    dense = prior(find_model("Llama-3.1-70B"), BF16, gpu("H100"), 8, SHORT)
    assert pace.step_ms(1) < dense.step_ms(1)
    assert pace.step_ms(32) > dense.step_ms(32)


def test_eight_bit_multiplies_faster_where_the_gpu_can() -> None:
    model, fp8 = find_model("Llama-3.1-70B"), Precision(Quantization.FP8)
    times = [prior(model, each, gpu(name), 4, SHORT).prompt.value for name in ("H100", "A100") for each in (BF16, fp8)]
    assert times[0] / times[1] == pytest.approx(Decimal(2), abs=Decimal("0.01"))
    assert times[2] == times[3]
