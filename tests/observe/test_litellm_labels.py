"""Whose a LiteLLM counter is, by the labels that LiteLLM 1.106 gives it."""

from __future__ import annotations

import pytest

from spillway.config import GatewayConfig, GatewayRole, GatewayType
from spillway.observe.counters import GatewayRow
from spillway.observe.lanes import is_own
from spillway.observe.scope import LaneScope
from support.observed import hosted_lane

EGRESS = GatewayConfig(name="egress", type=GatewayType.LITELLM, role=GatewayRole.FRONT)


def owners(provider: str, *lanes: tuple[str, str]) -> list[str]:
    """Lanes (name, provider), all with the model `llama`, that claim a series of that model."""
    scopes = [LaneScope(hosted_lane("ai", name, "llama", own), None) for name, own in lanes]
    row = GatewayRow(EGRESS, {"model": "llama", "requested_model": "chat", "api_provider": provider})
    return [scope.resource.metadata.name for scope in scopes if is_own(row, scope, scopes)]


def test_own_engines_are_nobodys_hosted_lane() -> None:
    assert owners("hosted_vllm", ("paid", "groq")) == []
    assert owners("groq", ("paid", "groq")) == ["paid"]


@pytest.mark.parametrize(
    ("label", "provider"), [("gemini", "google"), ("together_ai", "together"), ("xai", "x-ai"), ("openai", "openai")]
)
def test_a_provider_is_known_by_litellms_name_for_it(label: str, provider: str) -> None:
    assert owners(label, ("first", "groq"), ("second", provider)) == ["second"]
