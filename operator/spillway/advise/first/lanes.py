"""Lanes out of what was found: own ones by workload, hosted ones by what an egress proxy offers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from spillway.advise.figures import Figure, given, plain
from spillway.advise.first.facts import Found, GpuKind, HostedModel, Workload, World
from spillway.advise.first.offers import matching, middle
from spillway.advise.first.text import Field, field
from spillway.advise.prices import GpuOffer
from spillway.api import API_VERSION

UNKNOWN_GPU = "unknown"
GIVEN, OPENCOST = "--gpu-price", "OpenCost's node_gpu_hourly_cost"
"""Sources of a price that is no stand-in."""
OPENCOST_DEFAULT = Decimal("0.95")
"""OpenCost's own stand-in for a GPU that nobody prices."""
GROWTH_WITHOUT_NODES = 2
"""replicas.max in multiples of today's where the cluster's GPUs are not known."""


@dataclass(frozen=True, slots=True)
class OwnLane:
    """A proposed lane on own GPUs."""

    name: str
    workload: Workload
    price: Figure
    """US dollars a GPU-hour."""
    spec: tuple[Field, ...]
    unknown: tuple[str, ...]
    """What the person has to put in or check."""


@dataclass(frozen=True, slots=True)
class HostedLane:
    """A proposed lane at a hosted API."""

    name: str
    model: HostedModel
    spec: tuple[Field, ...]
    unknown: tuple[str, ...]


def slug(text: str) -> str:
    """A DNS label out of any text; empty where nothing of it is left."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:63].rstrip("-")


class Names:
    """Names that are given out once."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        """``taken``: names that are there already."""
        self._taken = set(taken)

    def give(self, *wishes: str) -> str:
        """The first free wish, else the last with a number."""
        options = [found for wish in wishes if (found := slug(wish))] or ["unnamed"]
        numbered = (f"{options[-1][:58]}-{number}" for number in range(2, 10_000))
        name = next(each for each in (*options, *numbered) if each not in self._taken)
        self._taken.add(name)
        return name


def manifest(kind: str, namespace: str, name: str, spec: tuple[Field, ...]) -> tuple[Field, ...]:
    """The fields of a whole object."""
    metadata = (field("name", name), field("namespace", namespace))
    return field("apiVersion", API_VERSION), field("kind", kind), field("metadata", metadata), field("spec", spec)


def gpu_price(gpu: GpuKind | None, world: World) -> Figure | None:
    """What a GPU of this type costs: as given, else OpenCost's figure, else a list price; None where nothing says."""
    kind = gpu.type if gpu else UNKNOWN_GPU
    name, unit = f"price of {kind}", "USD/GPU-hour"
    told = world.given_prices.get(kind, world.given_prices.get(""))
    if told is not None:
        return given(name, told, unit, GIVEN)
    if gpu is None:
        return None
    if gpu.opencost_usd is not None and gpu.opencost_usd != OPENCOST_DEFAULT:
        return given(name, gpu.opencost_usd, unit, OPENCOST)
    offers = matching(world.offers, world.gpu_types, gpu.type, gpu.provider)
    if not offers:
        return None
    where = ", ".join(sorted({each.provider for each in offers}))
    sources = ", ".join(sorted({_dated(each) for each in offers}))
    count = f"{len(offers)} on-demand offer{'s' if len(offers) != 1 else ''}"
    return given(name, middle(offers), unit, f"median of {count} ({where}) in {sources}")


def _dated(offer: GpuOffer) -> str:
    return f"{offer.source} of {offer.as_of.isoformat()}" if offer.as_of else f"{offer.source}, which has no date"


def own_lane(workload: Workload, price: Figure, names: Names) -> OwnLane:
    """The lane of one workload at a price of its GPUs."""
    unknown: list[str] = []
    own = (
        _target(workload),
        field("engine", workload.engine.value, f"Told by {workload.engine_source}."),
        _gpu(workload, unknown),
        _price(workload, price, unknown),
        field("replicas", _replicas(workload, unknown), _learned(workload)),
    )
    served = tuple(each.name for each in workload.models)
    spec = (
        field("type", "SelfHosted"),
        field("models", served, f"What it serves, told by {workload.models_source}."),
        field("selfHosted", own),
    )
    name = names.give(workload.name, f"{workload.name}-{workload.kind}")
    return OwnLane(name, workload, price, spec, tuple(unknown))


def _target(workload: Workload) -> Field:
    ref = [field("kind", workload.kind), field("name", workload.name)]
    if workload.api_version != "apps/v1":
        ref.insert(0, field("apiVersion", workload.api_version))
    note = f"{workload.replicas} replica{'s' if workload.replicas != 1 else ''} now."
    if workload.autoscaler:
        note += (
            f" CONFLICT: {workload.autoscaler} scales it too. In mode Recommend the plan says AutoscalerConflict and "
            "goes on recommending, so that the two can be compared; delete that one before mode Apply."
        )
    return field("targetRef", tuple(ref), note)


