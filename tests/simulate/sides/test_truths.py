"""Where it is known from what lanes do, and what is said where it isn't."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from spillway.advise.review.effect import Confidence
from spillway.api import CapacityLane
from spillway.simulate.scenario import ScenarioError
from spillway.simulate.scenario.model import OwnLaneTruth
from spillway.simulate.sides import Ask, Measured
from spillway.simulate.sides.traffic import Source, source_of
from spillway.simulate.sides.truths import PRICE_SOURCE, Truths, truths_of
from support.scenario_files import Files
from support.sides import Change, Document, lane, trace


def of_trace(folder: Path) -> Source:
    return source_of(Ask(traffic=trace(folder / "t.csv")))


def of_scenario(folder: Path, source: str = "") -> Source:
    files = Files()
    files.scenario["truth"]["gpu"]["alphaMs"] = 33
    if source:
        files.scenario["truth"]["gpu"] |= {"source": source, "largestBatch": 40}
    return source_of(Ask(scenario=files.write(folder / "s")))


def found(
    source: Source,
    gpu: Document,
    api: Document,
    before: dict[str, CapacityLane] | None = None,
    after: dict[str, CapacityLane] | None = None,
) -> Truths:
    lanes = lane(gpu), lane(api)
    return truths_of([lanes[0]], [lanes[1]], (before or {}, after or {}), source, None)


def parts() -> tuple[Document, Document]:
    side = Change().head
    return side["gpu"], side["api"]


def texts(truths: Truths) -> str:
    return " ".join(doubt.text for doubt in truths.doubts)


def test_a_declared_profile_and_latency_are_taken_and_doubted(tmp_path: Path) -> None:
    truths = found(of_trace(tmp_path), *parts())
    own, api = truths.own["gpu"], truths.hosted["api"]
    assert (own.alpha_ms, own.kv_cache_tokens, own.startup_seconds.mean) == (25.0, 100_000, 60.0)
    assert (api.ttft_ms.p50, api.itl_ms.p50) == (500.0, 15.0)
    assert truths.sources == {"gpu": "declared profile", "api": "declared latency, contract price"}
    assert [doubt.most for doubt in truths.doubts] == [Confidence.MEDIUM]
    assert "service is the declared profile" in texts(truths)


def test_what_is_not_declared_is_assumed_and_said(tmp_path: Path) -> None:
    gpu, api = parts()
    del gpu["spec"]["selfHosted"]["startupSeconds"], gpu["spec"]["selfHosted"]["profile"]["kvCacheTokens"]
    del api["spec"]["hosted"]["latency"]
    api["metadata"]["annotations"] = {PRICE_SOURCE: "genai-prices: p/m"}
    truths = found(of_trace(tmp_path), gpu, api)
    assert truths.own["gpu"].startup_seconds.mean == 300
    assert truths.own["gpu"].kv_cache_tokens == 450_000
    assert truths.hosted["api"].ttft_ms.p50 == 700
    assert truths.sources["api"] == "latency assumed, list price (genai-prices: p/m)"
    for what in ("startupSeconds is not declared", "kvCacheTokens is not declared", "latency is not declared"):
        assert what in texts(truths)


def test_a_scenario_goes_before_the_declared_profile(tmp_path: Path) -> None:
    truths = found(of_scenario(tmp_path), *parts())
    assert truths.own["gpu"].alpha_ms == 33
    assert truths.sources == {
        "gpu": "scenario scenario.yaml",
        "api": "latency of scenario scenario.yaml, contract price",
    }
    assert truths.doubts == ()


def test_what_was_learned_from_engines_has_no_doubt_and_the_declared_start_up(tmp_path: Path) -> None:
    gpu, api = parts()
    gpu["spec"]["selfHosted"]["startupSeconds"] = 90
    truths = found(of_scenario(tmp_path, "learned from 200 moments of its engines"), gpu, api)
    assert truths.own["gpu"].alpha_ms == 33
    assert truths.own["gpu"].startup_seconds.mean == 90
    assert truths.sources["gpu"] == "learned from 200 moments of its engines"
    assert truths.largest_batch == {"gpu": 40}
    assert truths.doubts == ()


@pytest.mark.parametrize("change", [{"type": "h200"}, {"perReplica": 4}])
def test_on_other_gpus_the_scenarios_truth_is_not_kept(change: Document, tmp_path: Path) -> None:
    gpu, api = parts()
    before = {"gpu": lane(gpu)}
    moved = copy.deepcopy(gpu)
    moved["spec"]["selfHosted"]["gpu"] |= change
    moved["spec"]["selfHosted"]["profile"]["alphaMs"] = "12"
    truths = found(of_scenario(tmp_path), moved, api, before)
    assert truths.own["gpu"].alpha_ms == 12
    assert truths.sources["gpu"] == "declared profile"


def test_a_profile_that_stayed_while_the_gpu_changed_is_the_worst_doubt(tmp_path: Path) -> None:
    gpu, api = parts()
    moved = copy.deepcopy(gpu)
    moved["spec"]["selfHosted"]["gpu"]["type"] = "h200"
    truths = found(of_trace(tmp_path), moved, api, {"gpu": lane(gpu)})
    assert [doubt.most for doubt in truths.doubts] == [Confidence.LOW]
    assert "runs on 2 h200 a replica now, but still declares the profile that it had on 2 h100" in texts(truths)


def test_another_name_of_the_model_beside_the_old_one_keeps_the_truth(tmp_path: Path) -> None:
    gpu, api = parts()
    renamed = copy.deepcopy(gpu)
    renamed["spec"]["models"] = ["m", "alias"]
    assert found(of_scenario(tmp_path), renamed, api, {"gpu": lane(gpu)}).own["gpu"].alpha_ms == 33
    renamed["spec"]["models"] = ["another"]
    assert found(of_scenario(tmp_path), renamed, api, {"gpu": lane(gpu)}).own["gpu"].alpha_ms == 25


def test_another_provider_has_its_own_latency(tmp_path: Path) -> None:
    gpu, api = parts()
    other = copy.deepcopy(api)
    other["spec"]["hosted"]["provider"] = "q"
    other["spec"]["hosted"]["latency"]["timeToFirstTokenMs"] = 900
    assert found(of_scenario(tmp_path), gpu, other, {"api": lane(api)}).hosted["api"].ttft_ms.p50 == 900


def test_a_lane_that_nothing_tells_of_is_an_error_with_the_way_out(tmp_path: Path) -> None:
    gpu, api = parts()
    del gpu["spec"]["selfHosted"]["profile"]
    with pytest.raises(
        ScenarioError, match=r"CapacityLane inference/gpu: spec\.selfHosted\.profile: is missing.*2 h100.*declare it"
    ):
        found(of_trace(tmp_path), gpu, api)


def test_measurements_elsewhere_stand_in_for_a_missing_profile(tmp_path: Path) -> None:
    gpu, api = parts()
    del gpu["spec"]["selfHosted"]["profile"]
    truth = OwnLaneTruth.model_validate(
        {
            "startupSeconds": {"mean": 0},
            "alphaMs": 7,
            "betaMsPerSeq": 0.1,
            "gammaMsPerKTokenKV": 0,
            "prefillMsPerKToken": 30,
            "source": "measured: somewhere",
        }
    )
    truths = truths_of([lane(gpu)], [lane(api)], ({}, {}), of_trace(tmp_path), lambda _: Measured(truth, 64))
    assert (truths.own["gpu"].alpha_ms, truths.own["gpu"].startup_seconds.mean) == (7, 60)
    assert truths.sources["gpu"] == "measured: somewhere"
    assert truths.largest_batch == {"gpu": 64}
    assert "measurements elsewhere (measured: somewhere)" in texts(truths)


def test_a_hosted_lane_without_any_price_is_an_error(tmp_path: Path) -> None:
    gpu, api = parts()
    del api["spec"]["hosted"]["price"]
    with pytest.raises(
        ScenarioError, match=r"CapacityLane inference/api: spec\.hosted\.price: is missing.*model m at p"
    ):
        found(of_trace(tmp_path), gpu, api)


def test_a_declaration_does_not_make_the_same_engines_faster(tmp_path: Path) -> None:
    gpu, api = parts()
    told, answers = copy.deepcopy(gpu), copy.deepcopy(api)
    told["spec"]["selfHosted"]["profile"]["alphaMs"] = "12"
    answers["spec"]["hosted"]["latency"]["timeToFirstTokenMs"] = 900
    after = {"gpu": lane(told), "api": lane(answers)}
    base = found(of_trace(tmp_path), gpu, api, {"gpu": lane(gpu)}, after)
    head = found(of_trace(tmp_path), told, answers, {"gpu": lane(gpu)}, after)
    assert base.own == head.own
    assert base.own["gpu"].alpha_ms == 12
    assert base.hosted == head.hosted
    assert "declares another profile now, and both sides are replayed with it" in texts(base)
    # On other hardware the base keeps its own.
    told["spec"]["selfHosted"]["gpu"]["type"] = "h200"
    assert found(of_trace(tmp_path), gpu, api, {}, {"gpu": lane(told)}).own["gpu"].alpha_ms == 25


def test_an_assumed_cache_of_learned_engines_is_said(tmp_path: Path) -> None:
    truths = found(of_scenario(tmp_path, "learned from 9 moments of its engines, cache size assumed"), *parts())
    assert "kvCacheTokens is not declared" in texts(truths)
