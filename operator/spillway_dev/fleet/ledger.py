"""The truth about every request and every GPU second, from which the demo's summary is computed."""

from __future__ import annotations

from dataclasses import dataclass, fields

from spillway.simulate.replica import Request
from spillway_dev.fleet.config import FleetConfig, TrafficClass


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one request ended. Times in seconds; `ttft_s` is None where no token came."""

    request: Request
    lane: str | None
    hosted: bool
    code: int
    end_s: float
    ttft_s: float | None = None
    itl_s: float | None = None
    usd: float = 0.0
    """What the hosted API charged, in US dollars."""

    def meets(self, traffic: TrafficClass) -> bool:
        """Whether the class's SLO was met: answered, first token and mean gap in time."""
        if self.code != 200 or self.ttft_s is None:
            return False
        fast = self.itl_s is None or self.itl_s * 1000.0 <= traffic.itl_ms
        return fast and self.ttft_s * 1000.0 <= traffic.ttft_ms


@dataclass(slots=True)
class ClassScore:
    """Sums over a class's scored requests that have ended."""

    requests: int = 0
    met: int = 0
    tokens: int = 0
    tokens_met: int = 0
    failed: int = 0
    hosted_requests: int = 0
    hosted_tokens: int = 0
    hosted_usd: float = 0.0
    arrived: int = 0

    @property
    def attainment(self) -> float | None:
        """Share of requests that met the SLO; None before the first has ended."""
        return self.met / self.requests if self.requests else None

    @property
    def token_attainment(self) -> float | None:
        """Share of tokens in requests that met the SLO."""
        return self.tokens_met / self.tokens if self.tokens else None

    @property
    def spilled_token_share(self) -> float:
        """Share of tokens that a hosted lane served."""
        return self.hosted_tokens / self.tokens if self.tokens else 0.0

    def held(self, traffic: TrafficClass) -> bool:
        """Whether the SLO is held: attainment at the target by requests and by tokens."""
        target = traffic.attainment_percent / 100.0
        by_requests, by_tokens = self.attainment, self.token_attainment
        return by_requests is not None and by_tokens is not None and min(by_requests, by_tokens) >= target


@dataclass(slots=True)
class Flow:
    """Counts of all requests, scored or not: what rates are read from."""

    arrived: int = 0
    ended: int = 0
    hosted: int = 0


class Ledger:
    """Scores by class. Requests that arrive outside [0, scored_until_s) are served but not scored."""

    def __init__(self, config: FleetConfig, scored_until_s: float) -> None:
        self.scored_until_s = scored_until_s
        self.flow = Flow()
        self._traffic = {traffic.name: traffic for traffic in config.classes}
        self.classes = {name: ClassScore() for name in self._traffic}

    def scored(self, request: Request) -> bool:
        """Whether the request counts."""
        return 0.0 <= request.arrival_s < self.scored_until_s

    def arrived(self, request: Request) -> None:
        """A request came in."""
        self.flow.arrived += 1
        if self.scored(request):
            self.classes[request.class_name].arrived += 1

    def ended(self, outcome: Outcome) -> None:
        """A request was answered or failed."""
        request = outcome.request
        self.flow.ended += 1
        self.flow.hosted += outcome.hosted
        if not self.scored(request):
            return
        score = self.classes[request.class_name]
        tokens = request.input_tokens + request.output_tokens
        met = outcome.meets(self._traffic[request.class_name])
        score.requests += 1
        score.tokens += tokens
        score.met += met
        score.tokens_met += tokens * met
        score.failed += outcome.code != 200
        if outcome.hosted:
            score.hosted_requests += 1
            score.hosted_tokens += tokens
            score.hosted_usd += outcome.usd

    def held(self) -> bool:
        """Whether every class holds its SLO."""
        return all(self.classes[name].held(traffic) for name, traffic in self._traffic.items())

    def total(self) -> ClassScore:
        """The sum over classes."""
        names = [column.name for column in fields(ClassScore)]
        sums = (sum(getattr(score, name) for score in self.classes.values()) for name in names)
        return ClassScore(*sums)
