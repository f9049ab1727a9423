"""Names of policies as a user writes them."""

from __future__ import annotations

import pytest

from spillway.simulate.backtest.names import (
    NAMES,
    SCALERS,
    VARIANTS,
    NameUnknownError,
    Spill,
    is_spillway,
    parse_names,
)
from spillway.simulate.spillway.variants import VARIANTS as DEFINED

ALL = tuple(Spill)


def texts(*names: str, spills: tuple[Spill, ...] = ALL) -> list[str]:
    return [name.text for name in parse_names(names, spills)]


def test_plain_names_mean_queue_overflow_and_suffixes_the_others() -> None:
    assert texts("hpa", "spillway,api-only") == ["hpa", "hpa+cap", "hpa+hold", "spillway", "api-only"]
    assert texts("hpa", spills=(Spill.QUEUE,)) == ["hpa"]
    assert texts("hpa+hold@tuned", "hpa@tuned+hold", "hpa@oracle+queue") == ["hpa@tuned+hold", "hpa@oracle"]
    assert texts("hpa+cap", "hpa") == ["hpa+cap", "hpa", "hpa+hold"]


def test_all_is_every_name_of_the_comparison() -> None:
    whole = texts("all", spills=(Spill.QUEUE,))
    assert whole == [*NAMES, "clairvoyant-replay"]
    assert set(NAMES) == {
        "spillway", "hpa", "keda-queue", "keda-slo", "wva-saturation", "wva-model", "aibrix-apa", "aibrix-kpa",
        "dynamo-sla", "dynamo-load", "knative-kpa", "static-peak", "static-best", "cron-best", "api-only",
    }  # fmt: skip
    assert texts("all@tuned+cap") == [f"{name}@tuned+cap" for name in SCALERS]
    assert len(texts("all")) == len(SCALERS) * 3 + 5


def test_variants_run_only_where_they_are_named() -> None:
    assert set(VARIANTS) | {"spillway"} == set(DEFINED)
    assert not set(VARIANTS) & set(texts("all"))
    assert texts("spillway-prior-x0.5,spillway-no-hold") == ["spillway-prior-x0.5", "spillway-no-hold"]
    assert is_spillway("spillway-no-hold")
    assert is_spillway("spillway")
    assert not is_spillway("hpa")


def test_baselines_that_exist_beside_the_page_are_known() -> None:
    (name,) = parse_names(["keda-queue-llmd"], [Spill.CAP], (*SCALERS, "keda-queue-llmd"))
    assert name.text == "keda-queue-llmd+cap"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hpaa", "policy 'hpaa' is unknown; known: spillway, hpa,"),
        ("hpa@best", "'@best' is not understood"),
        ("hpa+drop", r"'\+drop' is not understood"),
        ("hpa@tuned@oracle", "'@oracle' is not understood"),
        ("spillway@tuned", "spillway has nothing to tune"),
        ("cron-best+cap", "no spill rule to choose"),
        ("", "name one policy or more"),
    ],
)
def test_what_is_not_understood_is_said(text: str, message: str) -> None:
    with pytest.raises(NameUnknownError, match=message):
        parse_names([text], ALL)
