"""What lanes really do on one side of a change, and where that is known from.

Own lanes: a scenario's truth, while the lane keeps the hardware and models that it was taken on; else the lane's
declared profile; else measurements of its GPU type and model. Hosted lanes: a scenario's truth while provider and
model stay, else the declared latency, else an assumed one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from spillway.advise.review.effect import Confidence
from spillway.api import CapacityLane, ServiceProfile
from spillway.simulate.scenario.errors import ScenarioError
from spillway.simulate.scenario.model import HostedLaneTruth, OwnLaneTruth, Startup
from spillway.simulate.sides.ask import Measured
from spillway.simulate.sides.doubts import Doubt
from spillway.simulate.sides.traffic import Source

STARTUP_SECONDS, STARTUP_SIGMA = 300.0, 0.2
KV_CACHE_TOKENS = 450_000
HOSTED_TTFT_MS, HOSTED_ITL_MS = 700.0, 15.0
P99_OF_TTFT, P99_OF_ITL = 3.0, 2.0
"""How far a hosted API's 99th percentile lies above its typical latency, where nothing is known of it."""
DECLARED, LEARNED = "declared profile", "learned from"
"""How a truth's source begins that is a declaration, or was learned from the lane's own engines."""
ASSUMED_CACHE = "cache size assumed"
"""In a source."""
PRICE_SOURCE = "spillway.dev/price-source"
"""Annotation on a document whose price was looked up: where."""


@dataclass(frozen=True, slots=True)
class Truths:
    """Of one side's lanes."""

    own: Mapping[str, OwnLaneTruth]
    hosted: Mapping[str, HostedLaneTruth]
    sources: Mapping[str, str]
    """By lane, for people."""
    doubts: tuple[Doubt, ...]
    largest_batch: Mapping[str, int] = field(default_factory=dict)
    """By own lane: sequences up to which was measured, where that is known."""


def truths_of(
    own: Sequence[CapacityLane],
    hosted: Sequence[CapacityLane],
    both: tuple[Mapping[str, CapacityLane], Mapping[str, CapacityLane]],
    source: Source,
    measured: Callable[[CapacityLane], Measured | None] | None,
) -> Truths:
    """Truths of the lanes of one side; `both` are the base's and the head's lanes by name. Raises ScenarioError."""
    finder = _Finder(both, source, measured)
    own_truths = {lane.metadata.name: finder.own(lane) for lane in own}
    hosted_truths = {lane.metadata.name: finder.hosted(lane) for lane in hosted}
    return Truths(own_truths, hosted_truths, finder.sources, tuple(finder.doubts), finder.largest_batch)


