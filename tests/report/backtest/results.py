"""Results as `spillway backtest -o json` gives them, small."""

from __future__ import annotations

from typing import Any


def policy(usd: float, *, held: bool = True, attainment: float = 0.993, **fields: Any) -> dict[str, Any]:
    base = {
        "cost_usd": usd,
        "cost_with_misses_usd": {"0": usd, "3": usd + 3, "10": usd + 10},
        "gpu_cost_usd": usd * 0.9,
        "hosted_cost_usd": usd * 0.1,
        "gpu_hours": usd / 4,
        "slo_held": held,
        "slo_attainment": attainment,
        "slo_attainment_by_class": {"chat": attainment},
        "spilled_token_share": 0.1,
        "scale_ups": 20,
        "scale_downs": 19,
        "direction_changes_per_hour": 0.25,
        "deadline_misses": 0,
        "decide_ms": {"p50": 1.5, "p99": 12.5},
        "ci95": [usd * 0.95, usd * 1.05],
        "seeds": [1, 2, 3],
    }
    return base | fields


def result(scenario: str = "code-week", **changes: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "scenario": scenario,
        "requests_hash": "0123456789abcdef" * 4,
        "policies": {
            "spillway": policy(700.0),
            "hpa+queue@tuned": policy(1000.0),
            "keda-slo+cap@tuned": policy(800.0),
            "dynamo-sla+hold@oracle": policy(720.0),
            "hpa+queue": policy(650.0, held=False, attainment=0.95),
            "static-best": policy(900.0),
            "api-only": policy(9000.0),
        },
        "bound": {"cost_usd": 600.0},
        "clairvoyant_replay": {"cost_usd": 680.0},
        "ratios": {},
    }
    return base | changes


def timeline(points: int = 8, step: float = 60.0) -> dict[str, Any]:
    at = [step * i for i in range(points)]
    return {
        "at_s": at,
        "ready": {"gpu": [2] * points},
        "desired": {"gpu": [3] * points},
        "arrived_per_s": {"chat": [5.0] * points},
        "hosted_per_s": {"chat": [1.0] * points},
        "usd_per_hour": [7.7] * points,
        "forecast": {
            "chat": {"lead_s": 600, "q10": [None] + [4.0] * (points - 1), "q50": [5.0] * points, "q90": [6.0] * points}
        },
    }
