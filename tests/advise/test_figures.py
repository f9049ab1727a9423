"""Figures keep where they come from."""

from __future__ import annotations

from decimal import Decimal

from spillway.advise.figures import cents, computed, given, plain, traced

DEVELOPERS = given("developers", 10, "", "--developers")
TOKENS = computed("tokens a day", 10 * 50_000, "tokens", "developers x 50,000", DEVELOPERS)
TWICE = computed("both", 20, "", "developers + developers", DEVELOPERS, DEVELOPERS)


def test_a_figure_is_traced_to_its_leaves() -> None:
    assert [(depth, figure.name) for depth, figure in traced(TOKENS)] == [(0, "tokens a day"), (1, "developers")]


def test_what_a_repeated_figure_rests_on_is_told_once() -> None:
    month = computed("month", 1, "", "tokens a day x 2", TOKENS, TOKENS)
    names = [figure.name for _, figure in traced(month)]
    assert names == ["month", "tokens a day", "developers", "tokens a day"]


def test_documents_have_decimal_strings_and_no_empty_fields() -> None:
    assert TOKENS.banded(Decimal(1), Decimal("2.50")).to_document() == {
        "name": "tokens a day",
        "value": "500000",
        "unit": "tokens",
        "formula": "developers x 50,000",
        "low": "1",
        "high": "2.5",
        "inputs": [{"name": "developers", "value": "10", "unit": "", "source": "--developers"}],
    }


def test_numbers_are_written_plainly() -> None:
    assert [plain(Decimal(text)) for text in ("3.30E+8", "6.50", "100", "0.0")] == ["330000000", "6.5", "100", "0"]


def test_cents_round_half_up() -> None:
    assert [cents(Decimal(text)) for text in ("1567.5", "0.005", "0.0049")] == [
        Decimal("1567.50"),
        Decimal("0.01"),
        Decimal("0.00"),
    ]
