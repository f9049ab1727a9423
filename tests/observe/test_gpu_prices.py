"""Catalogues of GPU prices: the shipped one, one's own, and what is wrong with a file."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from statistics import median

import pytest

from spillway.observe.gpu_prices import CatalogueError, read_catalogue, shipped

HEAD = "snapshot_timestamp,provider,gpu_type,region,is_spot,price_per_gpu_hour_usd,gpu_memory_gb\n"


def write(folder: Path, *rows: str, head: str = HEAD) -> Path:
    (folder / "mine.csv").write_text(head + "".join(f"{row}\n" for row in rows), encoding="utf-8")
    return folder


def test_the_shipped_one() -> None:
    offers = read_catalogue()
    assert len(offers) == 2090
    assert len({offer.provider for offer in offers}) == 12
    assert {offer.as_of for offer in offers} == {date(2026, 6, 1)}


@pytest.mark.parametrize(
    ("gpu", "provider", "usd"),
    [("H100", "aws", "8.26"), ("H100", "gcp", "10.98"), ("H100", "lambdalabs", "4.09"), ("H100", "nebius", "3.85"),
     ("H100", "runpod", "3.29"), ("L4", "aws", "1.99"), ("L4", "gcp", "1.10")],
)  # fmt: skip
def test_its_medians_on_demand_are_the_known_ones(gpu: str, provider: str, usd: str) -> None:
    prices = [o.usd_per_gpu_hour for o in read_catalogue() if (o.gpu, o.provider, o.spot) == (gpu, provider, False)]
    assert median(prices) == pytest.approx(Decimal(usd), abs=Decimal("0.02"))


def test_it_travels_with_its_source_and_licence() -> None:
    names = {each.name for each in shipped().iterdir()}
    assert {"SOURCE.md", "LICENSE-CC-BY-4.0"} < names


def test_ones_own(tmp_path: Path) -> None:
    (offer,) = read_catalogue(write(tmp_path, "2026-11-01,me,H100,de,True,1.50,80"))
    assert (offer.provider, offer.region, offer.spot) == ("me", "de", True)
    assert (offer.usd_per_gpu_hour, offer.memory_gb, offer.as_of) == (Decimal("1.50"), 80, date(2026, 11, 1))
    assert offer.source == "catalogue mine.csv"


def test_date_region_and_memory_may_be_missing(tmp_path: Path) -> None:
    head = "provider,gpu_type,is_spot,price_per_gpu_hour_usd\n"
    (offer,) = read_catalogue(write(tmp_path, "me,H100,False,2", head=head))
    assert (offer.as_of, offer.region, offer.memory_gb) == (None, "", None)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (",me,H100,,False,-1,80", r"line 2: price_per_gpu_hour_usd must be above 0 and at most 1000, it is -1"),
        (",me,H100,,False,0,80", "must be above 0"),
        (",me,H100,,False,,80", "must be above 0 and at most 1000, it is None"),
        (",me,H100,,False,1e9,80", "at most 1000"),
        (",me,H100,,False,cheap,80", "price_per_gpu_hour_usd must be a number, it is 'cheap'"),
        (",me,H100,,False,NaN,80", "must be a number, it is 'NaN'"),
        (",me,H100,,maybe,1,80", "is_spot must be True or False, it is 'maybe'"),
        ("someday,me,H100,,False,1,80", "snapshot_timestamp must be a date, it is 'someday'"),
        (",,H100,,False,1,80", "gpu_type and provider must not be empty"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, row: str, said: str) -> None:
    with pytest.raises(CatalogueError, match=said) as error:
        read_catalogue(write(tmp_path, row))
    assert "mine.csv, line 2" in str(error.value)


def test_a_folder_without_a_catalogue_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match=r"no \.csv file"):
        read_catalogue(tmp_path)
    with pytest.raises(CatalogueError, match="no such folder"):
        read_catalogue(tmp_path / "none")
    with pytest.raises(CatalogueError, match="column gpu_type is missing"):
        read_catalogue(write(tmp_path, "me,1", head="provider,price_per_gpu_hour_usd,is_spot\n"))
