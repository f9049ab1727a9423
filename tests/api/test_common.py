"""Money and names: what the shared building blocks take and refuse."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from spillway.api import CapacityLane, GpuPrice, ObjectMeta, ObjectRef, Slo
from spillway.api.common import decimal_text

from .manifests import MINIMAL, edited
from .patterns import PATTERNS

USD = "spec.selfHosted.price.usdPerGpuHour"


def _price(value: Any) -> GpuPrice:
    return GpuPrice(usd_per_gpu_hour=value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("3.850", "3.85"),
        ("100", "100"),
        ("0.000", "0"),
        (Decimal("1E+2"), "100"),
        (Decimal("0.000000001"), "0.000000001"),
        (7, "7"),
    ],
)
def test_money_is_written_plainly(value: Any, text: str) -> None:
    assert _price(value).to_wire()["usdPerGpuHour"] == text


@pytest.mark.parametrize(
    "value",
    [
        "-1",
        "1e3",
        "NaN",
        "Infinity",
        "1_000",
        "",
        "1234567890123",
        "0.1234567891",
        Decimal("-0.5"),
        Decimal("1E+12"),
        -1,
    ],
)
def test_money_that_the_apiserver_refuses_is_refused(value: Any) -> None:
    with pytest.raises(ValidationError):
        _price(value)


def test_a_float_in_money_gets_a_clear_error() -> None:
    with pytest.raises(ValidationError) as caught:
        CapacityLane.parse(edited(MINIMAL["CapacityLane"], {USD: 3.85}))
    (error,) = caught.value.errors()
    assert error["loc"] == ("spec", "selfHosted", "price", "usdPerGpuHour")
    assert 'write it as a quoted decimal string, such as "3.85", not as a float' in error["msg"]


@pytest.mark.parametrize("value", ["50", "99.999", Decimal("99.5")])
def test_attainment_within_its_bounds(value: Any) -> None:
    assert Slo(time_to_first_token_ms=1, inter_token_latency_ms=1, attainment_percent=value).attainment_percent >= 50


@pytest.mark.parametrize("value", ["100", "49.9", "99.9999", 99.5, Decimal(100)])
def test_attainment_out_of_its_bounds(value: Any) -> None:
    with pytest.raises(ValidationError):
        Slo(time_to_first_token_ms=1, inter_token_latency_ms=1, attainment_percent=value)


@pytest.mark.parametrize("name", ["", "A", "-a", "a" * 254, "a\n"])
def test_names_that_no_object_can_have(name: str) -> None:
    with pytest.raises(ValidationError):
        ObjectRef(name=name)


def test_decimal_text_has_no_exponent() -> None:
    assert decimal_text(Decimal("1E-7")) == "0.0000001"


def test_the_key_of_an_object_is_how_messages_name_it() -> None:
    assert ObjectMeta(name="main", namespace="inference").key == "inference/main"
    assert ObjectMeta(name="main").key == "main"


def test_samples_of_patterns_are_within_the_patterns_in_python_too() -> None:
    """The apiserver's regular expressions are Go's, the models' are Rust's and Python's: they agree on every sample."""
    for pattern, samples in PATTERNS.items():
        assert all(re.fullmatch(pattern, text) for text in samples.accepts), pattern
        assert not any(re.fullmatch(pattern, text) for text in samples.refuses), pattern
