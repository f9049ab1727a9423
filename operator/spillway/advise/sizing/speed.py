"""How fast a replica decodes: a measured profile where there is one, else a formula from the GPU's data sheet.

An iteration of b sequences takes fixed + weights + b * each milliseconds: weights are read once (or multiplied, if
that takes longer), and every sequence's KV cache is read. The coefficients below were chosen on measured profiles;
`tests/advise/sizing/test_fitted.py` holds the band to them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from decimal import Decimal

from spillway.advise.figures import Figure, computed, given
from spillway.advise.sizing.gpus import GpuType
from spillway.advise.sizing.memory import GB, Precision, Quantization, kv_per_sequence, read_gb
from spillway.advise.sizing.model import Model

BANDWIDTH_EFFICIENCY = 0.8
COMPUTE_EFFICIENCY = 0.5
LAYER_MS = 0.02
"""What launching a layer's kernels costs."""
LINK_MS = {True: 0.03, False: 0.08}
"""One all-reduce, with NVLink and over PCIe; a layer has two. The second is assumed: no measured profile has it."""
STEP_MS = 0.5
SEQUENCE_MS = 0.03
"""What scheduling and sampling add for each sequence."""
STEP_BAND = (Decimal("0.95"), Decimal("1.5"))
"""How many times the formula's time measured iterations took: the middle 80% or so, NVIDIA, engines of 2024."""
MAX_SEQUENCES = 256
"""vLLM's --max-num-seqs."""


@dataclass(frozen=True, slots=True)
class MeasuredProfile:
    """Coefficients fitted to measured iterations of a model on so many GPUs."""

    model: str
    """`Model.measured_as`."""
    gpu: str
    tensor_parallel: int
    weight_bits: Decimal
    alpha_ms: float
    beta_ms_per_sequence: float
    gamma_ms_per_ktoken_kv: float
    largest_batch: int
    """Measured up to here."""
    band: tuple[Decimal, Decimal]
    """Measured over fitted time, 10% and 90% quantiles."""
    source: str


@dataclass(frozen=True, slots=True)
class Speed:
    """Times of one replica's iterations at a context."""

    fixed_ms: float
    weights_ms: float
    compute_ms_per_sequence: float
    each_ms: float
    """What every sequence adds: its KV cache and its bookkeeping."""
    prefill_ms_per_ktoken: float
    band: tuple[Decimal, Decimal]
    source: str
    estimate: bool
    expert_ms: float = 0.0
    """Reading all experts; of which a batch touches a share."""
    model: Model | None = None
    largest_batch: int | None = None
    """Measured up to here."""

    def step_ms(self, sequences: int) -> float:
        """One iteration of so many sequences, in milliseconds."""
        share = self.model.touched_share_of_experts(sequences) if self.model else 1.0
        reading = self.weights_ms + share * self.expert_ms
        return self.fixed_ms + max(reading, self.compute_ms_per_sequence * sequences) + self.each_ms * sequences

    def per_stream(self, sequences: int) -> Figure:
        """Tokens a second of each of so many sequences, with its band."""
        milliseconds = self.step_ms(sequences)
        step = given("time of one iteration", _rounded(milliseconds), "ms", self.source)
        batch = given("sequences at a time", sequences, "sequences", "concurrency over replicas, rounded up")
        value = 1000 / step.value
        found = computed("tokens a second of each stream", value, "tokens/s", "1000 / ms of an iteration", step, batch)
        if self.largest_batch is not None and sequences > self.largest_batch:
            found = replace(found, note=f"measured up to {self.largest_batch} sequences, beyond by the fitted line")
        return found.banded(value / self.band[1], value / self.band[0])

    def most_sequences(self, tokens_per_second: Decimal) -> int:
        """The largest batch at which every stream still gets so many tokens a second; 0: not even one does."""
        limit = 1000 / float(tokens_per_second)
        low, high = 0, MAX_SEQUENCES
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.step_ms(middle) <= limit else (low, middle - 1)
        return low


def prior(model: Model, precision: Precision, gpu: GpuType, tensor_parallel: int, context: Figure) -> Speed:
    """The formula's speed. An estimate, and says so."""
    bandwidth = float(gpu.bandwidth_gb_s) * 1e6 * BANDWIDTH_EFFICIENCY * tensor_parallel  # bytes a millisecond
    flops = float(gpu.fp16_tflops) * 1e9 * COMPUTE_EFFICIENCY * tensor_parallel  # a millisecond
    eight = precision.quantization is Quantization.FP8 or (
        precision.quantization is Quantization.NONE and model.stored == "fp8"
    )
    if eight and gpu.fp8_tflops is not None:
        flops *= float(gpu.fp8_tflops / gpu.fp16_tflops)
    experts, dense = (float(each * GB) for each in read_gb(model, precision))
    sequence = float(kv_per_sequence(model, precision, context).value * GB)
    on_gpu = model.kv.heads_on_gpu(tensor_parallel) / model.kv.heads if model.kv else 1 / tensor_parallel
    layers = model.layers or _layers_of_size(model)
    overhead = layers * (LAYER_MS + (2 * LINK_MS[gpu.nvlink] if tensor_parallel > 1 else 0.0))
    slower = float(gpu.slowdown)
    return Speed(
        (STEP_MS + overhead) * slower,
        dense / bandwidth * slower,
        2 * model.active / flops * slower,
        (SEQUENCE_MS + sequence * on_gpu * tensor_parallel / bandwidth) * slower,
        2 * model.active * 1000 / flops * slower,
        gpu.step_band or STEP_BAND,
        f"formula over the data sheet of {gpu.name}: an estimate",
        estimate=True,
        expert_ms=experts / bandwidth * slower,
        model=model,
    )


def measured(profile: MeasuredProfile, context: Figure, estimate: Speed) -> Speed:
    """The speed that a measured profile gives at this context; time of prompts as estimated."""
    return Speed(
        profile.alpha_ms,
        0.0,
        0.0,
        profile.beta_ms_per_sequence + profile.gamma_ms_per_ktoken_kv * float(context.value) / 1000,
        estimate.prefill_ms_per_ktoken,
        profile.band,
        f"{profile.source}, {profile.model} on {profile.tensor_parallel} x {profile.gpu}",
        estimate=False,
        largest_batch=profile.largest_batch,
    )


def speed(
    model: Model,
    precision: Precision,
    gpu: GpuType,
    tensor_parallel: int,
    context: Figure,
    profiles: tuple[MeasuredProfile, ...] = (),
) -> Speed:
    """The measured profile of this very combination, else the formula."""
    estimate = prior(model, precision, gpu, tensor_parallel, context)
    bits = precision.weight_bits(model)
    for profile in profiles:
        same_model = bool(model.measured_as) and profile.model == model.measured_as and model.kv is not None
        if same_model and (profile.gpu, profile.tensor_parallel, profile.weight_bits) == (
            gpu.name,
            tensor_parallel,
            bits,
        ):
            return measured(profile, context, estimate)
    return estimate


def _layers_of_size(model: Model) -> int:
    """About how many layers a model of this size has: 32 at 8B, 80 at 70B."""
    return max(12, round(32 * math.pow(model.total / 8e9, 0.42)))


def _rounded(milliseconds: float) -> Decimal:
    return Decimal(repr(milliseconds)).quantize(Decimal("0.001"))
