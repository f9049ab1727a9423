"""What is learned of a replica: from engines that obey the model, from the simulator, from drift and from outliers."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace

import numpy as np
import pytest

from decide.service.benchmark import CASES, TRUTH, Case, errors, learn, measured_table, observe, profile
from spillway.api import ServiceProfile
from spillway.decide.service import Coefficients, Mix, ServiceState, learned
from spillway.decide.service.learning import start
from spillway.decide.snapshot import ServiceSample

MIX = Mix(1000.0, 100.0)
HOURS = 3600.0
Samples = Iterator[ServiceSample]


def balanced(truth: Coefficients, batch: float, mix: Mix, at: float, seconds: float = 15.0) -> ServiceSample:
    """A replica that always runs ``batch`` sequences of the mix, to the letter of the model."""
    held = batch * (mix.input_tokens + mix.output_tokens / 2)
    prompts = batch * mix.input_tokens / mix.output_tokens
    step_ms = (
        truth.alpha_ms
        + truth.beta_ms * batch
        + (truth.gamma_ms_per_ktoken * held + truth.prefill_ms_per_ktoken * prompts) / 1000
    )
    steps = 1000 / step_ms
    decoded = steps * batch * (1 - 1 / mix.output_tokens)
    return ServiceSample(
        at=at,
        inter_token_latency_seconds=step_ms / 1000,
        running_per_replica=batch,
        input_tokens_per_second_per_replica=prompts * steps,
        output_tokens_per_second_per_replica=steps * batch,
        kv_tokens_per_replica=held,
        iterations_per_second=steps,
        decodes_per_second=decoded,
        computed_prompt_tokens_per_second=prompts * steps,
        busy_share=1.0,
        window_seconds=seconds,
    )


def day(
    truth: Coefficients, hours: float, first: float = 0.0, mixes: Sequence[Mix] = (MIX,)
) -> Iterator[ServiceSample]:
    """Load that goes up and down, mixes in turn."""
    for index in range(int(hours * 240)):
        batch = 8 + 24 * (0.5 + 0.5 * np.sin(index / 40))
        yield balanced(truth, float(batch), mixes[index // 60 % len(mixes)], first + 15.0 * (index + 1))


def believed(samples: Sequence[ServiceSample], prior: ServiceProfile | None = None) -> ServiceState:
    return learned(None, prior, samples, samples[-1].at)


def tau(known: Coefficients, batch: float, mix: Mix = MIX) -> float:
    return known.alpha_ms + known.slope_ms(mix) * batch


@pytest.mark.parametrize("factor", [None, 0.5, 1.0, 2.0])
def test_the_line_of_the_mix_at_hand_is_found_whatever_the_prior(factor: float | None) -> None:
    prior = None if factor is None else profile(TRUTH, factor)
    found = believed(list(day(TRUTH, 1.0)), prior).coefficients
    for batch in (8.0, 16.0, 32.0, 48.0):
        assert tau(found, batch) == pytest.approx(tau(TRUTH, batch), rel=0.04)


def test_all_four_are_found_where_the_mix_varies() -> None:
    mixes = (Mix(300.0, 300.0), Mix(4000.0, 40.0), Mix(8000.0, 400.0))
    found = believed(list(day(TRUTH, 4.0, mixes=mixes))).coefficients
    assert found.alpha_ms == pytest.approx(TRUTH.alpha_ms, rel=0.05)
    assert found.prefill_ms_per_ktoken == pytest.approx(TRUTH.prefill_ms_per_ktoken, rel=0.05)
    assert found.beta_ms == pytest.approx(TRUTH.beta_ms, rel=0.3)
    assert found.gamma_ms_per_ktoken == pytest.approx(TRUTH.gamma_ms_per_ktoken, rel=0.3)


def test_without_a_sample_the_prior_is_believed_with_wide_errors() -> None:
    state = learned(None, profile(TRUTH, 1.0), (), 0.0)
    assert not state.informed
    assert state.coefficients.alpha_ms == pytest.approx(TRUTH.alpha_ms)
    assert state.coefficients.kv_cache_tokens == 450_000
    assert state.standard_errors.alpha_ms == pytest.approx(TRUTH.alpha_ms * 0.5**0.5)
    assert start(None).error(MIX, 16.0) > 1.0


def test_errors_shrink_and_quantiles_bracket() -> None:
    before = start(profile(TRUTH, 2.0))
    after = believed(list(day(TRUTH, 1.0)), profile(TRUTH, 2.0))
    assert after.informed
    assert before.error(MIX, 16.0) > 0.4
    assert after.error(MIX, 16.0) < 0.05
    slow, fast = after.quantile(MIX, 16.0, 1.0), after.quantile(MIX, 16.0, -1.0)
    assert tau(fast, 16.0) < tau(after.coefficients, 16.0) < tau(slow, 16.0)
    # Not seen: a load beyond, where engines bend.
    assert after.error(MIX, 64.0) > 2 * after.error(MIX, 32.0)
    # Nor a mix like this: the one at hand says little of prompts alone, so a prefill-heavy mix stays unsure.
    assert after.error(Mix(16_000.0, 10.0), 16.0) > after.error(MIX, 16.0)


def test_drift_is_followed() -> None:
    state = believed(list(day(TRUTH, 6.0)), profile(TRUTH, 1.0))
    slower = TRUTH.scaled(1.4)
    for sample in day(slower, 1.0, first=6 * HOURS):
        state = learned(state, profile(TRUTH, 1.0), (sample,), sample.at)
    assert tau(state.coefficients, 24.0) == pytest.approx(tau(slower, 24.0), rel=0.05)


def test_a_night_does_not_wipe_out_the_peak() -> None:
    state = believed(list(day(TRUTH, 2.0)), profile(TRUTH, 2.0))
    slope = state.coefficients.slope_ms(MIX)
    night = [balanced(TRUTH, 1.0, MIX, 2 * HOURS + 15.0 * (i + 1)) for i in range(240 * 10)]
    later = learned(state, profile(TRUTH, 2.0), night, night[-1].at)
    assert later.coefficients.slope_ms(MIX) == pytest.approx(slope, rel=0.05)
    assert later.error(MIX, 32.0) < 0.1


def test_outliers_hardly_count() -> None:
    rng = np.random.default_rng(5)
    samples = [
        replace(s, inter_token_latency_seconds=s.inter_token_latency_seconds * 8, iterations_per_second=1.0)
        if rng.random() < 0.03
        else s
        for s in day(TRUTH, 3.0)
    ]
    assert tau(believed(samples).coefficients, 24.0) == pytest.approx(tau(TRUTH, 24.0), rel=0.06)


def test_an_engine_that_counts_no_iterations_is_learned_from_latency_alone() -> None:
    samples = [
        replace(s, iterations_per_second=None, decodes_per_second=None, busy_share=None) for s in day(TRUTH, 2.0)
    ]
    assert tau(believed(samples).coefficients, 24.0) == pytest.approx(tau(TRUTH, 24.0), rel=0.06)


def test_idle_samples_do_no_harm() -> None:
    idle = replace(
        balanced(TRUTH, 1.0, MIX, 15.0),
        inter_token_latency_seconds=0.0,
        running_per_replica=0.0,
        input_tokens_per_second_per_replica=0.0,
        output_tokens_per_second_per_replica=0.0,
        kv_tokens_per_replica=0.0,
        iterations_per_second=0.0,
        decodes_per_second=0.0,
        computed_prompt_tokens_per_second=0.0,
        busy_share=0.0,
    )
    state = learned(None, profile(TRUTH, 1.0), [replace(idle, at=15.0 * (i + 1)) for i in range(500)], 8000.0)
    assert state.coefficients == start(profile(TRUTH, 1.0)).coefficients


def test_samples_are_taken_in_once_and_a_changed_profile_starts_anew() -> None:
    samples = list(day(TRUTH, 0.5))
    state = believed(samples)
    assert learned(state, None, samples, samples[-1].at) == state
    assert learned(state, profile(TRUTH, 2.0), (), samples[-1].at) == start(profile(TRUTH, 2.0))


def test_coefficients_are_never_negative() -> None:
    flat = replace(TRUTH, beta_ms=0.0, gamma_ms_per_ktoken=0.0, prefill_ms_per_ktoken=0.0)
    rng = np.random.default_rng(6)
    samples = [
        replace(s, inter_token_latency_seconds=s.inter_token_latency_seconds * float(rng.lognormal(0, 0.05)))
        for s in day(flat, 1.0)
    ]
    found = believed(samples).coefficients
    assert min(found.alpha_ms, found.beta_ms, found.gamma_ms_per_ktoken, found.prefill_ms_per_ktoken) >= 0
    assert tau(found, 24.0) == pytest.approx(tau(flat, 24.0), rel=0.05)


def test_it_is_plain_data() -> None:
    state = believed(list(day(TRUTH, 0.2)), profile(TRUTH, 2.0))
    assert json.loads(json.dumps(asdict(state)))["samples"] == state.samples
    assert len(json.dumps(asdict(state))) < 2000


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.name))
@pytest.mark.parametrize("truth", ["formula", "table"])
def test_throughput_is_predicted_within_ten_percent_after_four_hours_on_a_simulated_fleet(
    case: Case, truth: str
) -> None:
    run = observe(case, 4.0, TRUTH, measured_table() if truth == "table" else None)
    for factor in (None, 0.5, 2.0):
        state, spent_ms = learn(run, None if factor is None else profile(TRUTH, factor))
        off = np.abs(errors(run, state.coefficients))
        assert np.max(off[:2]) < 0.10, (factor, off)
        # Twice the cap that was ever served: beyond what a measured table lets anybody know.
        assert off[2] < (0.15 if truth == "table" else 0.10), (factor, off)
        assert spent_ms < 0.5


def test_a_mix_that_shifts_at_a_constant_request_rate_is_followed() -> None:
    run = observe(CASES[0], 4.0, TRUTH, shift=1.6)
    for factor in (None, 0.5, 2.0):
        state, _ = learn(run, None if factor is None else profile(TRUTH, factor))
        assert np.max(np.abs(errors(run, state.coefficients))) < 0.10


def test_a_call_is_cheap() -> None:
    samples = list(day(TRUTH, 0.5))
    state = believed(samples[:60])
    spent = []
    for sample in samples[60:]:
        began = time.process_time()
        state = learned(state, None, (sample,), sample.at)
        spent.append(time.process_time() - began)
    assert float(np.median(spent)) < 0.0005
