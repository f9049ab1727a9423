"""A config.json becomes a model: parameters as published, the KV cache's shape, and what isn't a config is refused."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from spillway.advise.sizing.config import read_config
from spillway.advise.sizing.errors import SizingError
from spillway.advise.sizing.model import KvShape

LLAMA: dict[str, Any] = {
    "num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32, "num_key_value_heads": 8,
    "intermediate_size": 14336, "vocab_size": 128256, "max_position_embeddings": 131072, "torch_dtype": "bfloat16",
}  # fmt: skip


def read(**changes: Any) -> Any:
    document = {name: value for name, value in (LLAMA | changes).items() if value is not ...}
    return read_config(document, "m", "config.json")


def test_a_dense_model() -> None:
    model = read()
    assert model.total == pytest.approx(8.03e9, rel=0.001)
    assert model.kv == KvShape(32, 0, 0, 8, 256)
    assert (model.stored_bits, model.max_context, model.notes) == (16, 131072, ())
    assert model.active == model.total - 128256 * 4096


def test_tied_embeddings_count_once() -> None:
    assert read().total - read(tie_word_embeddings=True).total == 128256 * 4096


def test_without_key_value_heads_every_head_has_its_own() -> None:
    assert read(num_key_value_heads=...).kv.heads == 32
    assert read(num_key_value_heads=..., multi_query=True).kv.heads == 1


def test_the_head_size_may_be_stated() -> None:
    assert read(head_dim=64).kv.values_per_head == 128


def test_two_matrices_where_the_feed_forward_is_not_gated() -> None:
    assert read().total - read(model_type="opt").total == 32 * 4096 * 14336


@pytest.mark.parametrize(
    ("changes", "full", "windowed", "window"),
    [
        ({"sliding_window": 4096}, 0, 32, 4096),
        ({"sliding_window": 4096, "use_sliding_window": False}, 32, 0, 0),
        ({"sliding_window": None}, 32, 0, 0),
        ({"sliding_window": 4096, "sliding_window_pattern": 4}, 8, 24, 4096),
        ({"sliding_window": 4096, "model_type": "gemma2"}, 16, 16, 4096),
        ({"sliding_window": 128, "layer_types": ["sliding_attention", "full_attention"] * 16}, 16, 16, 128),
        ({"attention_chunk_size": 64, "layer_types": ["chunked_attention"] * 24 + ["full_attention"] * 8}, 8, 24, 64),
        ({"layer_types": ["linear_attention"] * 24 + ["full_attention"] * 8}, 8, 0, 0),
        ({"full_attention_interval": 4}, 8, 0, 0),
    ],
)  # fmt: skip
def test_layers_that_keep_a_window_or_nothing(changes: dict[str, Any], full: int, windowed: int, window: int) -> None:
    kv = read(**changes).kv
    assert (kv.full_layers, kv.window_layers, kv.window) == (full, windowed, window)


def test_a_window_bounds_what_is_kept() -> None:
    kv = read(sliding_window=128, layer_types=["sliding_attention", "full_attention"] * 16).kv
    assert kv.kept(100) == 32 * 100
    assert kv.kept(1000) == 16 * 1000 + 16 * 128


def test_experts() -> None:
    model = read(num_local_experts=8, num_experts_per_tok=2)
    assert model.expert_parameters == 32 * 8 * 3 * 4096 * 14336
    assert (model.experts, model.active_experts) == (8, 2)
    assert model.total - model.active == model.expert_parameters * 6 // 8 + 128256 * 4096
    assert model.touched_share_of_experts(1) == 0.25
    assert model.touched_share_of_experts(64) == pytest.approx(1, abs=1e-6)


def test_first_layers_and_shared_experts_are_dense() -> None:
    moe = {"n_routed_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 1024}
    plain, dense = read(**moe), read(**moe, first_k_dense_replace=2)
    assert plain.expert_parameters - dense.expert_parameters == 2 * 8 * 3 * 4096 * 1024
    shared = read(**moe, n_shared_experts=1)
    assert shared.total - plain.total == 32 * 3 * 4096 * 1024


def test_a_latent_cache_is_one_vector_on_every_gpu() -> None:
    model = read(kv_lora_rank=512, qk_rope_head_dim=64, qk_nope_head_dim=128, v_head_dim=128, q_lora_rank=1536)
    assert model.kv == KvShape(32, 0, 0, 1, 576, latent=True)
    assert model.kv.heads_on_gpu(8) == 1
    assert read().kv.heads_on_gpu(8) == 1
    assert read().kv.heads_on_gpu(2) == 4


@pytest.mark.parametrize(
    ("quantization", "bits", "stored"),
    [
        ({"quant_method": "fp8"}, "8", "fp8"),
        ({"quant_method": "mxfp4"}, "4.25", "mxfp4"),
        ({"quant_method": "awq", "bits": 4}, "4", "awq, 4 bit"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "4", "bitsandbytes, 4 bit"),
    ],
)
def test_published_precision(quantization: dict[str, Any], bits: str, stored: str) -> None:
    model = read(quantization_config=quantization)
    assert (model.stored_bits, model.stored) == (Decimal(bits), stored)


def test_what_is_not_understood_is_said() -> None:
    assert "of unknown kind" in read(quantization_config={}).notes[0]
    assert "doesn't say the weights' type" in read(torch_dtype=...).notes[0]
    assert "multimodal" in read_config({"text_config": LLAMA}, "m", "config.json").notes[0]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"num_hidden_layers": ...}, "not the config.json of a language model: num_hidden_layers is missing"),
        ({"vocab_size": ...}, "vocab_size is missing"),
        ({"hidden_size": -1}, "hidden_size must be a whole number above 0; it is -1"),
        ({"hidden_size": "4096"}, "hidden_size must be a whole number above 0; it is '4096'"),
        ({"num_attention_heads": True}, "num_attention_heads must be a whole number"),
        ({"num_attention_heads": 33}, "hidden_size 4096 is no multiple of num_attention_heads 33"),
        ({"num_key_value_heads": 64}, "num_key_value_heads 64 is above num_attention_heads 32"),
        ({"num_experts": 8}, "num_experts_per_tok is missing"),
        ({"num_experts": 8, "num_experts_per_tok": 9}, "num_experts_per_tok 9 is above the number of experts, 8"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(SizingError, match=r"^config\.json: ") as error:
        read(**changes)
    assert said in str(error.value)


@pytest.mark.parametrize("document", [[], "text", None, 3])
def test_what_is_no_object_is_no_config(document: Any) -> None:
    with pytest.raises(SizingError, match="no JSON object"):
        read_config(document, "m", "config.json")
