"""Results of backtests in the making: what `spillway backtest -o json` prints, with days that a test chooses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Document = dict[str, Any]
Days = Sequence[Sequence[float]]
"""Dollars by seed and day."""


def entry(name: str, days: Days, *, held: bool = True, attained: float = 0.99) -> Document:
    """One policy; its scaler, tuning and spill rule follow from the name."""
    base, _, spill = name.partition("+")
    scaler, _, tuning = base.partition("@")
    alone = scaler.startswith(("spillway", "static-best", "cron-best", "api-only", "clairvoyant"))
    seeds = [_seed(number, each, held) for number, each in enumerate(days, start=1)]
    usd = sum(seed["cost_usd"] for seed in seeds) / len(seeds)
    return {
        "scaler": scaler,
        "tuning": tuning or "default",
        "spill": None if alone else spill or "queue",
        "cost_usd": usd,
        "cost_with_misses_usd": {"0": usd, "3": usd + 3, "10": usd + 10},
        "slo_held": held,
        "slo_attainment": attained,
        "slo_attainment_by_class": {"a/chat": attained},
        "slo_attainment_tokens_by_class": {"a/chat": attained - 0.01},
        "spilled_token_share": 0.1,
        "gpu_hours": 100.0,
        "direction_changes_per_hour": 0.5,
        "seeds": seeds,
    }


def result(scenario: str, policies: Mapping[str, Document], replay: Document | None = None) -> Document:
    """One scenario."""
    return {
        "scenario": scenario,
        "policies": dict(policies),
        "clairvoyant_replay": replay or {"cost_usd": None},
        "bound": {"cost_usd": 50.0},
        "ratios": {},
        "failed": {},
        "seeds": [1, 2],
        "warmup_seconds": 86_400.0,
        "duration_seconds": 604_800.0,
        "command": f"spillway backtest {scenario}.yaml",
    }


def _seed(number: int, days: Sequence[float], held: bool) -> Document:
    return {
        "seed": number,
        "cost_usd": sum(days),
        "slo_held": held,
        "days": [{"cost_usd": usd, "requests": 1000, "misses": 10, "miss_price_usd": 0.1} for usd in days],
    }
