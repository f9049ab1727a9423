"""Spill rules, fixed baselines, several lanes, bad input, and that acting is cheap."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from simulate.baselines.builders import (
    PROFILE,
    class_sample,
    counts,
    hosted_lane,
    known,
    lane_sample,
    own_lane,
    replicas,
    sample,
    seen,
    workload_class,
)
from spillway.simulate.baselines import tuned
from spillway.simulate.baselines.catalogue import NAMES, VARIANTS, BaselineError, create, grid
from spillway.simulate.baselines.facts import lane_facts, model_groups
from spillway.simulate.baselines.fixed import peak_replicas
from spillway.simulate.baselines.registry import CATALOGUE, scaler
from spillway.simulate.policy import Known, LaneOverflow, Sample
from spillway.simulate.world import Workload

NEEDS_PROFILE = {
    "keda-queue-tokens",
    "wva-model",
    "wva-model-v04",
    "dynamo-sla",
    "dynamo-load",
    "dynamo-load-throughput",
}


def workload(per_minute: list[int], prompt: int = 1000, output: int = 100, class_index: int = 0) -> Workload:
    arrival = np.concatenate([60.0 * minute + np.linspace(0, 59, count) for minute, count in enumerate(per_minute)])
    size = len(arrival)
    return Workload(
        arrival,
        np.full(size, class_index),
        np.full(size, prompt, dtype=np.int64),
        np.full(size, output, dtype=np.int64),
    )


def busy_samples(lanes: int = 1, upto: float = 600.0) -> list[Sample]:
    found = []
    for step in range(int(upto / 15.0)):
        at = 15.0 * step
        lane = lane_sample(
            replicas([40, 30], [2, 1], [0.4, 0.3], [40_000, 30_000]), finished=10 * at, tokens=(10_000 * at, 1000 * at)
        )
        routed = (10 * at,) * lanes + (0.0,)
        found.append(sample(at, *(lane,) * lanes, classes=[class_sample(20 * at, mix=(1000, 100), to_lane=routed)]))
    return found


def test_queue_rule() -> None:
    policy = create("hpa", known(), "queue")
    assert policy.start(known()).overflow == (LaneOverflow(queue_limit=10),)
    assert create("hpa", known(), "queue", {"spill_threshold": 2}).start(known()).overflow[0].queue_limit == 2


def test_cap_and_hold_follow_the_profile_and_the_mix() -> None:
    scene = known()
    policy = create("hpa", scene, "hold")
    first = policy.start(scene)
    # Nothing has ended: (100 - 20)/0.5 = 160 is over max_sequences. Half of 3 s is the hold.
    assert first.overflow == (LaneOverflow(cap=100),)
    assert first.hold_s == (1.5,)
    later = policy.act(seen(600.0, busy_samples(), counts(2)))
    # With 1,000 in and 100 out a sequence adds 1.5 ms: 53.
    assert later.overflow == (LaneOverflow(cap=53),)
    half = create("hpa", scene, "cap", {"cap_share": 0.5})
    half.start(scene)
    assert half.act(seen(600.0, busy_samples(), counts(2))).overflow == (LaneOverflow(cap=26),)
    fixed = create("hpa", scene, "cap", {"spill_threshold": 17}).start(scene)
    assert fixed.overflow == (LaneOverflow(cap=17),)
    assert fixed.hold_s == ()


def test_cap_without_a_profile_is_the_engines_own() -> None:
    scene = known([own_lane(profile=None)])
    assert create("hpa", scene, "cap").start(scene).overflow == (LaneOverflow(cap=256),)


def test_static_peak_is_sized_by_work() -> None:
    scene = known()
    # 53 at ITL 100 ms: (20/53 + 0.5)*100 + 100 = 187.7 ms of a replica. 1,200 a minute are 3.75 replicas.
    load = workload([600] * 30 + [1200] * 30)
    assert peak_replicas(scene, load) == (4,)
    policy = create("static-peak", scene, "queue", None, load)
    assert policy.start(scene).replicas == (4,)
    assert policy.act(seen(3600.0, [], counts(4))).replicas == (4,)
    assert create("static-peak", scene, "queue", {"peak_share": 0.5}, load).start(scene).replicas == (2,)


def test_static_peak_fills_the_cheapest_lane_first() -> None:
    scene = known([own_lane("dear", usd="5"), own_lane("cheap", usd="2", highest=3)])
    assert peak_replicas(scene, workload([1200] * 20)) == (1, 3)


def test_api_only_hosts_what_may_be() -> None:
    scene = known([own_lane(lowest=0)])
    action = create("api-only", scene, "queue").start(scene)
    assert (action.replicas, action.hosted_share, action.overflow) == ((0,), (1.0,), ())


def test_api_only_keeps_what_may_not() -> None:
    scene = known([own_lane(lowest=0)], [workload_class("a"), workload_class("b", policy="SelfHostedOnly")])
    mixed = workload([1200] * 10, class_index=1)
    action = create("api-only", scene, "queue", None, mixed).start(scene)
    assert (action.replicas, action.hosted_share) == ((4,), (1.0, 0.0))
    with pytest.raises(BaselineError, match="inference/b may not be hosted"):
        create("api-only", scene, "queue").start(scene)


def test_variants_are_lanes_that_share_a_class() -> None:
    lanes = lane_facts(known([own_lane("a"), own_lane("b")]))
    assert model_groups(lanes) == ((0, 1),)


@pytest.mark.parametrize("name", [*NAMES, *VARIANTS])
@pytest.mark.parametrize("spill", ["queue", "cap", "hold"])
def test_every_baseline_acts_on_two_lanes_and_one_class(name: str, spill: str) -> None:
    scene = known([own_lane("a", highest=6), own_lane("b", usd="1", highest=6)])
    policy = create(name, scene, spill, None, workload([1200] * 10))
    replicas_now = policy.start(scene).replicas
    samples = busy_samples(lanes=2)
    now = 0.0
    while now + policy.tick_seconds <= 600.0:
        now += policy.tick_seconds
        visible = samples[: int((now - 15.0) // 15.0) + 1] if now >= 15.0 else []
        replicas_now = policy.act(seen(now, visible, *(counts(each) for each in replicas_now))).replicas
        assert len(replicas_now) == 2
        assert all(1 <= each <= 6 for each in replicas_now)


@pytest.mark.parametrize("name", [*NAMES, *VARIANTS])
def test_nothing_changes_while_metrics_are_missing(name: str) -> None:
    scene = known()
    policy = create(name, scene, "queue", None, workload([1200] * 10))
    kept = policy.start(scene).replicas
    wanted = kept if name in ("static-peak", "api-only") else (7,)
    for now in (15.0, 30.0, 900.0):
        assert policy.act(seen(now, [], counts(7))).replicas == wanted
    # An hour after the last sample it is still missing.
    assert policy.act(seen(4500.0, busy_samples(), counts(7))).replicas == wanted


@pytest.mark.parametrize("name", sorted(NEEDS_PROFILE))
def test_a_missing_profile_is_named(name: str) -> None:
    scene = known([own_lane(profile=None)])
    with pytest.raises(BaselineError, match=rf"CapacityLane gpu: spec\.selfHosted\.profile is missing.*{name}"):
        create(name, scene, "queue").start(scene)


@pytest.mark.parametrize("name", sorted({*NAMES, *VARIANTS} - NEEDS_PROFILE - {"static-peak"}))
def test_the_others_run_without_a_profile(name: str) -> None:
    scene = known([own_lane(profile=None)])
    policy = create(name, scene, "queue")
    policy.start(scene)
    assert policy.act(seen(600.0, busy_samples(), counts(2))).replicas[0] >= 1


def test_bad_names_and_parameters_are_one_line() -> None:
    with pytest.raises(BaselineError, match=r"baseline hqa: unknown; there are hpa, "):
        create("hqa", known(), "queue")
    with pytest.raises(BaselineError, match=r"baseline hpa: parameter waiting is unknown; there are: waiting_total"):
        create("hpa", known(), "queue", {"waiting": 1.0})
    with pytest.raises(BaselineError, match="peak_replicas must be given"):
        create("static-peak", known(), "queue")
    with pytest.raises(BaselineError, match="peak_replicas has 2 figures for 1 own lanes"):
        scaler("static-peak", peak_replicas=(1, 2)).start(known())


def test_grids_hold_only_parameters_that_exist() -> None:
    for name in (*NAMES, *VARIANTS):
        for spill in ("queue", "cap", "hold"):
            points = grid(name, spill)
            assert points
            assert len({tuple(sorted(point.items())) for point in points}) == len(points)
            for point in points:
                create(name, known(), spill, point, workload([60]))
    assert set(CATALOGUE) == {*NAMES, *VARIANTS}


def test_tuned_values_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "tuned.json"
    tuned.write_tuned({"hpa": {"cap": {"waiting_total": 5.0}}}, file)
    tuned.write_tuned({"hpa": {"hold": {"cap_share": 0.5}}}, file)
    assert '"cap_share": 0.5' in file.read_text()
    assert '"waiting_total": 5.0' in file.read_text()


def test_the_tuned_values_that_ship_can_be_run() -> None:
    for name in (*NAMES, *VARIANTS):
        for spill in ("queue", "cap", "hold"):
            create(name, known(), spill, tuned.tuned_parameters(name, spill), workload([60]))


@pytest.mark.parametrize("name", ["hpa", "keda-slo", "knative-kpa", "aibrix-kpa", "dynamo-load"])
def test_acting_takes_well_under_a_tenth_of_a_millisecond(name: str) -> None:
    scene: Known = known()
    policy = create(name, scene, "hold")
    policy.start(scene)
    samples = tuple(busy_samples(upto=3600.0))
    views = [
        seen(600.0 + policy.tick_seconds * n, samples[: 40 + int(n * policy.tick_seconds / 15)], counts(2))
        for n in range(100)
    ]
    best = min(_seconds(policy, views) for _ in range(5))
    assert best / len(views) < 100e-6


def _seconds(policy: object, views: list[object]) -> float:
    began = time.process_time()
    for view in views:
        policy.act(view)  # type: ignore[attr-defined]
    return time.process_time() - began


def test_facts_are_the_manifests() -> None:
    (lane,) = lane_facts(
        known([own_lane(lowest=0, usd="3")], [workload_class(ttft_ms=900), workload_class("d", latency="Deferrable")])
    )
    assert (lane.minimum, lane.maximum, lane.usd_per_hour, lane.ttft_s, lane.classes) == (1, 50, 3.0, 0.9, (0, 1))
    assert PROFILE["maxSequences"] == 100
    assert hosted_lane().spec.hosted is not None
