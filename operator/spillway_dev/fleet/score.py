"""The score as JSON: what the demo shows while it runs, and what its summary is computed from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from spillway_dev.fleet.model import FleetModel

RATE_WINDOW_S = 5.0


@dataclass(frozen=True, slots=True)
class _Mark:
    at_s: float
    arrived: int
    ended: int
    hosted: int


class Scorer:
    """Totals since the scored day began, and rates over the last seconds."""

    def __init__(self, fleet: FleetModel) -> None:
        self._fleet = fleet
        self._marks: list[_Mark] = []

    def mark(self) -> None:
        """Remember the totals now; call about once a second."""
        flow = self._fleet.ledger.flow
        now_s = self._fleet.now_s
        self._marks.append(_Mark(now_s, flow.arrived, flow.ended, flow.hosted))
        while len(self._marks) > 2 and self._marks[1].at_s <= now_s - RATE_WINDOW_S:
            self._marks.pop(0)

    def score(self) -> dict[str, Any]:
        """Everything, JSON-ready. Times in seconds on the demand's clock, money in US dollars."""
        fleet = self._fleet
        total = fleet.ledger.total()
        until_s = min(fleet.now_s, fleet.ledger.scored_until_s)
        return {
            "now_s": round(fleet.now_s, 3),
            "day_s": fleet.ledger.scored_until_s,
            "finished": fleet.now_s >= fleet.ledger.scored_until_s and total.requests == total.arrived,
            "in_flight": fleet.in_flight,
            "rates": self._rates(),
            "lanes": {name: self._lane(name, until_s) for name in fleet.lanes},
            "classes": {name: self._class(name) for name in fleet.ledger.classes},
            "held": fleet.ledger.held(),
        }

    def _rates(self) -> dict[str, float]:
        if len(self._marks) < 2:
            return {"requests_per_second": 0.0, "spilled_share": 0.0}
        first, last = self._marks[0], self._marks[-1]
        seconds = max(1e-9, last.at_s - first.at_s)
        ended = last.ended - first.ended
        return {
            "requests_per_second": (last.arrived - first.arrived) / seconds,
            "spilled_share": (last.hosted - first.hosted) / ended if ended else 0.0,
        }

    def _lane(self, name: str, until_s: float) -> dict[str, Any]:
        state = self._fleet.lanes[name]
        pods = list(state.pods.values())
        gpu_seconds = state.gpu_seconds(0.0, max(0.0, until_s))
        return {
            "pods": len(pods),
            "ready": sum(pod.accepting for pod in pods),
            "starting": sum(pod.replica is None and not pod.gone for pod in pods),
            "draining": sum(pod.replica is not None and not pod.accepting for pod in pods),
            "gpus": len(pods) * state.lane.gpus_per_replica,
            "gpu_seconds": gpu_seconds,
            "gpu_usd": gpu_seconds / 3600.0 * state.lane.usd_per_gpu_hour,
            "usd_per_hour": len(pods) * state.lane.gpus_per_replica * state.lane.usd_per_gpu_hour,
        }

    def _class(self, name: str) -> dict[str, Any]:
        score = self._fleet.ledger.classes[name]
        return {
            "arrived": score.arrived,
            "requests": score.requests,
            "met": score.met,
            "failed": score.failed,
            "attainment": score.attainment,
            "token_attainment": score.token_attainment,
            "tokens": score.tokens,
            "hosted_requests": score.hosted_requests,
            "hosted_tokens": score.hosted_tokens,
            "hosted_usd": score.hosted_usd,
            "spilled_token_share": score.spilled_token_share,
        }
