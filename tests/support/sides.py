"""Two sides of a change over the small plan of `scenario_files`, and traffic of some hours."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from spillway.api import CapacityLane
from support.scenario_files import API, CLASS, GPU, PLAN

Document = dict[str, Any]
HEADER = "t_s,class,requests,input_tokens,output_tokens\n"
BINS = 12
WIDTH = 600


class Change:
    """Base and head, alike at first: one lane of each kind and one class behind a Gateway. Change `head`'s parts."""

    def __init__(self) -> None:
        self.base = _side()
        self.head = _side()

    def documents(self) -> tuple[list[Document], list[Document]]:
        """Both sides as `replay` takes them."""
        return list(self.base.values()), list(self.head.values())


def _side() -> dict[str, Document]:
    parts = {"plan": PLAN, "gpu": GPU, "api": API, "chat": CLASS}
    side = {name: copy.deepcopy(document) for name, document in parts.items()}
    side["plan"]["spec"]["routing"] = {"plane": "GatewayAPI", "bindings": [binding("chat")]}
    side["api"]["spec"]["hosted"]["latency"] = {"timeToFirstTokenMs": 500, "interTokenLatencyMs": 15}
    side["gpu"]["spec"]["selfHosted"]["profile"]["kvCacheTokens"] = 100_000
    return side


def binding(name: str, *lanes: str) -> Document:
    """A managed route of a class to lanes; to both of them by default."""
    return {
        "class": name,
        "ownership": "Managed",
        "httpRoute": name,
        "gateway": {"name": "gateway"},
        "backends": {lane: f"{lane}:8000" for lane in lanes or ("gpu", "api")},
    }


def another_class(name: str) -> Document:
    """Like chat, with another name."""
    document = copy.deepcopy(CLASS)
    document["metadata"]["name"] = name
    document["spec"]["match"] = {"model": name}
    return document


def trace(path: Path, *classes: str, requests: int = 600, bins: int = BINS) -> Path:
    """Steady demand of 1,000 tokens in and 50 out by class."""
    rows = [
        f"{WIDTH * number},{name},{requests},{1000 * requests},{50 * requests}\n"
        for number in range(bins)
        for name in classes or ("chat",)
    ]
    path.write_text(HEADER + "".join(rows), encoding="utf-8")
    return path


def lane(document: Document) -> CapacityLane:
    """As a model."""
    return CapacityLane.parse(document)
