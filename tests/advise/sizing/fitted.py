"""`profiles.json` from the measured profiles, and how far the formula is off: ``python -m advise.sizing.fitted``.

Left out: what the line does not fit (mixtures of experts; 70B on 4 A100, whose cache thrashes), answers whose prompts
were worked on elsewhere, and MI300X under the engines of 2024. The A100 of LLM-Inference-Bench is taken as the one with
40 GB: 70B at 16 bit on four of them has room for some thousand tokens only, and its times are those of that bandwidth.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from advise.sizing.builders import gpu
from simulate.profiles.fitting import Fit, Form, _least_squares
from simulate.profiles.measured import Kind, Point, Profile
from simulate.profiles.measured import profiles as measured_profiles
from spillway.advise.figures import given
from spillway.advise.sizing.gpus import GpuType
from spillway.advise.sizing.memory import Precision, Quantization, room
from spillway.advise.sizing.model import Model
from spillway.advise.sizing.prior import prior
from spillway.observe.sizing_data import known_models

FILE = Path(__file__).parents[3] / "operator" / "spillway" / "data" / "sizing" / "profiles.json"
ARGONNE = "measured: LLM-Inference-Bench, vLLM of 2024"
DSTACK = "measured: dstack benchmarks, vLLM"
GPUS = {"A100": "A100-40GB", "H100": "H100-80GB", "GH200": "GH200-96GB"}
LARGE = {"8xH100 1FP8-meta": ("H100-80GB", 8), "4xMi300x 1FP8-amd": ("MI300X-192GB", 4)}
LARGE |= {"8xMi300x 1FP8-amd": ("MI300X-192GB", 8)}
THRASHES = "Llama-2-70b-hf A100 x4"


def chosen() -> Iterator[tuple[Profile, Model, GpuType, int, Precision]]:
    """The profiles of models and GPUs that sizing knows, as far as the line fits them."""
    known = {model.measured_as: model for model in known_models() if model.measured_as and not model.experts}
    for profile in measured_profiles():
        if profile.source == "dstack-405b" and profile.name in LARGE:
            name, degree = LARGE[profile.name]
            yield profile, known["Llama-3.1-405B"], gpu(name), degree, Precision(Quantization.FP8)
        found = re.fullmatch(r"(\S+) (\S+) x(\d)", profile.name)
        if profile.source == "argonne" and found and profile.name != THRASHES:
            model, machine, degree_text = found.groups()
            if model in known and machine in GPUS:
                yield profile, known[model], gpu(GPUS[machine]), int(degree_text), Precision()


def entries() -> list[dict[str, Any]]:
    """What stands in the file."""
    return [_entry(*each) for each in chosen()]


def _entry(profile: Profile, model: Model, machine: GpuType, degree: int, precision: Precision) -> dict[str, Any]:
    values, _ = _least_squares(Form(), profile.points)
    fit = Fit(Form(), values)
    ratios = [point.ms / fit.ms(point) for point in profile.points]
    low, high = (f"{quantile:.2f}" for quantile in np.quantile(ratios, [0.1, 0.9]))
    return {
        "model": model.measured_as,
        "gpu": machine.name,
        "tensor_parallel": degree,
        "weight_bits": str(precision.weight_bits(model)),
        "alpha_ms": round(float(values[0]), 3),
        "beta_ms_per_sequence": round(float(values[1]), 4),
        "gamma_ms_per_ktoken_kv": round(float(values[2]), 4),
        "largest_batch": int(max(point.batch for point in profile.points)),
        "band": [min(low, "1.00"), max(high, "1.00")],
        "source": DSTACK if profile.source.startswith("dstack") else ARGONNE,
    }


def ratios(vendor: str) -> list[float]:
    """Measured over the formula's time at every point whose batch fits the memory; "MI" or anything else: NVIDIA."""
    found: list[float] = []
    for profile, model, machine, degree, precision in chosen():
        if machine.name.startswith("MI") == (vendor == "MI"):
            found += [
                point.ms / told
                for point in profile.points
                if (told := _formula_ms(point, model, machine, degree, precision))
            ]
    return found


def _formula_ms(point: Point, model: Model, machine: GpuType, degree: int, precision: Precision) -> float | None:
    whole = given("context", Decimal(int(point.input_tokens + point.output_tokens)), "tokens", "test")
    if room(model, precision, machine, degree, whole).sequences < point.batch:
        return None
    middle = given("context", Decimal(int(point.input_tokens + point.output_tokens / 2)), "tokens", "test")
    speed = prior(model, precision, machine, degree, middle)
    step = speed.step_ms(int(point.batch))
    if point.kind is Kind.TOKEN:
        return step
    return float(speed.prompt.value) * point.batch * point.input_tokens / 1000 + (point.output_tokens - 1) * step


def text() -> str:
    """The file's content."""
    lines = ",\n".join("    " + json.dumps(entry) for entry in entries())
    about = (
        "Iterations of measured profiles: alpha + beta * sequences + gamma * 1,000 tokens of KV cache, ms. SOURCE.md"
    )
    return f'{{\n  "about": {json.dumps(about)},\n  "profiles": [\n{lines}\n  ]\n}}\n'


def main() -> None:
    """Write the file, print how far the formula is off."""
    FILE.write_text(text(), encoding="utf-8")
    for vendor in ("NVIDIA", "MI"):
        found = ratios(vendor)
        quantiles = ", ".join(f"{each:.2f}" for each in np.quantile(found, [0.1, 0.5, 0.9]))
        sys.stdout.write(f"{vendor}: measured over formula, {len(found)} points, quantiles 10/50/90%: {quantiles}\n")


if __name__ == "__main__":
    main()
