"""Attempts to get a SelfHostedOnly class's requests to a hosted lane through the rendered configuration."""

from __future__ import annotations

import itertools
import json

import pytest
import yaml

from spillway.act.litellm.values import Decided, ProxyRole, Sending
from support.proxied import hosted, own, rendered, workload

SECRET = "team-a/secret"
EVERYWHERE = {"gpu": 0, "hosted": 100, "flex": 100}


@pytest.mark.parametrize(
    ("sending", "role", "match", "latency"),
    list(
        itertools.product(
            Sending,
            ProxyRole,
            [{"model": "secret"}, {"team": "s"}, {"header": {"name": "x", "value": "y"}}],
            ["Interactive", "Background"],
        )
    ),
)
def test_no_decision_gives_it_a_hosted_deployment(
    sending: Sending, role: ProxyRole, match: dict[str, object], latency: str
) -> None:
    decided = Decided(sending, {SECRET: EVERYWHERE}, in_flight={"gpu": 0})
    lanes = [own(models=("llama", "gpt-4o-mini")), hosted(), hosted("flex", kind="Flex")]
    item = workload("secret", dataPolicy="SelfHostedOnly", match=match, latency=latency)
    result = rendered(decided, [item], lanes, role=role)
    assert [made for made in result.deployments if made.hosted] == []
    assert "openai/" not in result.files["config.yaml"]
    assert "service_tier" not in result.files["config.yaml"]


@pytest.mark.parametrize("role", ProxyRole)
@pytest.mark.parametrize("older", [True, False])
def test_another_class_cannot_open_its_name(role: ProxyRole, older: bool) -> None:
    """Somebody else's class with the same model name, older or younger, matched by model or by team."""
    created = "2025-01-01T00:00:00Z" if older else "2026-06-01T00:00:00Z"
    decided = Decided(Sending.SPLIT, {"team-a/thief": {"hosted": 100}, SECRET: {"gpu": 100}})
    for match in ({"model": "secret"}, {"team": "t"}):
        thief = workload("thief", ("secret", "llama", "gpt-4o-mini"), match=match, created=created)
        result = rendered(decided, [thief, workload("secret", dataPolicy="SelfHostedOnly")], role=role)
        assert [made for made in result.deployments if made.hosted and made.model_name == "secret"] == []
        told = [each for each in result.findings if each.reason == "DataPolicyShared"]
        assert [each.subject for each in told] == ["WorkloadClass/team-a/thief"]


def test_a_lane_that_calls_itself_as_the_class_does_is_still_hosted() -> None:
    decided = Decided(Sending.SPLIT, {SECRET: {"hosted": 100}})
    result = rendered(decided, [workload("secret", ("secret",), dataPolicy="SelfHostedOnly")],
                      [own(models=("secret",)), hosted(models=("secret",))])  # fmt: skip
    assert {made.lane for made in result.deployments} == {"gpu"}


def test_the_guard_is_told_the_same_as_litellm() -> None:
    decided = Decided(Sending.SPLIT, {SECRET: EVERYWHERE, "team-a/chat": {"gpu": 50, "hosted": 50}})
    result = rendered(decided, [workload(), workload("secret", dataPolicy="SelfHostedOnly")])
    rules = json.loads(result.files["spillway.json"])
    assert {name: rule["hosted"] for name, rule in rules["models"].items()} == {"chat": True, "secret": False}
    listed = {
        item["model_info"]["id"]: item["model_name"]
        for item in yaml.safe_load(result.files["config.yaml"])["model_list"]
    }
    assert {key: rule["model"] for key, rule in rules["deployments"].items()} == listed
    assert rules["deployments"]["chat@hosted"]["hosted"]
    assert not rules["deployments"]["secret@gpu"]["hosted"]