class _Finder:
    def __init__(
        self,
        both: tuple[Mapping[str, CapacityLane], Mapping[str, CapacityLane]],
        source: Source,
        measured: Callable[[CapacityLane], Measured | None] | None,
    ) -> None:
        (self._before, self._after), self._source, self._measured = both, source, measured
        self.sources: dict[str, str] = {}
        self.doubts: list[Doubt] = []
        self.largest_batch: dict[str, int] = {}

    def own(self, lane: CapacityLane) -> OwnLaneTruth:
        name, key = lane.metadata.name, lane.metadata.key
        spec = lane.spec.self_hosted
        assert spec is not None  # noqa: S101 - checked with the manifests
        base = self._before.get(name)
        moved = base is not None and _moved(base, lane)
        given = self._source.file.truth.get(name)
        if given is not None and not moved:
            self.sources[name] = given.source or self._source.truths_from
            if given.largest_batch is not None:
                self.largest_batch[name] = given.largest_batch
            if given.source.startswith(DECLARED):
                self.doubts.append(_declared(key))
            # Engines tell how they serve, but not how long they take to start.
            if ASSUMED_CACHE in given.source:
                self.doubts.append(_assumed_cache(key))
            learned = given.source.startswith(LEARNED)
            return given.model_copy(update={"startup_seconds": self._startup(lane)}) if learned else given
        if (profile := self._profile(lane)) is not None:
            self.sources[name] = DECLARED
            self.doubts.append(self._stale(lane, base) if moved and _same_profile(base, lane) else _declared(key))
            return self._with_startup(lane, profile)
        found = None if self._measured is None else self._measured(lane)
        if found is None:
            raise ScenarioError(
                f"CapacityLane {key}: spec.selfHosted.profile: is missing, and nothing else tells what a replica of "
                f"{spec.gpu.per_replica} {spec.gpu.type} does with {', '.join(lane.spec.models)}; declare it"
            )
        self.sources[name] = found.truth.source
        self.largest_batch[name] = found.largest_batch
        self.doubts.append(
            Doubt(f"CapacityLane {key}: service is taken from measurements elsewhere ({found.truth.source}).")
        )
        return found.truth.model_copy(update={"startup_seconds": self._startup(lane)})

    def _profile(self, lane: CapacityLane) -> ServiceProfile | None:
        """As declared. On the same hardware what is declared last is taken for both sides: that engines become faster
        by a declaration must not be among a change's effects.
        """
        spec, last = lane.spec.self_hosted, self._after.get(lane.metadata.name)
        profile = None if spec is None else spec.profile
        if last is None or _moved(last, lane) or last.spec.self_hosted is None:
            return profile
        latest = last.spec.self_hosted.profile
        if latest is not None and profile is not None and latest != profile:
            text = (
                f"CapacityLane {lane.metadata.key}: declares another profile now, and both sides are replayed with it."
            )
            self.doubts.append(Doubt(text))
        return profile if latest is None else latest

    def _stale(self, lane: CapacityLane, base: CapacityLane | None) -> Doubt:
        before = "another type" if base is None else _hardware_text(base)
        text = (
            f"CapacityLane {lane.metadata.key}: runs on {_hardware_text(lane)} now, but still declares the profile "
            f"that it had on {before}: what it does there is not known."
        )
        return Doubt(text, Confidence.LOW)

    def _with_startup(self, lane: CapacityLane, profile: ServiceProfile) -> OwnLaneTruth:
        if profile.kv_cache_tokens is None:
            self.doubts.append(_assumed_cache(lane.metadata.key))
        startup = self._startup(lane)
        return OwnLaneTruth.model_validate(
            {
                "startupSeconds": {"mean": startup.mean, "sigma": startup.sigma},
                "maxNumSeqs": profile.max_sequences,
                "kvCacheTokens": profile.kv_cache_tokens or KV_CACHE_TOKENS,
                "alphaMs": float(profile.alpha_ms),
                "betaMsPerSeq": float(profile.beta_ms_per_sequence),
                "gammaMsPerKTokenKV": float(profile.gamma_ms_per_k_token),
                "prefillMsPerKToken": float(profile.prefill_ms_per_k_token),
            }
        )

    def _startup(self, lane: CapacityLane) -> Startup:
        spec = lane.spec.self_hosted
        seconds = None if spec is None else spec.startup_seconds
        if seconds is None:
            text = f"CapacityLane {lane.metadata.key}: startupSeconds is not declared and taken as {STARTUP_SECONDS:g}."
            self.doubts.append(Doubt(text))
        return Startup(mean=float(seconds or STARTUP_SECONDS), sigma=STARTUP_SIGMA)

    def hosted(self, lane: CapacityLane) -> HostedLaneTruth:
        name, key, spec = lane.metadata.name, lane.metadata.key, lane.spec.hosted
        assert spec is not None  # noqa: S101 - checked with the manifests
        if spec.price is None:
            raise ScenarioError(
                f"CapacityLane {key}: spec.hosted.price: is missing, and no list price is known of model "
                f"{spec.model} at {spec.provider}; give the price"
            )
        looked_up = lane.metadata.annotations.get(PRICE_SOURCE)
        price = "contract price" if looked_up is None else f"list price ({looked_up})"
        base = self._before.get(name)
        moved = base is not None and _offer(base) != _offer(lane)
        given = self._source.file.hosted.get(name)
        if given is not None and not moved:
            self.sources[name] = f"latency of {self._source.truths_from}, {price}"
            return given
        last = self._after.get(name)
        stays = last is not None and _offer(last) == _offer(lane) and last.spec.hosted is not None
        latency = (last.spec.hosted.latency if stays and last and last.spec.hosted else None) or spec.latency
        if latency is None:
            self.sources[name] = f"latency assumed, {price}"
            text = (
                f"CapacityLane {key}: latency is not declared and taken as {HOSTED_TTFT_MS:g} ms to the first token "
                f"and {HOSTED_ITL_MS:g} ms between tokens."
            )
            self.doubts.append(Doubt(text))
            return _latency(HOSTED_TTFT_MS, HOSTED_ITL_MS)
        self.sources[name] = f"declared latency, {price}"
        return _latency(float(latency.time_to_first_token_ms), float(latency.inter_token_latency_ms))


def _declared(key: str) -> Doubt:
    return Doubt(f"CapacityLane {key}: service is the declared profile; real engines may be faster or slower.")


def _assumed_cache(key: str) -> Doubt:
    return Doubt(f"CapacityLane {key}: kvCacheTokens is not declared and taken as {KV_CACHE_TOKENS}.")


def _latency(ttft_ms: float, itl_ms: float) -> HostedLaneTruth:
    return HostedLaneTruth.model_validate(
        {
            "ttftMs": {"p50": ttft_ms, "p99": ttft_ms * P99_OF_TTFT},
            "itlMs": {"p50": itl_ms, "p99": itl_ms * P99_OF_ITL},
        }
    )


def _moved(base: CapacityLane, lane: CapacityLane) -> bool:
    """Whether a lane's replicas are others than before; another name of the model beside the old one is not enough."""
    one, two = base.spec.self_hosted, lane.spec.self_hosted
    if one is None or two is None:
        return True
    same = (one.gpu.type, one.gpu.per_replica, one.engine) == (two.gpu.type, two.gpu.per_replica, two.engine)
    return not same or not set(base.spec.models) & set(lane.spec.models)


def _hardware_text(lane: CapacityLane) -> str:
    own = lane.spec.self_hosted
    return "hosted capacity" if own is None else f"{own.gpu.per_replica} {own.gpu.type} a replica"


def _same_profile(base: CapacityLane | None, lane: CapacityLane) -> bool:
    one = None if base is None or base.spec.self_hosted is None else base.spec.self_hosted.profile
    two = None if lane.spec.self_hosted is None else lane.spec.self_hosted.profile
    return one is not None and one == two


def _offer(lane: CapacityLane) -> object:
    hosted = lane.spec.hosted
    return None if hosted is None else (hosted.provider, hosted.model)
