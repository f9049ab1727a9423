"""Reads a Hugging Face ``config.json`` (as a mapping) into a `Model`. Counts what it names; says what it can't know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from spillway.advise.figures import computed, given
from spillway.advise.sizing.errors import SizingError
from spillway.advise.sizing.model import KvShape, Model

LARGEST = 10_000_000
"""No size in a config is larger; what is has slipped."""
PLAIN_MLP = frozenset({"gpt2", "opt", "bloom", "gptj", "gpt_neox", "falcon", "gpt_bigcode", "phi", "mpt", "starcoder2"})
"""Model types whose feed-forward has two matrices; everybody else's is gated and has three."""
BITS = {"float32": 32, "float16": 16, "bfloat16": 16, "float8_e4m3fn": 8}
MXFP4_BITS = Decimal("4.25")
"""4 bits and one 8-bit scale for every 32."""


def read_config(document: Any, name: str, source: str) -> Model:
    """The model that a config describes. Raises SizingError where it isn't one of a language model."""
    fields = _Fields(document, source)
    layers, hidden = fields.size("num_hidden_layers", "n_layer"), fields.size("hidden_size", "n_embd", "d_model")
    heads, vocabulary = fields.size("num_attention_heads", "n_head"), fields.size("vocab_size")
    mlp = _feed_forward(fields, layers, hidden)
    attention, kv = _attention(fields, layers, hidden, heads)
    tied = bool(fields.get("tie_word_embeddings"))
    embeddings = vocabulary * hidden * (1 if tied else 2)
    parts = (
        given("attention", attention * layers, "parameters", source),
        given("feed-forward", mlp.dense, "parameters", source),
        given("experts", mlp.experts_total, "parameters", source),
        given("embeddings", embeddings, "parameters", source),
    )
    total = sum((part.value for part in parts), Decimal(0))
    bits, stored = _precision(fields)
    return Model(
        name,
        source,
        computed("parameters", total, "parameters", "attention + feed-forward + experts + embeddings", *parts),
        kv,
        layers,
        heads,
        embeddings,
        0 if tied else vocabulary * hidden,
        mlp.experts_total,
        mlp.experts,
        mlp.active,
        bits,
        stored,
        fields.optional("max_position_embeddings", "n_positions"),
        notes=tuple(fields.notes),
        fingerprint=(layers, hidden, heads, kv.heads, kv.values_per_head, vocabulary, int(total)),
    )


