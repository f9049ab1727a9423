"""What a benchmark runs: everything with three seeds, or a quick look."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from spillway.simulate.backtest.names import SCALERS, VARIANTS

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = ROOT / "examples" / "scenarios"
SCENARIOS = ("code-week", "office-week", "chat-week", "burst-week", "mixed-week", "reasoning-day")
FAULTS = ("hosted-outage", "gpu-stock-out", "slow-startup")
DAY_S, HOUR_S = 86_400.0, 3_600.0


@dataclass(frozen=True, slots=True)
class Map:
    """One trace of the regime map."""

    scenario: str
    startups_s: tuple[float, ...]
    ratios: tuple[float, ...]
    """Hosted dollars over GPU dollars of the same work."""
    fleets: tuple[tuple[str, float], ...]
    """(name, factor on the scenario's demand)."""
    policies: tuple[str, ...] = ("spillway", "api-only", "static-best", "clairvoyant-replay")
    offset_s: float = 18 * HOUR_S
    warmup_s: float = 6 * HOUR_S
    duration_s: float = 30 * HOUR_S


FLEETS = (("small", 0.4), ("large", 2.5))
RATIOS = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)


@dataclass(frozen=True, slots=True)
class Settings:
    """One benchmark."""

    name: str
    scenarios: tuple[str, ...] = SCENARIOS
    seeds: int = 3
    """Of each scenario, for Spillway, tuned baselines and what is found in hindsight."""
    span_s: tuple[float, float] | None = None
    """Warm-up and duration that scenarios are cut to; None: as they are."""
    tuned: tuple[str, ...] = ("all@tuned",)
    """All on the first seed; the cheapest that hold the SLO there on the others too."""
    hindsight: tuple[str, ...] = ("static-best", "cron-best", "api-only", "clairvoyant-replay")
    defaults: tuple[str, ...] = tuple(f"{scaler}+queue" for scaler in SCALERS)
    """Baselines as they come, on the first seed."""
    variants: tuple[str, ...] = VARIANTS
    """On the first seed of `variant_scenarios`."""
    variant_scenarios: tuple[str, ...] = SCENARIOS
    oracles: int = 1
    """So many of each scenario's best tuned pairs of scaler and spill rule are tuned in hindsight."""
    maps: tuple[Map, ...] = ()
    faults: tuple[str, ...] = FAULTS
    fault_policies: tuple[str, ...] = ()
    first_day: int | None = 3
    """The block of a day, from the end of the warm-up, that is run again with nothing learned."""
    timed: tuple[str, ...] = SCENARIOS
    """Scenarios whose whole command is timed."""


FAULT_POLICIES = ("spillway", "keda-queue@tuned+hold", "hpa@tuned+hold", "static-best", "api-only")
FULL = Settings(
    name="full",
    variants=(
        "spillway-oracle-forecast",
        "spillway-oracle-service",
        "spillway-oracle-both",
        "spillway-no-spill",
        "spillway-no-hold",
        "spillway-no-cap",
        "spillway-no-learning",
        "spillway-no-learning-x2",
    ),
    variant_scenarios=("code-week", "office-week", "reasoning-day"),
    timed=("code-week", "office-week", "chat-week"),
    maps=(
        Map("chat-week", startups_s=(240.0,), ratios=RATIOS, fleets=FLEETS[:1]),
        Map("chat-week", startups_s=(30.0, 1500.0), ratios=(2.0, 8.0), fleets=FLEETS[:1]),
        Map("chat-week", startups_s=(240.0,), ratios=(2.0, 8.0), fleets=FLEETS[1:]),
    ),
    fault_policies=FAULT_POLICIES,
)
QUICK = Settings(
    name="quick",
    seeds=1,
    span_s=(0.5 * DAY_S, 2.0 * DAY_S),
    tuned=("hpa@tuned", "keda-queue@tuned", "wva-model@tuned"),
    hindsight=("static-best", "api-only", "clairvoyant-replay"),
    defaults=("hpa",),
    variants=("spillway-oracle-both", "spillway-no-hold", "spillway-prior-x2"),
    oracles=0,
    maps=(Map("chat-week", startups_s=(240.0,), ratios=(1.0, 4.0), fleets=(("small", 0.4),)),),
    fault_policies=("spillway", "keda-queue@tuned+hold", "api-only"),
    first_day=None,
    timed=("code-week",),
)
SECTIONS = ("scenarios", "variants", "map", "faults", "first-day", "speed")
