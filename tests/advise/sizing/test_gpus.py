"""GPU types by whatever name, and the offers that are of a type."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from advise.sizing.builders import gpu, offer
from spillway.advise.sizing.errors import SizingError


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("A100", "A100-80GB"),
        ("a100-40gb", "A100-40GB"),
        ("nvidia-h100-80gb", "H100-80GB"),
        ("NVIDIA A100-SXM4-80GB", "A100-80GB"),
        ("NVIDIA A100-SXM4-40GB", "A100-40GB"),
        ("NVIDIA H100 80GB HBM3", "H100-80GB"),
        ("NVIDIA H100 PCIe", "H100PCIe-80GB"),
        ("NVIDIA H200", "H200-141GB"),
        ("NVIDIA RTX A6000", "A6000-48GB"),
        ("Tesla-L4", "L4-24GB"),
        ("AMD Instinct MI300X", "MI300X-192GB"),
    ],
)
def test_names_of_lanes_exporters_and_people(name: str, found: str) -> None:
    assert gpu(name).name == found


def test_an_unknown_one_is_answered_with_the_nearest() -> None:
    with pytest.raises(SizingError, match=r"unknown GPU 'A1000': did you mean A100-80GB"):
        gpu("A1000")
    with pytest.raises(SizingError, match=r"unknown GPU '\?\?': known: A10-24GB"):
        gpu("??")


@pytest.mark.parametrize(("memory", "offered"), [("80", True), ("40", False), ("60", False), (None, True)])
def test_offers_are_told_apart_by_memory(memory: str | None, offered: bool) -> None:
    found = replace(offer("A100"), memory_gb=None if memory is None else Decimal(memory))
    assert gpu("A100-80GB").is_offered(found) is offered


def test_a_bare_name_without_memory_is_the_usual_variant() -> None:
    assert not gpu("A100-40GB").is_offered(offer("A100"))
    assert gpu("A100-40GB").is_offered(offer("nvidia-a100-40gb"))
    assert not gpu("A100-80GB").is_offered(offer("H100"))
