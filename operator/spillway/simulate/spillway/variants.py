"""Spillway with something taken away or given: what each part of it is worth, and what a wrong profile costs.

Variants are policies of their own (`spillway-no-hold`, ...) that run like any other; none of them is what ships.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from spillway.api import OverflowMode, ServiceProfile
from spillway.decide.snapshot import Actuators
from spillway.simulate.policy import Known, LaneInfo
from spillway.simulate.world import OwnTruth, World

EVERYTHING = Actuators(weights=True, in_flight_cap=True, hold=True)


@dataclass(frozen=True, slots=True)
class Variant:
    """How a run of Spillway differs from the shipped one, which is all defaults."""

    what: str = "as it ships"
    """For people."""
    actuators: Actuators = EVERYTHING
    learns_service: bool = True
    """Whether it sees the engines' service samples."""
    profile_factor: float | None = 1.0
    """On the four times of the lanes' declared profiles; None: none is declared."""
    true_profile: bool = False
    """The lanes' profiles are the truth (of a measured table: the formula nearest to it)."""
    foresight: bool = False
    """Demand is known beforehand."""
    spills: bool = True
    """Whether hosted lanes may be used; what own lanes never serve is then lost, for every request."""

    def setting(self, world: World, known: Known) -> tuple[World, Known]:
        """The world that such a run takes place in, and what the policy is told."""
        own = tuple(self._told(lane, truth) for lane, truth in zip(known.own, world.own, strict=True))
        known = replace(known, own=own)
        if self.spills:
            return world, known
        overflow = known.plan.spec.overflow.model_copy(update={"mode": OverflowMode.NEVER})
        spec = known.plan.spec.model_copy(update={"overflow": overflow})
        plan = known.plan.model_copy(update={"spec": spec})
        return replace(world, classes=tuple(replace(c, hosted=()) for c in world.classes)), replace(known, plan=plan)

    def _told(self, lane: LaneInfo, truth: OwnTruth) -> LaneInfo:
        spec = lane.resource.spec.self_hosted
        if spec is None or (self.profile_factor == 1.0 and not self.true_profile):
            return lane
        profile = true_profile(truth) if self.true_profile else scaled(spec.profile, self.profile_factor)
        changed = spec.model_copy(update={"profile": profile})
        whole = lane.resource.spec.model_copy(update={"self_hosted": changed})
        return replace(lane, resource=lane.resource.model_copy(update={"spec": whole}))


def scaled(profile: ServiceProfile | None, factor: float | None) -> ServiceProfile | None:
    """The profile with all four times multiplied; None: no profile."""
    if profile is None or factor is None:
        return None
    by = Decimal(str(factor))
    return profile.model_copy(
        update={
            "alpha_ms": profile.alpha_ms * by,
            "beta_ms_per_sequence": profile.beta_ms_per_sequence * by,
            "gamma_ms_per_k_token": profile.gamma_ms_per_k_token * by,
            "prefill_ms_per_k_token": profile.prefill_ms_per_k_token * by,
        }
    )


def true_profile(truth: OwnTruth) -> ServiceProfile:
    """What a lane really does, as a profile says it."""
    return ServiceProfile(
        alpha_ms=Decimal(str(truth.alpha_ms)),
        beta_ms_per_sequence=Decimal(str(truth.beta_ms_per_seq)),
        gamma_ms_per_k_token=Decimal(str(truth.gamma_ms_per_ktoken)),
        prefill_ms_per_k_token=Decimal(str(truth.prefill_ms_per_ktoken)),
        max_sequences=truth.max_num_seqs,
        kv_cache_tokens=truth.kv_cache_tokens,
    )


SHIPPED = Variant()
VARIANTS: Mapping[str, Variant] = {
    "spillway": SHIPPED,
    "spillway-oracle-forecast": Variant("demand known beforehand", foresight=True),
    "spillway-oracle-service": Variant("service known, not learned", true_profile=True, learns_service=False),
    "spillway-oracle-both": Variant(
        "demand and service known", foresight=True, true_profile=True, learns_service=False
    ),
    "spillway-no-spill": Variant("no hosted lane may be used", spills=False),
    "spillway-no-hold": Variant("caps without holds", actuators=replace(EVERYTHING, hold=False)),
    "spillway-no-cap": Variant("weights only: no caps, no holds", actuators=Actuators(weights=True)),
    "spillway-no-learning": Variant("the declared profile, never corrected", learns_service=False),
    "spillway-no-learning-x2": Variant(
        "a profile twice as slow as declared, never corrected", learns_service=False, profile_factor=2.0
    ),
    "spillway-no-learning-x0.5": Variant(
        "a profile twice as fast as declared, never corrected", learns_service=False, profile_factor=0.5
    ),
    "spillway-prior-x2": Variant("a profile twice as slow as declared, learning", profile_factor=2.0),
    "spillway-prior-x0.5": Variant("a profile twice as fast as declared, learning", profile_factor=0.5),
    "spillway-no-prior": Variant("no profile declared, learning", profile_factor=None),
}
"""By policy name."""
