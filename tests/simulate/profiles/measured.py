"""Measured serving profiles, read into points: how long something took at a batch size and lengths.

The files and where they come from: ``data/SOURCE.md``. What is left out is said here, each with its reason.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from statistics import median

DATA = Path(__file__).parent / "data"
MIN_POINTS = 10
"""Profiles with fewer points have no half to fit four coefficients on."""
SHORT_CONTEXT = frozenset({"Aquila-7B", "bloom-7b1", "gpt-j-6b", "llama-7b", "opt-6.7b"})
"""Models whose context is 2,048 tokens: the source's rows beyond that are of requests that the engine cut short."""


class Kind(Enum):
    """What was timed."""

    PROMPT = "prompt"
    """All prompts of the batch, until the first tokens."""
    TOKEN = "token"
    """One token of each sequence, mean over the answer."""
    END = "end"
    """The whole batch, from the first prompt token to the last answer's last token."""


@dataclass(frozen=True, slots=True)
class Point:
    """One measurement (the median of its repetitions)."""

    batch: float
    input_tokens: int
    output_tokens: float
    kind: Kind
    ms: float


@dataclass(frozen=True, slots=True)
class Profile:
    """One model on one machine."""

    source: str
    name: str
    points: tuple[Point, ...]


Key = tuple[str, str]
Cell = tuple[float, int, float, Kind]


def profiles() -> list[Profile]:
    """Every measured profile with enough points, in order of source and name."""
    cells: dict[Key, dict[Cell, list[float]]] = defaultdict(lambda: defaultdict(list))
    for source in (_splitwise, _sageserve, _argonne, _dstack_405b, _dstack_gptoss):
        for key, cell, ms in source():
            cells[key][cell].append(ms)
    found = [
        Profile(*key, tuple(Point(*cell, median(times)) for cell, times in sorted(group.items(), key=_order)))
        for key, group in sorted(cells.items())
    ]
    return [profile for profile in found if len(profile.points) >= MIN_POINTS]


def _order(item: tuple[Cell, list[float]]) -> tuple[str, int, float, float]:
    (batch, inputs, outputs, kind), _ = item
    return kind.value, inputs, outputs, batch


def _rows(name: str) -> Iterator[dict[str, str]]:
    with (DATA / name).open(newline="", encoding="utf-8-sig") as stream:
        yield from csv.DictReader(stream)


def _splitwise() -> Iterator[tuple[Key, Cell, float]]:
    for row in _rows("splitwise_perf_model.csv"):
        key = ("splitwise", f"{row['model']} {row['hardware']} x{row['tensor_parallel']}")
        batch, inputs, outputs = float(row["batch_size"]), int(row["prompt_size"]), float(row["token_size"])
        yield key, (batch, inputs, outputs, Kind.PROMPT), float(row["prompt_time"])
        yield key, (batch, inputs, outputs, Kind.TOKEN), float(row["token_time"])


def _sageserve() -> Iterator[tuple[Key, Cell, float]]:
    for row in _rows("sageserve_llama3_a100_perf.csv"):
        key = ("sageserve", f"{row['model']} {row['hardware']} x{row['tensor_parallel']}")
        batch, inputs, outputs = float(row["batch_size"]), int(row["prompt_size"]), float(row["token_size"])
        # From two prompts on the source's prompt time stays the same: it isn't the time of all of them.
        if batch == 1:
            yield key, (batch, inputs, outputs, Kind.PROMPT), 1000 * float(row["prompt_time"])
        yield key, (batch, inputs, outputs, Kind.END), 1000 * float(row["e2e_time"])


def _argonne() -> Iterator[tuple[Key, Cell, float]]:
    for row in _rows("argonne_llm_inference_bench_all.csv"):
        model, length = row["Model"].split("/")[1], int(row["Input Output Length"])
        if row["Framework"] != "vLLM" or not row["Latency"]:
            continue
        if model in SHORT_CONTEXT and 2 * length > 2048:
            continue
        machine = row["Hardware"].removeprefix("Nvidia ").removesuffix(" GPU")
        key = ("argonne", f"{model} {machine} x{row['Num of Hardware']}")
        yield key, (float(row["Batch Size"]), length, float(length), Kind.END), 1000 * float(row["Latency"])


def _dstack_405b() -> Iterator[tuple[Key, Cell, float]]:
    for row in _rows("dstack_405b_fp8_h100_mi300x_throughput_latency.csv"):
        cell = (float(row["batch_size"]), int(row["input_len"]), float(row["output_len"]), Kind.END)
        yield ("dstack-405b", row["gpu"]), cell, 1000 * float(row["end_to_end_latency"])


def _dstack_gptoss() -> Iterator[tuple[Key, Cell, float]]:
    for row in _rows("dstack_gptoss120b_h200_pd_ratio_sglang.csv"):
        if row["completed"] != row["num_prompts"]:
            continue
        decoders, token_ms = int(row["decode"]), float(row["mean_tpot_ms"])
        # Prompts are worked on elsewhere and may be what limits: how many decode follows from Little's law.
        batch = max(1.0, float(row["output_throughput"]) * token_ms / 1000 / decoders)
        outputs = float(row["total_output_tokens"]) / float(row["completed"])
        key = ("dstack-gptoss", f"gpt-oss-120b H200 {row['prefill']}P{decoders}D")
        yield key, (batch, int(row["isl"]), outputs, Kind.TOKEN), token_ms