class _Fields:
    """The config's fields, checked; in a multimodal model those of its language part."""

    def __init__(self, document: Any, source: str) -> None:
        self.source = source
        self.notes: list[str] = []
        if not isinstance(document, Mapping):
            raise SizingError(f"{source}: not the config.json of a language model: no JSON object")
        self._outer = document
        inner = document.get("text_config", document.get("llm_config"))
        if isinstance(inner, Mapping):
            document = inner
            self.notes.append("multimodal: only the language model is counted, not the encoders")
        self._fields: Mapping[str, Any] = document

    def get(self, name: str, default: Any = None) -> Any:
        found = self._fields.get(name)
        return default if found is None else found

    def outer(self, name: str) -> Any:
        """A field that may stand beside the language part."""
        return self._fields.get(name, self._outer.get(name))

    def optional(self, *names: str) -> int | None:
        for name in names:
            value = self._fields.get(name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= LARGEST:
                raise SizingError(f"{self.source}: {name} must be a whole number above 0; it is {value!r}")
            return value
        return None

    def size(self, *names: str) -> int:
        value = self.optional(*names)
        if value is None:
            raise SizingError(f"{self.source}: not the config.json of a language model: {names[0]} is missing")
        return value


@dataclass(frozen=True, slots=True)
class _FeedForward:
    dense: int
    experts_total: int = 0
    experts: int = 0
    active: int = 0


def _feed_forward(fields: _Fields, layers: int, hidden: int) -> _FeedForward:
    matrices = 2 if str(fields.outer("model_type")) in PLAIN_MLP else 3
    width = fields.optional("intermediate_size", "ffn_dim", "n_inner") or 4 * hidden
    experts = fields.optional("num_local_experts", "num_experts", "n_routed_experts")
    if experts is None:
        return _FeedForward(layers * matrices * hidden * width)
    active = fields.size("num_experts_per_tok", "experts_per_token")
    if active > experts:
        raise SizingError(f"{fields.source}: num_experts_per_tok {active} is above the number of experts, {experts}")
    sparse = _sparse_layers(fields, layers)
    expert_width = fields.optional("moe_intermediate_size") or width
    shared = (fields.optional("n_shared_experts") or 0) * expert_width
    shared += fields.optional("shared_expert_intermediate_size") or 0
    router = sparse * hidden * experts
    dense = matrices * hidden * (width * (layers - sparse) + shared * sparse) + router
    return _FeedForward(dense, sparse * experts * matrices * hidden * expert_width, experts, active)


def _sparse_layers(fields: _Fields, layers: int) -> int:
    first_dense = fields.get("first_k_dense_replace", 0)
    step = fields.get("decoder_sparse_step", fields.get("moe_layer_freq", fields.get("interleave_moe_layer_step", 1)))
    dense = fields.get("mlp_only_layers", [])
    counts = all(isinstance(each, int) and 0 <= each <= layers for each in (first_dense, step))
    if not counts or step < 1 or not isinstance(dense, list):
        fields.notes.append("which layers have experts is not understood: all are taken to")
        return layers
    return max(0, int((layers - first_dense) // step) - len(dense))


def _attention(fields: _Fields, layers: int, hidden: int, heads: int) -> tuple[int, KvShape]:
    """Parameters of one layer's attention, and what it caches."""
    latent = fields.optional("kv_lora_rank")
    if latent is not None:
        return _latent_attention(fields, layers, hidden, heads, latent)
    if fields.optional("head_dim") is None and hidden % heads:
        raise SizingError(f"{fields.source}: hidden_size {hidden} is no multiple of num_attention_heads {heads}")
    width = fields.optional("head_dim") or hidden // heads
    kv_heads = fields.optional("num_key_value_heads") or (1 if fields.get("multi_query") else heads)
    if kv_heads > heads:
        raise SizingError(f"{fields.source}: num_key_value_heads {kv_heads} is above num_attention_heads {heads}")
    full, windowed, window = _layers(fields, layers)
    parameters = hidden * width * (2 * heads + 2 * kv_heads)
    return parameters, KvShape(full, windowed, window, kv_heads, 2 * width)


def _latent_attention(fields: _Fields, layers: int, hidden: int, heads: int, latent: int) -> tuple[int, KvShape]:
    """Multi-head latent attention: one compressed vector of keys and values, and one rotary key, for each token."""
    rope, nope = fields.size("qk_rope_head_dim"), fields.size("qk_nope_head_dim")
    value = fields.size("v_head_dim")
    query_rank = fields.optional("q_lora_rank")
    query = heads * (nope + rope)
    query_parameters = hidden * query_rank + query_rank * query if query_rank else hidden * query
    key_values = hidden * (latent + rope) + latent * heads * (nope + value)
    parameters = query_parameters + key_values + heads * value * hidden
    return parameters, KvShape(layers, 0, 0, 1, latent + rope, latent=True)


def _layers(fields: _Fields, layers: int) -> tuple[int, int, int]:
    """Layers that keep every token, layers that keep a window, and the window in tokens."""
    window = fields.optional("sliding_window", "attention_chunk_size")
    kinds = fields.get("layer_types")
    if isinstance(kinds, list) and len(kinds) == layers:
        windowed = sum(kind in ("sliding_attention", "chunked_attention") for kind in kinds) if window else 0
        linear = sum(kind == "linear_attention" for kind in kinds)
        if linear:
            fields.notes.append(f"{linear} layers of linear attention: their state is fixed and not counted")
        return layers - windowed - linear, windowed, window or 0
    every = fields.optional("full_attention_interval")
    if every:
        fields.notes.append(f"{layers - layers // every} layers of linear attention: their state is fixed, not counted")
        return layers // every, 0, 0
    if window is None or fields.get("use_sliding_window") is False:
        return layers, 0, 0
    pattern = fields.optional("sliding_window_pattern") or (2 if fields.outer("model_type") == "gemma2" else 0)
    full = layers // pattern if pattern else 0
    return full, layers - full, window


def _precision(fields: _Fields) -> tuple[Decimal, str]:
    """Bits of a weight as published, and what they are called."""
    quantization = fields.outer("quantization_config")
    if isinstance(quantization, Mapping):
        method = str(quantization.get("quant_method", "")).lower()
        if method == "mxfp4":
            return MXFP4_BITS, "mxfp4"
        if "fp8" in method:
            return Decimal(8), "fp8"
        bits = quantization.get("bits", 4 if quantization.get("load_in_4bit") else None)
        if isinstance(bits, int) and not isinstance(bits, bool) and 2 <= bits <= 16:
            return Decimal(bits), f"{method or 'quantized'}, {bits} bit"
        fields.notes.append(f"quantization {method or 'of unknown kind'} is not understood: taken as 16 bit")
        return Decimal(16), "16 bit"
    dtype = str(fields.outer("torch_dtype") or fields.outer("dtype") or "")
    if dtype not in BITS:
        fields.notes.append("the config doesn't say the weights' type: taken as 16 bit")
    bits = BITS.get(dtype, 16)
    return Decimal(bits), "fp8" if bits == 8 else f"{bits} bit"
