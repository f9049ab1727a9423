"""What one replica serves: hand-computed, corrected, learned, observed."""

from __future__ import annotations

import pytest

from decide.builders import NOW, PROFILE, samples
from spillway.api import ServiceProfile
from spillway.decide.service import Mix, Requirement, Service, ServiceSource, service_of
from spillway.decide.snapshot import ServiceSample

MIX = Mix(200.0, 100.0)


def need(itl: float | None = 42.0, ttft: float | None = None, mix: Mix = MIX, rate: float = 1.0) -> Requirement:
    return Requirement(rate, mix, ttft, itl)


def profile(**changes: object) -> ServiceProfile:
    return ServiceProfile.model_validate(PROFILE | changes)


def served(found: Service | None, key: str = "c") -> float:
    assert found is not None
    return 1 / found.request_seconds[key]


def test_itl_binds_the_batch() -> None:
    # tau(b) = 10 + 0.5 b <= 42 ms gives b = 64; a request takes 42 ms * 100 / 64.
    found = service_of(profile(), (), {"c": need()})
    assert found is not None
    assert found.source is ServiceSource.PROFILE
    assert found.batch == pytest.approx(64)
    assert found.iteration_ms == pytest.approx(42)
    assert served(found) == pytest.approx(64 / (0.042 * 100))


def test_kv_prefill_and_gamma_count() -> None:
    # slope = 0.5 + 0.4*(200 + 50)/1000 + 100*200/(1000*100) = 0.5 + 0.1 + 0.2 = 0.8 ms; b = 32/0.8 = 40.
    found = service_of(profile(gammaMsPerKToken="0.4", prefillMsPerKToken="100"), (), {"c": need()})
    assert found is not None
    assert found.batch == pytest.approx(40)
    assert served(found) == pytest.approx(40 / (0.042 * 100))


@pytest.mark.parametrize(
    ("changes", "batch"), [({"maxSequences": 20}, 20.0), ({"kvCacheTokens": 3000}, 10.0), ({"alphaMs": "41.5"}, 1.0)]
)
def test_other_limits_bind_the_batch(changes: dict[str, object], batch: float) -> None:
    found = service_of(profile(**changes), (), {"c": need()})
    assert found is not None
    assert found.batch == pytest.approx(batch)


def test_ttft_binds_the_batch() -> None:
    # (60 - 100*200/1000)/1.5 = 26.67 ms for an iteration with slope 0.7: b = 16.67/0.7.
    found = service_of(profile(prefillMsPerKToken="100"), (), {"c": need(ttft=60.0)})
    assert found is not None
    assert found.batch == pytest.approx((40 / 1.5 - 10) / 0.7)


def test_an_slo_out_of_reach_is_said() -> None:
    found = service_of(profile(alphaMs="50"), (), {"c": need()})
    assert found is not None
    assert not found.reachable
    assert found.batch == 1.0


def test_the_strictest_class_binds_a_shared_engine_and_work_adds_up() -> None:
    classes = {"a": need(itl=42.0), "b": need(itl=26.0, mix=Mix(200.0, 300.0))}
    found = service_of(profile(), (), classes)
    assert found is not None
    assert found.batch == pytest.approx(32)  # (26 - 10)/0.5
    assert found.request_seconds["b"] == pytest.approx(3 * found.request_seconds["a"])


def test_measurement_corrects_the_profile() -> None:
    found = service_of(profile(), samples(lambda b: 1.2 * (10 + 0.5 * b), [10 + i for i in range(30)]), {"c": need()})
    assert found is not None
    assert found.source is ServiceSource.CORRECTED
    assert found.correction == pytest.approx(1.2)
    assert found.batch == pytest.approx((42 - 12) / 0.6)


def test_the_correction_is_bounded_and_needs_samples() -> None:
    wild = service_of(profile(), samples(lambda b: 9 * (10 + 0.5 * b), [10.0] * 30), {"c": need(itl=100.0)})
    assert wild is not None
    assert wild.correction == 2.0
    few = service_of(profile(), samples(lambda b: 9 * (10 + 0.5 * b), [10.0] * 29), {"c": need()})
    assert few is not None
    assert few.source is ServiceSource.PROFILE


def test_prefill_in_the_samples_is_not_blamed_on_the_profile() -> None:
    # 1000 prompt tokens/s at 100 ms per 1,000 are 10% of the time: tau = base/0.9.
    base = 10 + 0.5 * 20
    found = service_of(
        profile(prefillMsPerKToken="100"),
        tuple(ServiceSample(NOW - i, base / 0.9 / 1000, 20.0, 1000.0, 0.0, None) for i in range(30)),
        {"c": need()},
    )
    assert found is not None
    assert found.correction == pytest.approx(1.0)


def test_learned_from_engines_with_outliers() -> None:
    batches = [4 + i for i in range(40)]
    good = list(samples(lambda b: 10 + 0.5 * b, batches))
    bad = [ServiceSample(NOW, 0.5, 20.0, 0.0, 100.0, None) for _ in range(4)]
    found = service_of(None, tuple(good + bad), {"c": need()})
    assert found is not None
    assert found.source is ServiceSource.LEARNED
    assert found.batch == pytest.approx(64, rel=0.03)
    assert served(found) == pytest.approx(15.24, rel=0.03)


@pytest.mark.parametrize(("itl", "probed"), [(40.0, 1.0), (20.0, 1.25)])
def test_without_spread_the_best_throughput_within_the_slo_is_probed_a_little(itl: float, probed: float) -> None:
    slow = samples(lambda b: 90.0, [40.0] * 10)
    found = service_of(None, samples(lambda b: itl, [20.0] * 40) + slow, {"c": need()})
    assert found is not None
    assert found.source is ServiceSource.OBSERVED
    assert served(found) == pytest.approx(probed * 20 / (itl / 1000) / 100)
    assert found.batch == pytest.approx(probed * 20)


def test_nothing_known() -> None:
    assert service_of(None, (), {"c": need()}) is None
    assert service_of(None, samples(lambda b: 60.0, [40.0] * 10), {"c": need()}) is None
