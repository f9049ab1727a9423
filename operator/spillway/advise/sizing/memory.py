"""What fits into a replica's GPUs: weights, KV cache, and what the engine keeps for itself."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from spillway.advise.figures import Figure, computed, given
from spillway.advise.sizing.errors import SizingError
from spillway.advise.sizing.gpus import GpuType
from spillway.advise.sizing.model import Model, kv_rule

GB = Decimal(1_000_000_000)
SCALE_BITS = Decimal("0.16")
"""What a group's 16-bit scale and 4-bit zero point add to each of its 128 weights, in bits."""
GPU_MEMORY_UTILIZATION = given(
    "share of memory that the engine may use", Decimal("0.9"), "", "assumed: vLLM's default --gpu-memory-utilization"
)
ENGINE_RESERVE = given("activations and graphs", Decimal(2), "GB", "assumed: 2 GB on each GPU")
LINK_RESERVE = given("buffers between GPUs", Decimal("0.5"), "GB", "assumed: 0.5 GB on each GPU of several")


class Quantization(StrEnum):
    """How weights are stored."""

    NONE = "none"
    """As published."""
    FP8 = "fp8"
    INT8 = "8bit"
    INT4 = "4bit"


@dataclass(frozen=True, slots=True)
class Precision:
    """Storage of weights and of the KV cache."""

    quantization: Quantization = Quantization.NONE
    kv_bytes: int = 2
    """Bytes of one number in the KV cache: 2, or 1 with an FP8 cache."""

    def weight_bits(self, model: Model) -> Decimal:
        """Bits of one quantized weight."""
        if self.quantization is Quantization.NONE:
            return model.stored_bits
        return Decimal(4 if self.quantization is Quantization.INT4 else 8)

    def keeps_embeddings(self, model: Model) -> bool:
        """Whether embeddings stay at 16 bit."""
        return self.weight_bits(model) < 16

    def experts_only(self, model: Model) -> bool:
        """Whether experts alone are quantized, as in mxfp4 checkpoints."""
        return self.quantization is Quantization.NONE and model.stored == "mxfp4"


def weights(model: Model, precision: Precision) -> Figure:
    """Memory of the weights in GB; the upper end is what is loaded: embeddings at 16 bit, and scales."""
    bits = precision.weight_bits(model)
    told = given(
        "bits of a weight", bits, "bits", "--quantization" if precision.quantization != "none" else model.source
    )
    if precision.experts_only(model):
        value = (model.expert_parameters * bits + (model.total - model.expert_parameters) * 16) / 8 / GB
        experts = given("parameters of experts", model.expert_parameters, "parameters", model.source)
        formula = "(experts * bits + others * 16) / 8 / 1e9"
        return computed("weights", value, "GB", formula, model.parameters, experts, told)
    value = model.total * bits / 8 / GB
    found = computed("weights", value, "GB", "parameters * bits / 8 / 1e9", model.parameters, told)
    if not precision.keeps_embeddings(model):
        return found
    return found.banded(value, loaded_gb(model, precision))


def loaded_gb(model: Model, precision: Precision) -> Decimal:
    """Memory that the weights take on a GPU in the end, in GB."""
    bits = precision.weight_bits(model)
    rest = model.total - model.expert_parameters if precision.experts_only(model) else model.embedding_parameters
    if not precision.keeps_embeddings(model):
        return model.total * bits / 8 / GB
    scales = SCALE_BITS if bits == 4 else Decimal(0)
    return ((model.total - rest) * (bits + scales) + rest * 16) / 8 / GB


def read_gb(model: Model, precision: Precision) -> tuple[Decimal, Decimal]:
    """What an iteration reads of the weights, in GB: all experts, and everything else but the input embedding."""
    bits = precision.weight_bits(model)
    experts = model.expert_parameters * (bits + (SCALE_BITS if bits == 4 else 0)) / 8 / GB
    looked_up = Decimal(16) if precision.keeps_embeddings(model) else bits
    return experts, loaded_gb(model, precision) - experts - model.input_embedding_parameters * looked_up / 8 / GB