def _gpu(workload: Workload, unknown: list[str]) -> Field:
    gpu, count = workload.gpu, workload.gpus_per_replica
    kind = field(
        "type", gpu.type if gpu else UNKNOWN_GPU,
        f"From {gpu.label}." if gpu else "not known: nothing told the type of its GPUs; put it in.",
    )  # fmt: skip
    if gpu is None:
        unknown.append("GPU type")
    if count is None:
        unknown.append("GPUs per replica")
        said = "not known: its pods ask for no GPU by name (a CPU build, or dynamic resource allocation); check this 1."
        return field("gpu", (kind, field("perReplica", 1, said)))
    return field("gpu", (kind, field("perReplica", count, "What its pods ask for.")))


def _price(workload: Workload, price: Figure, unknown: list[str]) -> Field:
    gpu = workload.gpu
    notes: list[str] = []
    if gpu is not None and gpu.opencost_usd == OPENCOST_DEFAULT:
        notes.append("OpenCost says 0.95 for this GPU, which is its stand-in for a price it does not know: not used.")
    said = f"From {price.source}."
    if price.source not in (GIVEN, OPENCOST):
        unknown.append("GPU price")
        spot_too = " Yours are spot nodes, which cost less." if gpu is not None and gpu.spot else ""
        said = (
            f"not known: your price. STAND-IN: {price.source}.{spot_too} Replace it; dollars and sizes follow from it."
        )
    amount = field("usdPerGpuHour", plain(price.value), *notes, said)
    spot = gpu is not None and gpu.spot
    why = (
        "All of its nodes are spot nodes by their labels."
        if spot
        else "not known: how the GPUs are paid. Reserved or Owned where they cost the same idle: then removing one "
        "saves nothing."
    )
    if not spot:
        unknown.append("commitment")
    return field("price", (amount, field("commitment", "Spot" if spot else "OnDemand", why)))


def _replicas(workload: Workload, unknown: list[str]) -> tuple[Field, ...]:
    gpu, each = workload.gpu, workload.gpus_per_replica or 1
    low = field("min", 1, "0 is possible once every class of the lane may go to a hosted lane.")
    most = max(1, workload.replicas)
    if workload.autoscaler_max:
        high, why = max(most, workload.autoscaler_max), f"As {workload.autoscaler} has it."
    elif gpu is not None and gpu.gpus:
        high = max(most, gpu.gpus // each)
        why = f"{gpu.gpus} GPUs of this type in the cluster, {each} a replica; less where others use them too."
    else:
        high = most * GROWTH_WITHOUT_NODES
        why = f"not known: how many GPUs there are. {GROWTH_WITHOUT_NODES} times today's {workload.replicas}."
        unknown.append("replicas.max")
    return low, field("max", min(high, 10_000), why)


def _learned(workload: Workload) -> str:
    seen = ""
    if workload.startup_seconds is not None:
        seen = f" (median start-up of the {workload.startup_pods} that are there: {workload.startup_seconds:.0f} s)"
    return f"startupSeconds and profile are left out on purpose: both are learned from its pods{seen}."


def hosted_lane(model: HostedModel, names: Names) -> HostedLane:
    """The lane of one hosted model."""
    counted = ""
    if model.counted is not None and model.counted.requests > 0:
        counted = f" {model.counted.requests:,.0f} requests went there in {model.counted.days:.1f} days."
    hosted = (
        field("provider", model.provider, f"From {model.source}.{counted}"),
        field(
            "model", model.model,
            f"Price: {model.price}. A contract price goes into price: {{inputUsdPerMTok, outputUsdPerMTok}}.",
            "not known: the account's limits (limits.requestsPerMinute, tokensPerMinute, concurrency) and how fast it "
            "answers (latency): without them it counts as unlimited and fast enough.",
        ),
    )  # fmt: skip
    spec = (
        field("type", "HostedRealtime"),
        field("models", (model.served_as or (model.model,))[:16]),
        field("hosted", hosted),
    )
    name = names.give(f"hosted-{model.served_as[0] if model.served_as else model.model}", f"hosted-{model.model}")
    return HostedLane(name, model, spec, ("limits", "latency"))


def hosted_lanes(found: Found, names: Names) -> tuple[HostedLane, ...]:
    """Lanes of the hosted models that somebody prices; an unpriced one would never be used."""
    return tuple(hosted_lane(model, names) for model in found.hosted if model.price is not None)
