"""Speed where nothing was measured: a formula over the model's size and the GPU's data sheet, with a band.

The shares and times were chosen on measured profiles; `tests/advise/sizing/test_fitted.py` holds the band to them.
"""

from __future__ import annotations

import math
from decimal import Decimal

from spillway.advise.figures import Figure, computed, given
from spillway.advise.sizing.gpus import GpuType
from spillway.advise.sizing.memory import Precision, Quantization, kv_per_sequence, read_gb
from spillway.advise.sizing.model import Model
from spillway.advise.sizing.speed import MeasuredProfile, Speed, measured, milliseconds

CHOSEN = "chosen on measured profiles"
BANDWIDTH_SHARE = given("share of the bandwidth that is reached", Decimal("0.8"), "", CHOSEN)
COMPUTE_SHARE = given("share of the FLOPs that is reached", Decimal("0.5"), "", CHOSEN)
STEP = given("scheduling of an iteration", Decimal("0.5"), "ms", CHOSEN)
LAYER = given("launching a layer", Decimal("0.02"), "ms", CHOSEN)
SEQUENCE = given("scheduling and sampling of a sequence", Decimal("0.03"), "ms", CHOSEN)
LINKS = {
    True: given("all-reduces of a layer", Decimal("0.06"), "ms", f"{CHOSEN}, over NVLink"),
    False: given("all-reduces of a layer", Decimal("0.16"), "ms", "assumed, over PCIe: no measured profile has it"),
}
STEP_BAND = (Decimal("0.95"), Decimal("1.5"))
"""How many times the formula's time measured iterations took: the middle 80% or so, NVIDIA, engines of 2024."""


def prior(model: Model, precision: Precision, gpu: GpuType, tensor_parallel: int, context: Figure) -> Speed:
    """The formula's speed. An estimate, and says so."""
    bandwidth = given(f"bandwidth of {gpu.name}", gpu.bandwidth_gb_s, "GB/s", gpu.source)
    flops = _flops(model, precision, gpu)
    degree = given("tensor parallelism", tensor_parallel, "GPUs", "tensor parallelism")
    slower, times = _slower(gpu)
    experts_gb, dense_gb = read_gb(model, precision)

    def reading(name: str, what: Figure) -> Figure:
        value = what.value / (gpu.bandwidth_gb_s * BANDWIDTH_SHARE.value * tensor_parallel) * 1000 * gpu.slowdown
        inputs = (what, bandwidth, BANDWIDTH_SHARE, degree, *slower)
        return computed(name, milliseconds(float(value)), "ms", "GB / (GB/s * share * GPUs) * 1000" + times, *inputs)

    def multiplying(name: str, tokens: int) -> Figure:
        active = given("parameters that a token is multiplied with", model.active, "parameters", model.source)
        tera = 2 * active.value * tokens / 10**12
        value = tera / (flops.value * COMPUTE_SHARE.value * tensor_parallel) * 1000 * gpu.slowdown
        formula = f"2 * parameters * {tokens:,} / (FLOPs * share * GPUs) * 1000{times}"
        return computed(name, milliseconds(float(value)), "ms", formula, active, flops, COMPUTE_SHARE, degree, *slower)

    cache = reading("reading the KV cache of a sequence", _held(model, precision, tensor_parallel, context))
    return Speed(
        _fixed(model, gpu, tensor_parallel),
        reading("reading weights", _read("weights that are read", dense_gb)),
        multiplying("multiplying for one sequence", 1),
        computed(
            "each sequence", cache.value + SEQUENCE.value * gpu.slowdown, "ms", "KV cache + bookkeeping" + times,
            cache, SEQUENCE, *slower,
        ),
        multiplying("time of 1,000 prompt tokens", 1000),
        gpu.step_band or STEP_BAND,
        f"formula over the data sheet of {gpu.name}: an estimate",
        estimate=True,
        experts=reading("reading all experts", _read("experts", experts_gb)) if model.experts else None,
        model=model,
    )  # fmt: skip


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
    wanted = (model.measured_as, gpu.name, tensor_parallel, precision.weight_bits(model))
    for each in profiles:
        if model.measured_as and (each.model, each.gpu, each.tensor_parallel, each.weight_bits) == wanted:
            return measured(each, context, estimate)
    return estimate


def _flops(model: Model, precision: Precision, gpu: GpuType) -> Figure:
    eight = precision.quantization is Quantization.FP8
    eight |= precision.quantization is Quantization.NONE and model.stored == "fp8"
    if eight and gpu.fp8_tflops is not None:
        return given(f"FP8 throughput of {gpu.name}", gpu.fp8_tflops, "TFLOPS", gpu.source)
    return given(f"FP16 throughput of {gpu.name}", gpu.fp16_tflops, "TFLOPS", gpu.source)


def _read(name: str, gigabytes: Decimal) -> Figure:
    return given(name, gigabytes, "GB", "weights as loaded, without the input embedding")


def _held(model: Model, precision: Precision, tensor_parallel: int, context: Figure) -> Figure:
    """What all GPUs together read of a sequence's cache: more than it, where heads are held twice."""
    whole = kv_per_sequence(model, precision, context)
    copies = Decimal(1)
    if model.kv is not None:
        copies = Decimal(model.kv.heads_on_gpu(tensor_parallel) * tensor_parallel) / model.kv.heads
    if copies == 1:
        return whole
    held = given("copies of it", copies, "", "fewer heads than GPUs, or a latent cache")
    return computed("KV cache read of one sequence", whole.value * copies, "GB", "KV cache * copies", whole, held)


def _slower(gpu: GpuType) -> tuple[tuple[Figure, ...], str]:
    """What a GPU that was measured slower than its data sheet adds to inputs and formulas."""
    if gpu.slowdown == 1:
        return (), ""
    return (given(f"slowdown of {gpu.name}", gpu.slowdown, "", CHOSEN),), " * slowdown"


def _fixed(model: Model, gpu: GpuType, tensor_parallel: int) -> Figure:
    by_size = f"about what models of {model.total / 1e9:.0f}B have"
    source = model.source if model.layers else by_size
    layers = given("layers", model.layers or _layers_of_size(model), "layers", source)
    value, formula, inputs = LAYER.value, "iteration + layers * launching", [STEP, layers, LAYER]
    if tensor_parallel > 1:
        link = LINKS[gpu.nvlink]
        value += link.value
        formula, inputs = "iteration + layers * (launching + all-reduces)", [*inputs, link]
    total = (STEP.value + layers.value * value) * gpu.slowdown
    slower, times = _slower(gpu)
    return computed(
        "fixed time of an iteration", total, "ms", f"({formula}){times}" if times else formula, *inputs, *slower
    )


def _layers_of_size(model: Model) -> int:
    """About how many layers a model of this size has: 32 at 8B, 80 at 70B."""
    return max(12, round(32 * math.pow(model.total / 8e9, 0.42)))
