"""Prices of GPUs from a catalogue: a folder of CSV files, the shipped one or one's own."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from spillway.advise.prices import GpuOffer

REQUIRED = ("provider", "gpu_type", "is_spot", "price_per_gpu_hour_usd")
HIGHEST_USD = Decimal(1000)
"""A GPU-hour that costs more is a slip of the pen."""


class CatalogueError(ValueError):
    """A catalogue can't be read: one line with file, row and field."""


def shipped() -> Traversable:
    """The folder of prices that the package carries; its SOURCE.md says from where."""
    return files("spillway") / "data" / "gpu_prices"


def read_catalogue(folder: Path | Traversable | None = None) -> tuple[GpuOffer, ...]:
    """Every offer of the CSV files in a folder (the shipped one if None). Raises CatalogueError."""
    place = shipped() if folder is None else folder
    if not place.is_dir():
        raise CatalogueError(f"catalogue {place}: no such folder")
    sheets = sorted((each for each in place.iterdir() if each.name.endswith(".csv")), key=lambda each: each.name)
    if not sheets:
        raise CatalogueError(f"catalogue {place}: no .csv file in it")
    return tuple(offer for sheet in sheets for offer in _sheet(sheet))


def _sheet(sheet: Path | Traversable) -> Iterator[GpuOffer]:
    try:
        text = sheet.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CatalogueError(f"catalogue file {sheet}: {error}") from None
    lines = csv.DictReader(text.splitlines())
    missing = [name for name in REQUIRED if name not in (lines.fieldnames or ())]
    if missing:
        raise CatalogueError(f"catalogue file {sheet}: column {missing[0]} is missing; needed: {', '.join(REQUIRED)}")
    for number, row in enumerate(lines, start=2):
        yield _offer(row, sheet.name, f"catalogue file {sheet}, line {number}")


def _offer(row: Mapping[str, str | None], name: str, where: str) -> GpuOffer:
    price = _amount(row, "price_per_gpu_hour_usd", where)
    if price is None or price <= 0 or price > HIGHEST_USD:
        raise CatalogueError(
            f"{where}: price_per_gpu_hour_usd must be above 0 and at most {HIGHEST_USD}, it is {price}"
        )
    spot = (row["is_spot"] or "").strip().lower()
    if spot not in ("true", "false"):
        raise CatalogueError(f"{where}: is_spot must be True or False, it is {row['is_spot']!r}")
    gpu, provider = (row["gpu_type"] or "").strip(), (row["provider"] or "").strip()
    if not gpu or not provider:
        raise CatalogueError(f"{where}: gpu_type and provider must not be empty")
    return GpuOffer(
        gpu=gpu,
        provider=provider,
        region=(row.get("region") or "").strip(),
        spot=spot == "true",
        usd_per_gpu_hour=price,
        memory_gb=_amount(row, "gpu_memory_gb", where),
        source=f"catalogue {name}",
        as_of=_day(row.get("snapshot_timestamp"), where),
        gpus_of_instance=_amount(row, "gpu_count_typical", where),
    )


def _amount(row: Mapping[str, str | None], column: str, where: str) -> Decimal | None:
    text = (row.get(column) or "").strip()
    if not text:
        return None
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite():
        raise CatalogueError(f"{where}: {column} must be a number, it is {text!r}")
    return value


def _day(text: str | None, where: str) -> date | None:
    if not text or not text.strip():
        return None
    try:
        return datetime.fromisoformat(text.strip().replace("Z", "+00:00")).date()
    except ValueError:
        raise CatalogueError(f"{where}: snapshot_timestamp must be a date, it is {text!r}") from None
