"""Where `spillway size` takes prices of GPUs from: your own, by flag, lane or OpenCost, beside a catalogue's."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from spillway.advise.prices import GpuOffer
from spillway.advise.sizing.errors import SizingError, nearest
from spillway.advise.sizing.gpus import GpuType
from spillway.api import CapacityLane
from spillway.api.lane import Commitment
from spillway.config import PrometheusConfig
from spillway.observe.gpu_prices import read_catalogue
from spillway.observe.opencost import read_opencost
from spillway.observe.prometheus import PrometheusError
from spillway.simulate.scenario.errors import ScenarioError, problem, read_yaml

HIGHEST_USD = Decimal(100_000)
OWN = "own"


def offers(asked: Mapping[str, Any], gpus: Sequence[GpuType]) -> list[GpuOffer]:
    """Every price to choose among. Raises SizingError, CatalogueError, click.ClickException."""
    if asked["price"] is not None:
        return [_by_flag(asked, gpus)]
    own = [offer for path in asked["files"] for offer in _of_lanes(path)]
    if asked["prometheus_url"]:
        own = preferred(own, _of_opencost(asked["prometheus_url"]), gpus)
    return _of_providers([*own, *read_catalogue(asked["catalogue"])], asked["provider"])


def preferred(lanes: Sequence[GpuOffer], opencost: Sequence[GpuOffer], gpus: Sequence[GpuType]) -> list[GpuOffer]:
    """Prices of own GPUs: what a lane declares, else what OpenCost says."""
    declared = {gpu for gpu in gpus for offer in lanes if gpu.is_offered(offer)}
    rest = (offer for offer in opencost if not any(gpu.is_offered(offer) for gpu in declared))
    return [*lanes, *rest]


def usd(flag: str, text: str) -> Decimal:
    """An amount of dollars. Raises SizingError."""
    try:
        value = Decimal(text.strip())
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or not 0 < value <= HIGHEST_USD:
        raise SizingError(f"{flag}: must be US dollars, above 0 and at most {HIGHEST_USD}; it is {text!r}")
    return value


def _by_flag(asked: Mapping[str, Any], gpus: Sequence[GpuType]) -> GpuOffer:
    others = ("provider", "catalogue", "files", "prometheus_url")
    if len(asked["gpu"]) != 1 or any(asked[each] for each in others):
        raise SizingError("--price is the price of one type of GPU: give one --gpu, and no other source of prices")
    return GpuOffer(
        gpus[0].name, OWN, "", asked["spot"], usd("--price", asked["price"]), gpus[0].memory_gb, "--price", None
    )


def _of_lanes(path: Path) -> Iterator[GpuOffer]:
    """Declared prices of the self-hosted lanes in a file."""
    try:
        documents = read_yaml(path, "manifest")
    except ScenarioError as error:
        raise click.ClickException(str(error)) from None
    found = False
    for document in documents:
        if not isinstance(document, dict) or document.get("kind") != CapacityLane.KIND:
            continue
        try:
            lane = CapacityLane.parse(
                {**document, "metadata": {"namespace": "default", **document.get("metadata", {})}}
            )
        except (ValidationError, TypeError) as error:
            said = problem(error) if isinstance(error, ValidationError) else "metadata is no object"
            raise click.ClickException(f"manifest {path}: CapacityLane: {said}") from None
        own = lane.spec.self_hosted
        if own is None:
            continue
        found = True
        if own.price.commitment in (Commitment.RESERVED, Commitment.OWNED):
            paid = f"its GPUs are {own.price.commitment.value} and cost in every hour, not in those asked for alone"
            click.echo(f"warning: CapacityLane {lane.metadata.key}: {paid}", err=True)
        price, spot = Decimal(own.price.usd_per_gpu_hour), own.price.commitment is Commitment.SPOT
        if price <= 0:
            click.echo(f"warning: CapacityLane {lane.metadata.key}: a GPU that costs nothing is left out", err=True)
            continue
        yield GpuOffer(own.gpu.type, OWN, "", spot, price, None, f"CapacityLane {lane.metadata.key}", None)
    if not found:
        raise click.ClickException(f"manifest {path}: no self-hosted CapacityLane is in it, so it declares no price")


def _of_opencost(url: str) -> Sequence[GpuOffer]:
    try:
        found = asyncio.run(read_opencost(PrometheusConfig(url=url)))
    except PrometheusError as error:
        raise click.ClickException(f"Prometheus {url}: {error}") from None
    for finding in found.findings:
        click.echo(f"warning: {finding}", err=True)
    return found.offers


def _of_providers(found: Sequence[GpuOffer], wanted: Sequence[str]) -> list[GpuOffer]:
    known = sorted({offer.provider for offer in found})
    for each in wanted:
        if each.lower() not in known:
            near = nearest(each, known) or known
            raise SizingError(f"--provider {each}: not in the catalogue; did you mean {', '.join(near)}?")
    chosen = {each.lower() for each in wanted}
    return [offer for offer in found if not chosen or offer.provider in chosen]