def kv_per_token(model: Model, precision: Precision) -> Figure | None:
    """Bytes that a layer-complete token takes in the KV cache; None where only the model's size is known."""
    kv = model.kv
    if kv is None:
        return None
    parts = (
        given("layers", kv.full_layers + kv.window_layers, "layers", model.source),
        given("latent cache" if kv.latent else "key-value heads", kv.heads, "", model.source),
        given("numbers of one layer and head", kv.values_per_head, "", model.source),
        given("bytes of a number", precision.kv_bytes, "bytes", "--kv-cache"),
    )
    value = parts[0].value * parts[1].value * parts[2].value * parts[3].value
    names = "layers * heads * numbers * bytes (numbers: keys and values, 2 * head size; or the latent vector)"
    return computed("KV cache of one token", value, "bytes", names, *parts)


def kv_per_sequence(model: Model, precision: Precision, context: Figure) -> Figure:
    """GB of KV cache that one sequence takes at its full context; by rule of thumb where only the size is known."""
    kv, token = model.kv, kv_per_token(model, precision)
    if kv is None or token is None:
        return kv_rule(model)
    value = kv.kept(int(context.value)) * kv.heads * kv.values_per_head * precision.kv_bytes / GB
    formula = "bytes of a token * context / 1e9"
    if kv.window_layers:
        formula += f" ({kv.window_layers} of {kv.full_layers + kv.window_layers} layers keep {kv.window:,} tokens only)"
    return computed("KV cache of one sequence", value, "GB", formula, token, context)


@dataclass(frozen=True, slots=True)
class Room:
    """What one GPU of a replica has left for the KV cache."""

    left: Figure
    """GB on one GPU; negative: the weights don't fit."""
    sequence: Figure
    """GB that one sequence takes on one GPU."""

    @property
    def sequences(self) -> int:
        """Sequences that fit at their full context."""
        if self.left.value <= 0:
            return 0
        if self.sequence.value <= 0:
            raise SizingError("a sequence takes no KV cache: is num_key_value_heads right?")
        return int(self.left.value / self.sequence.value)


def room(model: Model, precision: Precision, gpu: GpuType, tensor_parallel: int, context: Figure) -> Room:
    """The KV cache's room on one of ``tensor_parallel`` GPUs."""
    memory = given(f"memory of {gpu.name}", gpu.memory_gb, "GB", gpu.source)
    parallel = given("tensor parallelism", tensor_parallel, "GPUs", "tensor parallelism")
    loaded = computed(
        "weights as loaded", loaded_gb(model, precision), "GB",
        "weights, with embeddings at 16 bit and scales where quantized", weights(model, precision),
    )  # fmt: skip
    inputs = [memory, GPU_MEMORY_UTILIZATION, loaded, parallel, ENGINE_RESERVE]
    reserve, formula = ENGINE_RESERVE.value, "memory * share - weights / GPUs - activations"
    if tensor_parallel > 1:
        inputs.append(LINK_RESERVE)
        reserve, formula = reserve + LINK_RESERVE.value, formula + " - buffers"
    left = gpu.memory_gb * GPU_MEMORY_UTILIZATION.value - loaded.value / tensor_parallel - reserve
    whole = kv_per_sequence(model, precision, context)
    share = Decimal(1) / tensor_parallel
    if model.kv is not None:
        share = Decimal(model.kv.heads_on_gpu(tensor_parallel)) / model.kv.heads
    sequence = computed(
        "KV cache of one sequence on one GPU", whole.value * share, "GB",
        "KV cache of one sequence * heads on the GPU / heads", whole, parallel,
    )  # fmt: skip
    if whole.low is not None and whole.high is not None:
        sequence = sequence.banded(whole.low * share, whole.high * share)
    return Room(computed("memory left for KV cache on one GPU", left, "GB", formula, *inputs), sequence)
