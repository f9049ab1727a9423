"""alpha, beta, gamma and prefill of a lane's replicas, learned from what its engines count.

The balances of time, latency and first tokens (see `equations`) feed one Bayesian linear regression, relative to the
prior's coefficients. It forgets only along the directions that new samples speak of (Kulhavy), so that a night does not
wipe out what the day's peak has shown; residuals beyond three sigma count linearly (Huber); a lasting surprise (another
model version, a slower GPU) widens the belief again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from spillway.api import ServiceProfile
from spillway.decide.service.equations import (
    Equation,
    Stretch,
    Vector,
    first_token_equation,
    latency_equation,
    time_equation,
)
from spillway.decide.service.latency import TYPICAL, iteration_work_ms
from spillway.decide.service.lengths import Lengths
from spillway.decide.service.model import Coefficients, Mix, coefficients_of
from spillway.decide.snapshot import ServiceSample

BUILT_IN = Coefficients(20.0, 0.2, 0.02, 80.0, 256.0, None)
"""Where no profile is declared: the middle of what 7B to 70B models take; max sequences as vLLM's default."""
DECLARED_SPREAD = (0.5, 0.5)
"""Relative standard deviations of a declared profile: of a factor that all four share, and of each one beside."""
BUILT_IN_SPREAD = (2.0, 1.0)
MEMORY_SECONDS = 3.0 * 3600
"""Time constant of forgetting, of time that speaks of the same direction."""
IDLE_SECONDS = 3.0 * 3600
IDLE_KNOWN = 0.01
"""Less idle time than this is nothing to be unsure of."""
IDLE_SIGMA = 0.3
ALIKE_SECONDS = 300.0
"""Samples within this time err alike (the load and the mix are the same), so together they count as one."""
HUBER = 3.0
SURPRISE_SECONDS = 600.0
SURPRISED = 1.5
"""A mean residual beyond this many sigmas over ``SURPRISE_SECONDS`` is a change of the service."""
WIDEN = 10.0
MISFIT = 0.03
"""What the formula itself may be off by, at the load that was seen, however much has been seen."""
MOST_MISFIT = 0.5
MAX_PER_CALL = 8
"""Samples of one scrape that are looked at: the rest say the same."""
MIN_INFORMED = 20
_FLOOR = (0.02, 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class ServiceState:
    """What is believed of one replica's latency model: a normal distribution around ``mean``, relative to ``prior``."""

    prior: Coefficients
    declared: bool
    """Whether the prior is a declared profile."""
    mean: Vector
    """(4,) alpha, beta, gamma, prefill over those of the prior."""
    covariance: Vector
    """(16,) row by row, of the same."""
    at: float = 0.0
    """Newest sample taken in, Unix time in seconds."""
    samples: int = 0
    surprise: float = 0.0
    """Mean of late residuals, in sigmas."""
    idle_seen: float = 0.0
    """Share of readings without a request running, over the last hour or so; and what was expected of the same."""
    idle_expected: float = 0.0
    largest_running: float = 0.0
    """Highest mean of sequences running on a replica in a sample."""

    @property
    def coefficients(self) -> Coefficients:
        """The most likely coefficients that are possible (none below 0)."""
        return _times(self.prior, _possible(self.mean, self.covariance))

    @property
    def standard_errors(self) -> Coefficients:
        """Standard deviation of each coefficient (limits as in the prior)."""
        return _times(self.prior, [math.sqrt(max(self.covariance[5 * i], 0.0)) for i in range(4)])

    @property
    def informed(self) -> bool:
        """Whether enough samples have come to prefer this to a prior."""
        return self.samples >= MIN_INFORMED

    def error(self, mix: Mix, in_flight: float, lengths: Lengths = TYPICAL) -> float:
        """Relative standard deviation of a request's share of a replica's time, work + alpha*O/n."""
        direction = self._direction(mix, in_flight, lengths)
        total = sum(d * m for d, m in zip(direction, _possible(self.mean, self.covariance), strict=True))
        return math.hypot(
            math.sqrt(max(_dot(direction, _image(self.covariance, direction)), 0.0)) / total, self._misfit(in_flight)
        )

    def quantile(self, mix: Mix, in_flight: float, sigmas: float, lengths: Lengths = TYPICAL) -> Coefficients:
        """The likeliest coefficients whose work at this mix and level is ``sigmas`` above (below) the expected one.

        +1 is the cautious view (84% sure that a replica is at least so fast), -1 the one that is worth a try.
        """
        direction = self._direction(mix, in_flight, lengths)
        image = _image(self.covariance, direction)
        length = math.sqrt(max(_dot(direction, image), 1e-18))
        centre, misfit = _possible(self.mean, self.covariance), self._misfit(in_flight)
        return _times(
            self.prior,
            [
                max(floor, (m + sigmas * v / length) * max(1.0 + sigmas * misfit, 0.5))
                for floor, m, v in zip(_FLOOR, centre, image, strict=True)
            ],
        )

    def _misfit(self, in_flight: float) -> float:
        """What the formula may be off by: more beyond the load that was seen, where engines bend."""
        beyond = in_flight / self.largest_running if self.largest_running > 0 else 1.0
        return min(MISFIT * max(1.0, beyond) ** 2, MOST_MISFIT)

    def _direction(self, mix: Mix, in_flight: float, lengths: Lengths) -> Vector:
        """How a request's share of a replica's time depends on the relative coefficients."""
        prior, number = self.prior, max(in_flight, 1.0)
        units = ((0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0))
        work = [iteration_work_ms(_with(prior, unit), mix, lengths) for unit in units]
        return (
            prior.alpha_ms * max(mix.output_tokens, 1.0) / number,
            prior.beta_ms * work[0],
            prior.gamma_ms_per_ktoken * work[1],
            prior.prefill_ms_per_ktoken * work[2],
        )


def start(prior: ServiceProfile | None) -> ServiceState:
    """What is believed before any sample."""
    known = BUILT_IN if prior is None else _without_zeros(coefficients_of(prior))
    common, own = BUILT_IN_SPREAD if prior is None else DECLARED_SPREAD
    covariance = tuple(common**2 + (own**2 if i == j else 0.0) for i in range(4) for j in range(4))
    return ServiceState(known, prior is not None, (1.0,) * 4, covariance)


def learned(
    state: ServiceState | None, prior: ServiceProfile | None, samples: Sequence[ServiceSample], now: float
) -> ServiceState:
    """The belief after the samples that are newer than what it rests on. A changed profile starts anew."""
    if state is None or not _same_prior(state, prior):
        state = start(prior)
    fresh = [s for s in samples if state.at < s.at <= now]
    if not fresh:
        return state
    belief = _Belief(state)
    count, largest, last = state.samples, state.largest_running, state.at
    for at in sorted({s.at for s in fresh}):
        group = [s for s in fresh if s.at == at]
        chosen = _spread(group)
        # Stretches that overlap the ones before bring only what is new of them.
        span = min(max(s.window_seconds or 60.0 for s in chosen), at - last if last > 0 else math.inf)
        evidence = _Evidence.of(span / len(chosen))
        for sample in chosen:
            belief.take(sample, state.prior, evidence)
        count += len(chosen)
        largest = max(largest, *(s.running_per_replica for s in group))
        last = at
    return replace(
        state,
        mean=tuple(belief.mean),
        covariance=tuple(value for row in belief.covariance for value in row),
        at=last,
        samples=count,
        surprise=belief.surprise,
        idle_seen=belief.idle_seen,
        idle_expected=belief.idle_expected,
        largest_running=largest,
    )


@dataclass(frozen=True, slots=True)
class _Evidence:
    """What some seconds of new evidence weigh."""

    kept: float
    """What is left of older evidence that speaks of the same direction."""
    repeats: float
    """How many samples like this one say the same."""
    surprise_share: float
    idle_share: float

    @classmethod
    def of(cls, seconds: float) -> _Evidence:
        return cls(
            kept=math.exp(-seconds / MEMORY_SECONDS),
            repeats=max(1.0, ALIKE_SECONDS / max(seconds, 1.0)),
            surprise_share=1.0 - math.exp(-seconds / SURPRISE_SECONDS),
            idle_share=1.0 - math.exp(-seconds / IDLE_SECONDS),
        )


class _Belief:
    """The mutable inside of one call."""

    def __init__(self, state: ServiceState):
        self.mean = list(state.mean)
        self.covariance = [list(state.covariance[4 * i : 4 * i + 4]) for i in range(4)]
        self.surprise = state.surprise
        self.idle_seen, self.idle_expected = state.idle_seen, state.idle_expected

    def take(self, sample: ServiceSample, prior: Coefficients, evidence: _Evidence) -> None:
        """The equations of one sample."""
        alpha, _, _, prefill = self.mean
        stretch = Stretch.of(sample, prior.alpha_ms * max(alpha, 0.0), prior.prefill_ms_per_ktoken * max(prefill, 0.0))
        if sample.busy_share is not None:
            self.idle_seen += evidence.idle_share * (1.0 - sample.busy_share - self.idle_seen)
            self.idle_expected += evidence.idle_share * (stretch.idle - self.idle_expected)
        found = (
            latency_equation(stretch, prior, self.mean),
            first_token_equation(stretch, prior),
            time_equation(stretch, prior, self._idle(stretch.idle)),
        )
        for equation in found:
            if equation is not None:
                self._update(equation, evidence)

    def _idle(self, expected: float) -> tuple[float, float]:
        """Share of a stretch without work, and how sure that is."""
        if self.idle_expected <= IDLE_KNOWN:
            return expected, expected
        factor = min(2.0, (self.idle_seen + IDLE_KNOWN) / (self.idle_expected + IDLE_KNOWN))
        return min(factor * expected, 1.0), IDLE_SIGMA * expected

    def _update(self, equation: Equation, evidence: _Evidence) -> None:
        # Written out: a week of a large fleet comes here half a million times.
        (r0, r1, r2, r3), target, sigma = equation
        covariance, mean = self.covariance, self.mean
        image = [c[0] * r0 + c[1] * r1 + c[2] * r2 + c[3] * r3 for c in covariance]
        v0, v1, v2, v3 = image
        unsure = v0 * r0 + v1 * r1 + v2 * r2 + v3 * r3
        if unsure <= 0:
            return
        residual = target - (mean[0] * r0 + mean[1] * r1 + mean[2] * r2 + mean[3] * r3)
        score = residual / math.sqrt(sigma * sigma + unsure)
        self._watch(score, evidence.surprise_share)
        # One sample's noise, counted as often as samples of that stretch repeat each other.
        noise, kept = sigma * sigma * max(1.0, abs(score) / HUBER) * evidence.repeats, evidence.kept
        # Forgetting first: what is known along this row weakens by `kept`, nothing else.
        swollen = unsure / kept
        # Then the sample. Both change the covariance by a multiple of image * image'.
        shrink = ((1.0 / kept - 1.0) / unsure) - (1.0 / kept) ** 2 / (noise + swollen)
        gain = (1.0 / kept) / (noise + swollen)
        for i, v in enumerate(image):
            mean[i] += gain * v * residual
            line, part = covariance[i], shrink * v
            line[0] += part * v0
            line[1] += part * v1
            line[2] += part * v2
            line[3] += part * v3

    def _watch(self, score: float, share: float) -> None:
        self.surprise += share * (max(-4.0, min(4.0, score)) - self.surprise)
        if abs(self.surprise) > SURPRISED:
            self.surprise = 0.0
            for line in self.covariance:
                line[:] = [WIDEN * value for value in line]


def _spread(group: Sequence[ServiceSample]) -> Sequence[ServiceSample]:
    """At most ``MAX_PER_CALL`` of one scrape's samples, evenly over their load."""
    if len(group) <= MAX_PER_CALL:
        return group
    ordered = sorted(group, key=lambda s: s.running_per_replica)
    step = (len(ordered) - 1) / (MAX_PER_CALL - 1)
    return [ordered[round(i * step)] for i in range(MAX_PER_CALL)]


def _same_prior(state: ServiceState, prior: ServiceProfile | None) -> bool:
    if prior is None:
        return not state.declared
    return state.declared and state.prior == _without_zeros(coefficients_of(prior))


def _without_zeros(known: Coefficients) -> Coefficients:
    """A coefficient declared as 0 is a small one: beliefs are relative, and nothing could be learned of 0."""
    least = [0.05 * known.alpha_ms] + [0.05 * value for value in _values(BUILT_IN)[1:]]
    return _with(known, [max(value, low) for value, low in zip(_values(known), least, strict=True)])


def _values(known: Coefficients) -> Vector:
    return (known.alpha_ms, known.beta_ms, known.gamma_ms_per_ktoken, known.prefill_ms_per_ktoken)


def _with(known: Coefficients, values: Sequence[float]) -> Coefficients:
    alpha, beta, gamma, prefill = values
    return Coefficients(alpha, beta, gamma, prefill, known.max_sequences, known.kv_cache_tokens)


def _times(known: Coefficients, factors: Sequence[float]) -> Coefficients:
    alpha, beta, gamma, prefill = factors
    return Coefficients(
        known.alpha_ms * alpha,
        known.beta_ms * beta,
        known.gamma_ms_per_ktoken * gamma,
        known.prefill_ms_per_ktoken * prefill,
        known.max_sequences,
        known.kv_cache_tokens,
    )


def _possible(mean: Vector, covariance: Vector) -> list[float]:
    """The mean given that no coefficient is below its floor: those that would be are set there, one after another."""
    values = list(mean)
    matrix = [list(covariance[4 * i : 4 * i + 4]) for i in range(4)]
    for _ in range(4):
        worst = min(range(4), key=lambda i: values[i] - _FLOOR[i])
        lacking = _FLOOR[worst] - values[worst]
        if lacking <= 1e-12:
            break
        column = [line[worst] for line in matrix]
        own = max(column[worst], 1e-18)
        values = [value + share * lacking / own for value, share in zip(values, column, strict=True)]
        values[worst] = _FLOOR[worst]
        for i in range(4):
            for j in range(4):
                matrix[i][j] -= column[i] * column[j] / own
    return [max(value, floor) for value, floor in zip(values, _FLOOR, strict=True)]


def _image(matrix: Vector, vector: Vector) -> Vector:
    return tuple(sum(matrix[4 * i + j] * vector[j] for j in range(4)) for i in range(4))


def _dot(left: Vector, right: Vector) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))
