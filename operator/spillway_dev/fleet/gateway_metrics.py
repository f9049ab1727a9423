"""Counters of the gateway (Envoy, per route rule) and of the egress proxy (LiteLLM, per team and model).

Label names follow litellm/types/integrations/prometheus.py and Envoy Gateway's cluster names.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from spillway_dev.fleet.config import FleetConfig, HostedLane, TrafficClass
from spillway_dev.fleet.histogram import Family, Line, labels
from spillway_dev.fleet.ledger import Outcome

CODE_CLASSES = ("2", "4", "5")


@dataclass(slots=True)
class _Rule:
    total: int = 0
    active: int = 0
    by_code: dict[str, int] = field(default_factory=lambda: dict.fromkeys(CODE_CLASSES, 0))


@dataclass(slots=True)
class _Egress:
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    spend_usd: float = 0.0


class GatewayMetrics:
    """All gateway counters of a fleet. An egress series appears with its first request, as LiteLLM's do."""

    def __init__(self, config: FleetConfig) -> None:
        self._rules = {traffic.route.cluster_name: _Rule() for traffic in config.classes}
        self._egress: dict[tuple[str, str], _Egress] = {}
        self._hosted = {lane.name: lane for lane in config.hosted}

    def started(self, traffic: TrafficClass) -> None:
        """The gateway has sent a request upstream."""
        rule = self._rules[traffic.route.cluster_name]
        rule.total += 1
        rule.active += 1

    def ended(self, traffic: TrafficClass, code: int) -> None:
        """The gateway has its answer."""
        rule = self._rules[traffic.route.cluster_name]
        rule.active -= 1
        rule.by_code[str(code)[0]] += 1

    def egress(self, traffic: TrafficClass, lane: HostedLane, outcome: Outcome) -> None:
        """A hosted API has answered."""
        counts = self._egress.setdefault((lane.name, traffic.team), _Egress())
        counts.requests += 1
        counts.input_tokens += outcome.request.input_tokens
        counts.output_tokens += outcome.request.output_tokens
        counts.spend_usd += outcome.usd

    def envoy(self) -> Iterator[Family]:
        """Envoy's cluster counters."""
        total: list[Line] = []
        codes: list[Line] = []
        active: list[Line] = []
        for cluster, rule in self._rules.items():
            name = labels(envoy_cluster_name=cluster)
            total.append((f"envoy_cluster_upstream_rq_total{{{name}}}", rule.total))
            active.append((f"envoy_cluster_upstream_rq_active{{{name}}}", rule.active))
            for digit, count in rule.by_code.items():
                code = labels(envoy_response_code_class=digit)
                codes.append((f"envoy_cluster_upstream_rq_xx{{{code},{name}}}", count))
        yield Family("envoy_cluster_upstream_rq_total", "counter", "Requests sent upstream.", total)
        yield Family("envoy_cluster_upstream_rq_xx", "counter", "Responses by class of code.", codes)
        yield Family("envoy_cluster_upstream_rq_active", "gauge", "Requests under way.", active)

    def litellm(self) -> Iterator[Family]:
        """LiteLLM's counters of what went to hosted APIs."""
        requests: list[Line] = []
        spend: list[Line] = []
        tokens_in: list[Line] = []
        tokens_out: list[Line] = []
        for (lane, team), counts in self._egress.items():
            who = _who(self._hosted[lane], team)
            provider = f"{who},{labels(api_provider=self._hosted[lane].provider)}"
            asked = f"{who},{labels(requested_model=self._hosted[lane].model)}"
            requests.append((f"litellm_requests_metric_total{{{provider}}}", counts.requests))
            spend.append((f"litellm_spend_metric_total{{{provider}}}", counts.spend_usd))
            tokens_in.append((f"litellm_input_tokens_metric_total{{{asked}}}", counts.input_tokens))
            tokens_out.append((f"litellm_output_tokens_metric_total{{{asked}}}", counts.output_tokens))
        yield Family("litellm_requests_metric_total", "counter", "Total number of LLM calls.", requests)
        yield Family("litellm_spend_metric_total", "counter", "Total spend on LLM requests.", spend)
        yield Family("litellm_input_tokens_metric_total", "counter", "Total number of input tokens.", tokens_in)
        yield Family("litellm_output_tokens_metric_total", "counter", "Total number of output tokens.", tokens_out)


def _who(lane: HostedLane, team: str) -> str:
    return labels(
        model=lane.model,
        team=team,
        team_alias=team,
        api_key_alias=team,
        hashed_api_key="",
        end_user="None",
        user="default_user_id",
        model_id=f"{lane.provider}-{lane.name}",
    )
