"""What is looked up for a replay: list prices, and measured profiles."""

from __future__ import annotations

import copy
import time

import pytest

from spillway.cli.diff.prices import pinned
from spillway.cli.diff.sizes import measured
from spillway.simulate.sides.truths import PRICE_SOURCE
from support.scenario_files import API, CLASS, GPU
from support.sides import lane

LUNA = {"provider": "openai", "model": "gpt-5.6-luna"}
BEFORE, AFTER = 1_785_000_000.0, 1_786_000_000.0
"""Either side of 2026-07-30, when its price fell."""


def test_list_prices_are_those_of_the_moment_with_their_source() -> None:
    hosted = copy.deepcopy(API)
    hosted["spec"]["hosted"] = dict(LUNA)
    prices = []
    for now in (BEFORE, AFTER):
        (document,) = pinned([hosted], now)
        prices.append(document["spec"]["hosted"]["price"]["inputUsdPerMTok"])
        assert document["metadata"]["annotations"][PRICE_SOURCE].startswith("genai-prices")
        assert lane(document).spec.hosted is not None
    assert prices == ["1", "0.2"]
    assert "price" not in hosted["spec"]["hosted"]


def test_contract_prices_unknown_models_and_other_objects_stay_as_they_are() -> None:
    unknown = copy.deepcopy(API)
    del unknown["spec"]["hosted"]["price"]
    broken = copy.deepcopy(API)
    broken["spec"] = {"hosted": 3}
    documents = [API, unknown, broken, GPU, CLASS, {"kind": "Deployment"}]
    assert pinned(documents, time.time()) == documents


@pytest.mark.parametrize(
    ("gpu", "per_replica", "model", "alpha_ms"),
    [
        ("nvidia-h100-80gb", 1, "llama-3.1-8b", 7.747),
        ("nvidia-h100-80gb", 4, "meta-llama/Llama-3.3-70B-Instruct", 19.2),
        ("h100", 2, "Llama-3.1-8B", 6.517),
        ("nvidia-h100-80gb", 8, "llama-3.1-8b", None),
        ("nvidia-l4", 1, "llama-3.1-8b", None),
        ("abacus", 1, "llama-3.1-8b", None),
        ("nvidia-h100-80gb", 1, "our-own-model", None),
    ],
)
def test_measured_profiles_by_gpu_number_and_model(
    gpu: str, per_replica: int, model: str, alpha_ms: float | None
) -> None:
    document = copy.deepcopy(GPU)
    document["spec"]["models"] = [model]
    document["spec"]["selfHosted"]["gpu"] = {"type": gpu, "perReplica": per_replica}
    found = measured(lane(document))
    assert (None if found is None else found.truth.alpha_ms) == alpha_ms
    if found is not None:
        assert found.truth.source.startswith("measured: ")
        assert found.largest_batch == 64
        # 16-bit weights and 2 GB beside the cache; 131,072 bytes a token (8B), 327,680 (70B).
        assert 300_000 < (found.truth.kv_cache_tokens or 0) < 1_100_000


def test_hosted_lanes_are_not_measured() -> None:
    assert measured(lane(API)) is None
