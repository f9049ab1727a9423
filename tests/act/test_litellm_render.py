"""What is rendered for LiteLLM: weights, order, limits, names, and nothing that is secret."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
import yaml

from spillway.act.litellm.limits import armed, share
from spillway.act.litellm.render import config_map, rollout_patch
from spillway.act.litellm.values import Decided, Limits, ProxyRole, Sending
from spillway.decide.snapshot import TokenPrice
from support.proxied import OWN, hosted, of, own, rendered, workload

CHAT = "team-a/chat"
PRICE = TokenPrice(Decimal("0.05"), Decimal("0.005"), Decimal("0.40"), "contract")


def split(**weights: int) -> Decided:
    return Decided(Sending.SPLIT, {CHAT: {lane.replace("_", "-"): weight for lane, weight in weights.items()}})


def test_a_split_becomes_weights() -> None:
    made = of(rendered(split(gpu=70, hosted=30)), "chat")
    assert (made["gpu"].weight, made["hosted"].weight) == (70, 30)
    assert made["gpu"].model == "hosted_vllm/llama"
    assert made["gpu"].address == OWN
    assert made["hosted"].model == "openai/gpt-4o-mini"
    assert made["gpu"].order is None


def test_a_lane_without_a_share_is_not_there_at_all() -> None:
    """LiteLLM would send it what the others refuse."""
    assert set(of(rendered(split(gpu=100, hosted=0)), "chat")) == {"gpu"}
    assert set(of(rendered(split(gpu=0, hosted=100)), "chat")) == {"hosted"}


def test_a_class_that_nobody_decided_on_stays_on_own_lanes() -> None:
    made = of(rendered(Decided(Sending.SPLIT)), "chat")
    assert {lane: each.weight for lane, each in made.items()} == {"gpu": 1}


def test_a_spill_is_an_order_with_the_cap_shared_out_over_processes() -> None:
    decided = Decided(Sending.SPILL, in_flight={"gpu": 50})
    made = of(rendered(decided, processes=(2, 4)), "chat")
    assert (made["gpu"].order, made["gpu"].max_parallel_requests) == (1, 6)
    assert (made["hosted"].order, made["hosted"].max_parallel_requests) == (2, None)
    assert made["gpu"].weight is None


def test_a_cap_is_shared_by_all_names_of_the_lane() -> None:
    decided = Decided(Sending.SPILL, in_flight={"gpu": 10})
    result = rendered(decided, [workload(), workload("code")])
    assert [of(result, name)["gpu"].max_parallel_requests for name in ("chat", "code")] == [5, 5]


def test_a_cap_below_the_number_of_processes_is_told() -> None:
    result = rendered(Decided(Sending.SPILL, in_flight={"gpu": 3}), processes=(4, 1))
    assert of(result, "chat")["gpu"].max_parallel_requests == 1
    assert [each.reason for each in result.findings] == ["CapBelowProcesses"]
    assert "cap of 3 requests in flight becomes 4" in result.findings[0].message


def test_own_lanes_without_a_ready_replica_are_passed_over() -> None:
    decided = Decided(Sending.SPILL, in_flight={"gpu": 0})
    assert {lane: each.order for lane, each in of(rendered(decided), "chat").items()} == {"hosted": 1}
    kept = rendered(decided, [workload(dataPolicy="SelfHostedOnly")])
    assert set(of(kept, "chat")) == {"gpu"}


def test_hosted_lanes_follow_in_the_order_told() -> None:
    lanes = [own(), hosted("dear"), hosted("cheap")]
    decided = Decided(Sending.SPILL, hosted_order=("cheap",))
    made = of(rendered(decided, lanes=lanes), "chat")
    assert sorted(made, key=lambda lane: made[lane].order or 0) == ["gpu", "cheap", "dear"]


def test_never_is_own_lanes_only_in_both_roles() -> None:
    assert set(of(rendered(Decided(Sending.NEVER, {CHAT: {"hosted": 100}})), "chat")) == {"gpu"}
    egress = rendered(Decided(Sending.NEVER), role=ProxyRole.EGRESS)
    assert egress.deployments == ()
    assert [each.reason for each in egress.findings] == ["NoLane"]


def test_an_egress_has_hosted_lanes_only_whatever_the_share() -> None:
    result = rendered(split(gpu=100), role=ProxyRole.EGRESS)
    assert {lane: each.order for lane, each in of(result, "chat").items()} == {"hosted": 1}
    both = rendered(split(gpu=50, a=20, b=30), lanes=[own(), hosted("a"), hosted("b")], role=ProxyRole.EGRESS)
    assert {lane: each.weight for lane, each in of(both, "chat").items()} == {"a": 20, "b": 30}


def test_flex_is_for_those_who_can_wait() -> None:
    lanes = [own(), hosted("flex", kind="Flex")]
    patient = rendered(split(gpu=50, flex=50), [workload(latency="Background")], lanes)
    document = yaml.safe_load(patient.files["config.yaml"])
    tiers = {item["model_info"]["id"]: item["litellm_params"].get("service_tier") for item in document["model_list"]}
    assert tiers == {"chat@flex": "flex", "chat@gpu": None}
    assert set(of(rendered(split(gpu=50, flex=50), lanes=lanes), "chat")) == {"gpu"}
    assert set(of(rendered(split(gpu=50, batch=50), lanes=[own(), hosted("batch", kind="Batch")]), "chat")) == {"gpu"}


def test_only_models_that_the_class_names_answer() -> None:
    lanes = [own(models=("mistral", "llama")), hosted(models=("gpt-5", "gpt-4o-mini")), hosted("other", ("o3",))]
    made = of(rendered(split(gpu=40, hosted=30, other=30), lanes=lanes), "chat")
    assert set(made) == {"gpu", "hosted"}
    assert made["gpu"].model == "hosted_vllm/llama"


def test_a_class_without_a_model_of_its_own_is_asked_for_by_any_that_may_answer() -> None:
    item = workload(match={"team": "a"}, equivalent=("llama", "gpt-4o-mini"))
    assert {each.model_name for each in rendered(split(gpu=1, hosted=1), [item]).deployments} == {
        "llama", "gpt-4o-mini",
    }  # fmt: skip


def test_the_older_class_keeps_a_name_and_the_other_is_told() -> None:
    late = workload("late", match={"model": "chat"}, created="2026-02-01T00:00:00Z")
    decided = Decided(Sending.SPLIT, {CHAT: {"gpu": 60, "hosted": 40}, "team-a/late": {"hosted": 100}})
    result = rendered(decided, [late, workload()])
    assert of(result, "chat")["hosted"].weight == 40
    assert [(each.reason, each.subject) for each in result.findings] == [
        ("ModelNameTaken", "WorkloadClass/team-a/late")
    ]


def test_keys_stand_as_variables_of_spillways_own() -> None:
    text = rendered(split(gpu=70, hosted=30)).files["config.yaml"]
    keys = [item["litellm_params"].get("api_key") for item in yaml.safe_load(text)["model_list"]]
    assert keys == [None, "os.environ/SPILLWAY_KEY_HOSTED"]
    assert "OPENAI_API_KEY" not in text


@pytest.mark.parametrize(
    "name", ["os.environ/SPILLWAY_KEY_HOSTED", "OS.ENVIRON/X", "*", "openai/*", "a,b", "a b", "-a"]
)
def test_a_name_that_means_more_than_a_name_is_refused(name: str) -> None:
    result = rendered(split(gpu=70, hosted=30), [workload(match={"model": name})])
    assert result.deployments == ()
    assert result.findings[0].reason == "ModelNameRefused"
    assert name not in result.files["config.yaml"]


def test_a_hosted_model_that_means_more_than_a_name_is_refused() -> None:
    result = rendered(split(gpu=1, hosted=1), lanes=[own(), hosted(model="*")])
    assert set(of(result, "chat")) == {"gpu"}
    assert [each.subject for each in result.findings] == ["CapacityLane/ai/hosted"]


def test_providers_are_called_as_litellm_calls_them() -> None:
    lanes = [own(), hosted(provider="google", models=("gpt-4o-mini",)), hosted("odd", provider="nobody")]
    result = rendered(split(gpu=1, hosted=1, odd=1), lanes=lanes)
    assert of(result, "chat")["hosted"].model == "gemini/gpt-4o-mini"
    assert "odd" not in of(result, "chat")
    assert "no provider 'nobody'" in result.findings[0].message
    reachable = rendered(split(odd=1), lanes=lanes, addresses={"odd": "http://egress/v1"})
    assert of(reachable, "chat")["odd"].model == "openai/gpt-4o-mini"


def test_an_own_lane_without_an_address_is_told() -> None:
    result = rendered(split(gpu=70, hosted=30), addresses={})
    assert set(of(result, "chat")) == {"hosted"}
    assert "AddressMissing" in [each.reason for each in result.findings]


def test_limits_of_the_account_and_armed_ones_are_shared_out() -> None:
    lane = hosted(limits={"requestsPerMinute": 600, "tokensPerMinute": 90_000, "concurrency": 20})
    decided = Decided(
        Sending.SPLIT, {CHAT: {"gpu": 50, "hosted": 50}}, armed={"hosted": Limits(tokens_per_minute=60_000)}
    )
    made = of(rendered(decided, lanes=[own(), lane], processes=(2, 1)), "chat")["hosted"]
    assert (made.tokens_per_minute, made.requests_per_minute, made.max_parallel_requests) == (30_000, 300, 10)


def test_shares_of_a_limit() -> None:
    assert share(None, 3) is None
    assert share(10, 3) == 3
    assert share(2, 3) == 1


def test_an_armed_limit_costs_what_was_asked_for() -> None:
    strict = armed(Decimal("50"), PRICE)
    assert strict.limits.tokens_per_minute == 2_083_333  # 50 $/h / 60 / 0.40 $ per million
    assert strict.usd_per_hour == strict.worst_usd_per_hour <= Decimal("50")
    mixed = armed(Decimal("50"), PRICE, Decimal("0.2"))
    assert mixed.limits.tokens_per_minute == 6_944_444  # at 0.12 $ per million
    assert Decimal("49.99") < mixed.usd_per_hour <= Decimal("50")
    assert mixed.worst_usd_per_hour / mixed.usd_per_hour == pytest.approx(Decimal("0.40") / Decimal("0.12"))
    assert mixed.limits.requests_per_minute is None
    sized = armed(Decimal("50"), PRICE, Decimal("0.2"), Decimal("1000"))
    assert sized.limits == Limits(6_944_444, 13_889)
    free = TokenPrice(Decimal(0), Decimal(0), Decimal(0), "contract")
    with pytest.raises(ValueError, match="give it a price"):
        armed(Decimal("50"), free)


def test_the_same_decision_gives_the_same_bytes_and_another_another_hash() -> None:
    lanes = [hosted(), own()]
    one = rendered(split(gpu=70, hosted=30), [workload(), workload("code")], lanes)
    other = rendered(split(hosted=30, gpu=70), [workload("code"), workload()], lanes)
    assert one == other
    moved = rendered(split(gpu=69, hosted=31), [workload(), workload("code")], lanes)
    assert moved.content_hash != one.content_hash


def test_the_config_map_says_whose_it_is_and_what_it_holds() -> None:
    result = rendered(split(gpu=70, hosted=30))
    written = config_map(result)
    assert written["metadata"]["annotations"] == {
        "spillway.dev/plan": "ai/main",
        "spillway.dev/litellm-config": result.content_hash,
    }
    assert set(written["data"]) == {"config.yaml", "spillway.json", "spillway_guard.py"}
    assert len(json.dumps(written)) < 100_000
    patch = rollout_patch(result)["spec"]["template"]["metadata"]["annotations"]
    assert patch == {"spillway.dev/litellm-config": result.content_hash}
