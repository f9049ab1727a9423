"""Scenario files made from others: another span, other prices, another start-up. Each runs by itself."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """What differs from the scenario that another one is made from; None leaves it as it is."""

    name: str
    offset_s: float = 0.0
    """From the original's beginning."""
    warmup_s: float | None = None
    duration_s: float | None = None
    """Both are cut to what is left of the original."""
    demand_factor: float = 1.0
    hosted_price_factor: float = 1.0
    startup_s: float | None = None
    max_replicas: int | None = None


def derive(source: Path, change: Change, folder: Path) -> Path:
    """Write the scenario NAME.yaml with its manifests into the folder; returns its path.

    Files of the original are named relative to the folder. An unchanged file is not written again. Raises OSError.
    """
    scenario: Document = yaml.safe_load(source.read_text(encoding="utf-8"))
    manifests = [
        document
        for name in scenario["manifests"]
        for document in yaml.safe_load_all((source.parent / name).read_text(encoding="utf-8"))
        if document is not None
    ]
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / f"{change.name}.manifests.yaml", [_manifest(document, change) for document in manifests])
    path = folder / f"{change.name}.yaml"
    _write(path, [_scenario(scenario, source, change, folder)])
    return path


def _scenario(scenario: Document, source: Path, change: Change, folder: Path) -> Document:
    made = {**scenario, "metadata": {"name": change.name}, "manifests": [f"{change.name}.manifests.yaml"]}
    made["traces"] = [
        {
            **trace,
            "file": _moved(source.parent / trace["file"], folder),
            "offsetSeconds": trace.get("offsetSeconds", 0.0) + change.offset_s,
            "demandScale": trace.get("demandScale", 1.0) * change.demand_factor,
        }
        for trace in scenario["traces"]
    ]
    made["truth"] = {name: _truth(truth, source, change, folder) for name, truth in scenario.get("truth", {}).items()}
    made["hosted"] = {name: _hosted(lane, change) for name, lane in scenario.get("hosted", {}).items()}
    made["time"] = span(scenario["time"], change)
    return made


def span(time: Document, change: Change) -> Document:
    """The scenario's time with the change: never beyond the original's end."""
    left = time["durationSeconds"] - change.offset_s
    duration = left if change.duration_s is None else min(change.duration_s, left)
    warmup = time.get("warmupSeconds", 0.0) if change.warmup_s is None else change.warmup_s
    if not 0 <= warmup < duration:
        raise ValueError(f"{change.name}: a warm-up of {warmup:g} s leaves nothing of {duration:g} s to score")
    return {**time, "warmupSeconds": warmup, "durationSeconds": duration}


def _truth(truth: Document, source: Path, change: Change, folder: Path) -> Document:
    made = dict(truth)
    if "table" in truth:
        made["table"] = _moved(source.parent / truth["table"], folder)
    if change.startup_s is not None:
        made["startupSeconds"] = {**truth["startupSeconds"], "mean": change.startup_s}
    if "stockOuts" in truth:
        made["stockOuts"] = _shifted(truth["stockOuts"], change.offset_s)
    return made


def _hosted(lane: Document, change: Change) -> Document:
    return {**lane, "outages": _shifted(lane["outages"], change.offset_s)} if "outages" in lane else lane


def _shifted(spans: Iterable[tuple[float, float]], offset_s: float) -> list[list[float]]:
    return [[max(0.0, start - offset_s), end - offset_s] for start, end in spans if end > offset_s]


def _manifest(document: Document, change: Change) -> Document:
    if document.get("kind") != "CapacityLane":
        return document
    spec = dict(document["spec"])
    if "hosted" in spec and "price" in spec["hosted"]:
        price = {key: _times(text, change.hosted_price_factor) for key, text in spec["hosted"]["price"].items()}
        spec["hosted"] = {**spec["hosted"], "price": price}
    if "selfHosted" in spec:
        own = dict(spec["selfHosted"])
        if change.startup_s is not None:
            own["startupSeconds"] = round(change.startup_s)
        if change.max_replicas is not None:
            own["replicas"] = {**own.get("replicas", {}), "max": change.max_replicas}
        spec["selfHosted"] = own
    return {**document, "spec": spec}


def _times(text: str, factor: float) -> str:
    """A price in the text form of the API."""
    return text if factor == 1.0 else f"{float(text) * factor:.6f}"


def _moved(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()


def _write(path: Path, documents: list[Document]) -> None:
    text = yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
