"""What holds for every question: more takes no fewer GPUs, and no config breaks the reader."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from advise.sizing.builders import gpu, need
from spillway.advise.sizing.config import read_config
from spillway.advise.sizing.errors import SizingError
from spillway.advise.sizing.memory import Precision, Quantization, weights
from spillway.advise.sizing.model import Model
from spillway.advise.sizing.placement import Placement, Refusal, place
from spillway.observe.sizing_data import data, gpu_types, known_models

MODELS = st.sampled_from([model.name for model in known_models()] + ["70B", "3B"])
TYPES = st.sampled_from([each.name for each in gpu_types()])
PRECISIONS = st.sampled_from(["none", "fp8", "8bit", "4bit"])
CONFIGS = [entry["config"] for entry in data("models.json")["models"]]
NAMES = sorted({name for config in CONFIGS for name in config} | {"text_config", "head_dim", "full_attention_interval"})
ODD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=4), st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2), st.integers(1, 10_000_000),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(MODELS, TYPES, PRECISIONS, st.integers(1, 400), st.integers(1, 400), st.sampled_from([(512, 4096), (100, 1000)]))
def test_more_streams_and_longer_contexts_take_no_fewer_gpus(
    model: str, name: str, precision: str, few: int, more: int, contexts: tuple[int, int]
) -> None:
    def gpus(concurrency: int, context: int) -> float:
        found = place(need(model, precision, concurrency, context, tokens_per_second=10), gpu(name))
        return float("inf") if isinstance(found, Refusal) else float(found.gpus.value)

    assert gpus(few, contexts[0]) <= gpus(few + more, contexts[0])
    assert gpus(few, contexts[0]) <= gpus(few, contexts[1])


@settings(max_examples=60, deadline=None)
@given(MODELS, TYPES, PRECISIONS, st.integers(1, 400), st.floats(1, 100))
def test_what_serves_does_what_was_asked_for(
    model: str, name: str, precision: str, concurrency: int, wanted: float
) -> None:
    question = need(model, precision, concurrency, 2048, tokens_per_second=round(wanted, 3))
    found = place(question, gpu(name))
    if not isinstance(found, Placement):
        assert found.reason
        return
    assert found.stream.value >= question.tokens_per_second.value * 999 / 1000
    assert found.gpus.value == found.replicas.value * found.tensor_parallel
    assert weights(question.model, question.precision).value <= found.gpus.value * found.gpu.memory_gb
    low, high = found.gpus.low, found.gpus.high
    assert low is None or low <= found.gpus.value
    assert high is None or high >= found.gpus.value


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(CONFIGS), st.dictionaries(st.sampled_from(NAMES), ODD, max_size=4))
def test_no_config_breaks_the_reader(config: dict[str, Any], changes: dict[str, Any]) -> None:
    try:
        found = read_config(config | changes, "m", "config.json")
    except SizingError as error:
        said = str(error)
        found = None
    if found is None:
        assert said.startswith("config.json: ")
        assert "\n" not in said
        return
    assert isinstance(found, Model)
    assert 0 < found.active <= found.total
    assert weights(found, Precision(Quantization.INT4)).value > 0
    assert found.kv is not None
    assert found.kv.kept(100) >= 0
