"""The facts that sizing rests on, read from the package's data: models, GPU types, measured profiles."""

from __future__ import annotations

import json
import re
from decimal import Decimal, InvalidOperation
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from spillway.advise.sizing.config import read_config
from spillway.advise.sizing.errors import SizingError, nearest, normal
from spillway.advise.sizing.gpus import GpuType
from spillway.advise.sizing.model import Model, of_size
from spillway.advise.sizing.speed import MeasuredProfile

LARGEST_CONFIG_BYTES = 1 << 20
LARGEST_MODEL = Decimal(100_000)
"""Billions of parameters."""
SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*b", re.IGNORECASE)


@cache
def gpu_types() -> tuple[GpuType, ...]:
    """Every type of GPU that is known."""
    return tuple(
        GpuType(
            entry["name"],
            Decimal(str(entry["memory_gb"])),
            Decimal(str(entry["bandwidth_gb_s"])),
            Decimal(str(entry["fp16_tflops"])),
            None if entry["fp8_tflops"] is None else Decimal(str(entry["fp8_tflops"])),
            entry["nvlink"],
            entry["source"],
            tuple(entry["also"]),
            entry["catalogue"],
            (Decimal(entry["step_band"][0]), Decimal(entry["step_band"][1])) if "step_band" in entry else None,
            Decimal(entry.get("slowdown", "1")),
        )
        for entry in data("gpus.json")["gpus"]
    )


@cache
def known_models() -> tuple[Model, ...]:
    """The built-in table of models."""
    return tuple(_known(entry) for entry in data("models.json")["models"])


@cache
def profiles() -> tuple[MeasuredProfile, ...]:
    """Measured profiles, fitted."""
    return tuple(
        MeasuredProfile(
            entry["model"],
            entry["gpu"],
            entry["tensor_parallel"],
            Decimal(entry["weight_bits"]),
            entry["alpha_ms"],
            entry["beta_ms_per_sequence"],
            entry["gamma_ms_per_ktoken_kv"],
            entry["largest_batch"],
            (Decimal(entry["band"][0]), Decimal(entry["band"][1])),
            entry["source"],
        )
        for entry in data("profiles.json")["profiles"]
    )


def find_model(wanted: str) -> Model:
    """The model of a config.json, of the table, or of a size. Raises SizingError with the nearest names."""
    path = Path(wanted)
    if path.suffix == ".json" or path.is_file():
        return _of_file(path)
    if wanted.strip() and (path / "config.json").is_file():
        return _of_file(path / "config.json")
    names: dict[str, Model] = {}
    for model, entry in zip(known_models(), data("models.json")["models"], strict=True):
        for name in (entry["name"], *entry.get("also", ())):
            names[name] = model
            if normal(name) == normal(wanted):
                return model.named(name)
    if size := SIZE.fullmatch(wanted.strip()):
        return _of_size(size.group(1))
    near = nearest(wanted, names)
    hint = f"did you mean {', '.join(near)}? Else " if near else ""
    raise SizingError(f"unknown model {wanted!r}: {hint}give its config.json, or its size such as 70B")


def _of_size(text: str) -> Model:
    try:
        billions = Decimal(text)
    except InvalidOperation:
        raise SizingError(f"--model {text}B: not a number of parameters") from None
    if not 0 < billions <= LARGEST_MODEL:
        raise SizingError(f"--model {text}B: no model is that large or small; give billions of parameters")
    return of_size(billions)


def _of_file(path: Path) -> Model:
    try:
        too_large = path.stat().st_size > LARGEST_CONFIG_BYTES
        document = None if too_large else json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SizingError(f"{path}: {error.strerror or error}") from None
    except (ValueError, RecursionError):
        raise SizingError(f"{path}: not JSON") from None
    if too_large:
        raise SizingError(f"{path}: too large for a config.json")
    parent = path.resolve().parent.name
    name = parent if path.name == "config.json" and parent else path.stem
    if isinstance(document, dict) and isinstance(document.get("_name_or_path"), str):
        name = document["_name_or_path"].rstrip("/").rsplit("/", 1)[-1] or name
    model = read_config(document, name, str(path))
    alike = (each for each in known_models() if each.fingerprint == model.fingerprint)
    same = next(alike, None)
    return model.named(model.name, same.measured_as) if same else model


def _known(entry: dict[str, Any]) -> Model:
    source = f"config.json of {entry['source']}"
    return read_config(entry["config"], entry["name"], source).named(entry["name"], entry.get("measured_as", ""))


@cache
def data(name: str) -> Any:
    """One of the files under ``data/sizing``, as JSON."""
    return json.loads((files("spillway") / "data" / "sizing" / name).read_text(encoding="utf-8"))
