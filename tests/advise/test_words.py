"""Amounts as people read them."""

from __future__ import annotations

from decimal import Decimal

import pytest

from spillway.advise.words import dollars, number, share, times


@pytest.mark.parametrize(
    ("value", "text", "small"),
    [
        ("4290", "$4,290", "$4,290"),
        ("1567.5", "$1,567.50", "$1,567.50"),
        ("0.5", "$0.50", "$0.50"),
        ("0.0098", "$0.01", "$0.0098"),
        ("0.2375", "$0.24", "$0.2375"),
        ("-12.345", "-$12.35", "-$12.35"),
        ("-0.0012", "$0", "-$0.0012"),
        ("0", "$0", "$0"),
    ],
)
def test_dollars(value: str, text: str, small: str) -> None:
    assert (dollars(Decimal(value)), dollars(Decimal(value), small=True)) == (text, small)


def test_numbers_shares_and_ratios() -> None:
    assert [number(Decimal(text)) for text in ("330000000", "13.951", "0.10")] == ["330,000,000", "13.95", "0.1"]
    assert [share(Decimal(text)) for text in ("0.676", "0.054", "0.1", "1.5")] == ["68%", "5.4%", "10%", "150%"]
    assert [times(Decimal(text)) for text in ("66.33", "2.04", "9.96")] == ["66x", "2x", "10x"]
