"""CapacityLane as a value."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from spillway.api import CapacityLane, Commitment, Engine, GpuPrice, LaneType

from .manifests import MINIMAL, VARIANTS, edited


def test_defaults() -> None:
    spec = CapacityLane.parse(MINIMAL["CapacityLane"]).spec
    lane = spec.self_hosted
    assert lane is not None
    assert (lane.target_ref.api_version, lane.target_ref.kind) == ("apps/v1", "Deployment")
    assert lane.engine is Engine.VLLM
    assert (lane.replicas.min, lane.gpu.per_replica) == (1, 1)
    assert lane.startup_seconds is None
    assert lane.profile is None


@pytest.mark.parametrize(
    ("commitment", "release_value", "avoidable"),
    [
        (Commitment.ON_DEMAND, None, "3.85"),
        (Commitment.SPOT, None, "3.85"),
        (Commitment.RESERVED, None, "0"),
        (Commitment.OWNED, None, "0"),
        (Commitment.OWNED, "1.2", "1.2"),
        (Commitment.ON_DEMAND, "0", "0"),
    ],
)
def test_what_a_released_gpu_saves(commitment: Commitment, release_value: str | None, avoidable: str) -> None:
    price = GpuPrice.model_validate(
        {"usdPerGpuHour": "3.85", "commitment": commitment, "releaseValueUsdPerGpuHour": release_value}
    )
    assert price.avoidable_usd_per_gpu_hour == Decimal(avoidable)


def test_names_on_the_wire_keep_their_units() -> None:
    hosted = CapacityLane.parse(VARIANTS["CapacityLane"][1])
    assert hosted.spec.type is LaneType.HOSTED_REALTIME
    assert hosted.spec.hosted is not None
    assert hosted.spec.hosted.price is not None
    assert hosted.spec.hosted.price.to_wire() == {
        "inputUsdPerMTok": "0.05",
        "cachedInputUsdPerMTok": "0.005",
        "outputUsdPerMTok": "0.4",
    }


@pytest.mark.parametrize("manifest", VARIANTS["CapacityLane"])
def test_fields_of_a_newer_crd_are_ignored(manifest: dict[str, Any]) -> None:
    newer = edited(manifest, {"spec.fromTheFuture": {"a": 1}, "status.conditions.0.later": 1})
    assert CapacityLane.parse(newer) == CapacityLane.parse(manifest)


def test_an_engine_that_nobody_understands_is_refused_by_name() -> None:
    with pytest.raises(ValidationError, match=r"spec\.selfHosted\.engine"):
        CapacityLane.parse(edited(MINIMAL["CapacityLane"], {"spec.selfHosted.engine": "TGI"}))
