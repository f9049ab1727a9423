"""What was found becomes manifests that the models read, with what could not be known said beside it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from advise.first.worlds import (
    EGRESS,
    H100,
    backend,
    counted,
    hosted,
    one,
    parsed,
    rule,
    text_of,
    workload,
    world,
)
from spillway.advise.first import compose
from spillway.advise.first.facts import Backend, Gap, GpuKind, Latency, Served, TeamShare
from spillway.advise.first.offers import matching, middle
from spillway.advise.prices import GpuOffer, PriceUnknownError
from spillway.observe.gpu_prices import read_catalogue
from spillway.observe.sizing_data import gpu_types


def test_a_bound_rule_with_a_way_out() -> None:
    proposal = compose(world(one(workload(), hosted=(hosted(),), rules=(rule(),))))
    found = parsed(proposal)
    assert set(found) == {"CapacityLane/vllm", "CapacityLane/hosted-llama", "WorkloadClass/all", "CapacityPlan/main"}
    assert [name for name, _ in proposal.files] == [f"inference-{part}.yaml" for part in ("lanes", "classes", "plan")]
    own = found["CapacityLane/vllm"]["selfHosted"]
    assert own["targetRef"] == {"kind": "Deployment", "name": "vllm"}
    assert own["gpu"] == {"type": "nvidia-h100-80gb-hbm3", "perReplica": 1}
    assert own["replicas"] == {"min": 1, "max": 16}
    item = found["WorkloadClass/all"]
    assert item["match"] == {"routeRule": {"route": "chat", "rule": "all"}}
    assert item["slo"] == {"timeToFirstTokenMs": 620, "interTokenLatencyMs": 47, "attainmentPercent": "99"}
    assert (item["dataPolicy"], item["equivalentModels"]) == ("SelfHostedOnly", ["llama"])
    plan = found["CapacityPlan/main"]
    assert plan["mode"] == "Recommend"
    assert plan["lanes"] == ["vllm", "hosted-llama"]
    assert plan["routing"] == {
        "plane": "GatewayAPI",
        "bindings": [
            {
                "class": "all",
                "ownership": "Adopted",
                "httpRoute": "chat",
                "rule": "all",
                "backends": {"vllm": "vllm", "hosted-llama": "egress"},
            }
        ],
    }
    # A tenth of 4 x 8.26 an hour, in whole dollars.
    assert plan["overflow"]["ceilingUsd"] == {"perHour": "4"}
    assert "For overflow to hosted-llama (groq): dataPolicy: Any." in text_of(proposal, "classes")


def test_without_routes_a_class_for_each_model() -> None:
    second = workload("sglang", "qwen", kind="StatefulSet")
    both = workload("more", "llama")
    proposal = compose(world(one(workload(), second, both)))
    found = parsed(proposal)
    assert found["WorkloadClass/llama"]["match"] == {"model": "llama"}
    assert found["WorkloadClass/qwen"]["match"] == {"model": "qwen"}
    assert found["CapacityPlan/main"]["routing"] == {"plane": "None"}
    assert "overflow" not in found["CapacityPlan/main"]
    assert found["CapacityLane/sglang"]["selfHosted"]["targetRef"]["kind"] == "StatefulSet"
    # Two workloads of one model: their requests together.
    assert "3,456,000 requests, 4/s in the mean" in text_of(proposal, "classes")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (rule(name=None), "rule number 1: it has no name"),
        (rule(generated="AIGatewayRoute chat"), "it is made by AIGatewayRoute chat"),
        (rule(route="chat.v2"), "has a dot"),
        (rule(backend(), backend("canary", 5, workload=None)), "it also sends traffic to Service canary, behind which"),
        (rule(backend(), backend("other", 5, same_namespace=False, workload=None)), "Service other is no Service or"),
        (rule(Backend("InferencePool", "pool", None, 1, True)), "it leads to InferencePool pool"),
        (rule(backend(), replace(EGRESS, kind="Backend", name="out.v2")), "a binding can't name out.v2"),
        (rule(backend(), backend("old", 5)), "it also sends traffic to Deployment/old, which has a lane already"),
    ],
)
def test_a_rule_that_cannot_be_adopted_is_told_and_its_model_is_a_class(changed, said) -> None:  # type: ignore[no-untyped-def]
    proposal = compose(world(one(workload(), hosted=(hosted(),), rules=(changed,))))
    assert any(said in note for note in proposal.notes), proposal.notes
    assert said in text_of(proposal, "plan")
    found = parsed(proposal)
    assert found["WorkloadClass/llama"]["match"] == {"model": "llama"}
    assert found["CapacityPlan/main"]["routing"] == {"plane": "None"}


def test_a_hosted_model_of_another_name_is_not_taken_for_the_same() -> None:
    other = hosted("gpt-5-nano", provider="openai")
    leaving = replace(EGRESS, weight=10)
    proposal = compose(world(one(workload(), hosted=(other,), rules=(rule(backend(weight=90), leaving),))))
    found = parsed(proposal)
    assert found["WorkloadClass/all"]["equivalentModels"] == ["llama"]
    assert found["CapacityPlan/main"]["routing"] == {"plane": "None"}
    said = text_of(proposal, "classes")
    assert "Not bound: the rule sends 10% of its traffic to egress" in said
    assert "No hosted lane with the same model was found" in said


def test_traffic_that_leaves_already_is_said() -> None:
    leaving = rule(backend(weight=90), replace(EGRESS, weight=10))
    said = text_of(compose(world(one(workload(), hosted=(hosted(),), rules=(leaving,)))), "classes")
    assert "Today the rule already sends 10% of its traffic out by egress." in said


def test_a_hosted_model_that_nobody_prices_gets_no_lane() -> None:
    proposal = compose(world(one(workload(), hosted=(hosted(price=None),), rules=(rule(),))))
    assert "CapacityLane/hosted-llama" not in parsed(proposal)
    assert any("nobody prices it" in note for note in proposal.notes)


def test_a_conflict_is_named_and_its_bound_taken() -> None:
    held = workload(autoscaler="HorizontalPodAutoscaler/x", autoscaler_max=9)
    proposal = compose(world(one(held)))
    assert parsed(proposal)["CapacityLane/vllm"]["selfHosted"]["replicas"]["max"] == 9
    assert "CONFLICT: HorizontalPodAutoscaler/x scales it too." in text_of(proposal, "lanes")
    assert "Deployment/vllm (HorizontalPodAutoscaler/x)" in text_of(proposal, "plan")


def test_gpu_prices_the_persons_first_then_opencost_then_a_marked_stand_in() -> None:
    priced = replace(H100, opencost_usd=Decimal("2.50"))

    def usd(found_gpu: GpuKind | None, **more: dict[str, Decimal]) -> tuple[str, str]:
        proposal = compose(world(one(workload(gpu=found_gpu)), **more))
        return parsed(proposal)["CapacityLane/vllm"]["selfHosted"]["price"]["usdPerGpuHour"], text_of(proposal, "lanes")

    assert usd(priced, given_prices={"": Decimal("3.85")})[0] == "3.85"
    assert usd(priced, given_prices={"other": Decimal("1"), priced.type: Decimal("3.10")})[0] == "3.1"
    amount, said = usd(priced)
    assert amount == "2.5"
    assert "STAND-IN" not in said
    amount, said = usd(H100)
    assert amount == "8.26"
    assert "not known: your price. STAND-IN: median of 15 on-demand offers (aws) in catalogue" in said
    assert "gpu_prices_2026-06-01.csv of 2026-06-01. Replace it" in said
    amount, said = usd(replace(H100, opencost_usd=Decimal("0.95")))
    assert amount == "8.26"
    assert "OpenCost says 0.95 for this GPU, which is its stand-in" in said
    assert usd(None, given_prices={"": Decimal(1)})[0] == "1"


def test_a_gpu_that_nothing_prices_is_asked_for() -> None:
    odd = GpuKind("some-accelerator", "a label", 4)
    with pytest.raises(PriceUnknownError) as refused:
        compose(world(one(workload(gpu=odd), workload("b", gpu=None))))
    assert str(refused.value) == (
        "nothing prices these GPUs: some-accelerator (Deployment inference/vllm), unknown (Deployment inference/b); "
        "give dollars a GPU-hour: --gpu-price some-accelerator=USD --gpu-price unknown=USD"
    )


def test_what_is_missing_is_said_where_it_matters() -> None:
    blind = workload(gpu=None, gpus_per_replica=None, models=(Served("llama"),), replicas=3)
    gap = Gap("nodes", "forbidden", "Types are not known.")
    proposal = compose(
        world(one(blind), given_prices={"": Decimal(2)}, gaps=(gap,), prometheus=None, left_out=("Deployment x: no",))
    )
    lanes, classes = text_of(proposal, "lanes"), text_of(proposal, "classes")
    assert "Could not be looked at: nodes (forbidden). Types are not known." in lanes
    assert "not known: nothing told the type of its GPUs" in lanes
    assert "not known: how many GPUs there are. 2 times today's 3." in lanes
    assert "Measured: nothing." in classes
    assert "not known: nothing measured" in classes
    assert parsed(proposal)["CapacityLane/vllm"]["selfHosted"]["replicas"]["max"] == 6
    assert "no Prometheus" in lanes
    item = next(each for each in proposal.items if each.kind == "CapacityLane")
    assert item.unknown == ("GPU type", "GPUs per replica", "commitment", "replicas.max")
    assert "Deployment x: no" in proposal.notes


def test_what_has_a_lane_already_is_left_alone_and_names_do_not_collide() -> None:
    taken = one(
        workload(), workload("b", "qwen"), taken={"Deployment/vllm": "gpu"}, plans=("main",), names=frozenset({"b"})
    )
    proposal = compose(world(taken))
    found = parsed(proposal)
    assert set(found) == {"CapacityLane/b-deployment", "WorkloadClass/qwen", "CapacityPlan/first"}
    assert found["WorkloadClass/qwen"]["planRef"] == {"name": "first"}
    assert "Deployment/vllm in inference: CapacityLane gpu has it already" in proposal.notes
    assert compose(world(one(workload(), taken={"Deployment/vllm": "gpu"}))).files == ()


def test_more_than_a_plan_takes_is_told() -> None:
    proposal = compose(world(one(*(workload(f"w{number}") for number in range(35)))))
    assert len(parsed(proposal)["CapacityPlan/main"]["lanes"]) == 32
    assert "inference: a plan takes 32 lanes; 3 are in none" in proposal.notes


def test_more_models_than_a_lane_takes_are_told() -> None:
    many = workload(models=tuple(Served(f"m{number}") for number in range(18)))
    proposal = compose(world(one(many)))
    assert len(parsed(proposal)["CapacityLane/vllm"]["models"]) == 16
    assert "WorkloadClass/m16" not in parsed(proposal)
    assert "Deployment/vllm in inference: a lane takes 16 models; 2 are left out" in proposal.notes


def test_names_of_any_kind_become_labels() -> None:
    strange = workload("v" * 80 + ".x", "Org/Model-7B_v1.5")
    found = parsed(compose(world(one(strange, workload("other", "org-model-7b-v1-5")))))
    lane = next(name for name in found if name.startswith("CapacityLane/vvv"))
    assert len(lane.partition("/")[2]) <= 63
    assert found[lane]["models"] == ["Org/Model-7B_v1.5"]
    assert {"WorkloadClass/org-model-7b-v1-5", "WorkloadClass/model-org-model-7b-v1-5"} <= set(found)


def test_teams_by_the_gateways_labels() -> None:
    shares = (TeamShare("llama", "a", 750, None), TeamShare("llama", "b", 250, None), TeamShare("x", "c", 9, None))
    said = text_of(compose(world(one(workload()), teams=shares)), "classes")
    assert "Requests by team, as LiteLLM's labels have them: a 75%, b 25%." in said


def test_the_rules_own_requests_with_the_engines_tokens() -> None:
    half = counted(requests=864_000.0, input_tokens=None, output_tokens=None, cached_tokens=None, source="Envoy")
    said = text_of(compose(world(one(workload(), rules=(rule(backend(), counted=half),)))), "classes")
    assert "by Envoy, tokens a request by vLLM's counters: 864,000 requests" in said
    assert "1,036,800,000 tokens, 83% of them input" in said


def test_an_operator_that_counts_no_gateways_is_told() -> None:
    bound = one(workload(), hosted=(hosted(),), rules=(rule(),))
    said = "The operator's configuration names no gateways"
    assert said in text_of(compose(world(bound, gateways_configured=False)), "plan")
    assert said not in text_of(compose(world(bound, gateways_configured=True)), "plan")
    assert said not in text_of(compose(world(gateways_configured=False)), "plan")


def test_spot_nodes_and_two_ports_of_one_service() -> None:
    ports = rule(backend(port=8000), backend("vllm", 0, port=4000, workload=None, proxy="egress"))
    found = parsed(compose(world(one(workload(gpu=replace(H100, spot=True)), hosted=(hosted(),), rules=(ports,)))))
    assert found["CapacityLane/vllm"]["selfHosted"]["price"]["commitment"] == "Spot"
    bound = found["CapacityPlan/main"]["routing"]["bindings"][0]
    assert bound["backends"] == {"vllm": "vllm:8000", "hosted-llama": "vllm:4000"}


@pytest.mark.parametrize(
    ("gpu", "provider", "usd"),
    [
        ("nvidia-h100-80gb-hbm3", "aws", "8.26"),
        ("nvidia-h100-nvl", "azure", "9.07"),
        ("nvidia-h100-80gb-hbm3", "", "3.85"),
        ("nvidia-l4", "gcp", "1.10"),
        ("nvidia-a10g", "aws", "2.25"),
        ("nvidia-a100-sxm4-80gb", "nowhere", "2.80"),
    ],
)
def test_prices_in_the_middle_of_the_catalogues_offers(gpu: str, provider: str, usd: str) -> None:
    assert middle(matching(read_catalogue(), gpu_types(), gpu, provider)) == Decimal(usd)


def test_offers_by_region_and_by_provider() -> None:
    def offer(gpu: str, usd: str, provider: str = "aws", spot: bool = False) -> GpuOffer:
        return GpuOffer(gpu, provider, "r", spot, Decimal(usd), Decimal(80), "catalogue", None)

    offers = [offer("H100", "8"), offer("H100", "9"), offer("H100", "10"), offer("H100", "1", spot=True)]
    offers += [offer("A100", "5", "x"), offer("H100", "3", "y")]
    assert middle(matching(offers, gpu_types(), "nvidia-h100-80gb-hbm3", "aws")) == 9
    assert middle(matching(offers, gpu_types(), "nvidia-h100-80gb-hbm3", "")) == 6


def test_no_other_types_price_is_taken() -> None:
    for odd in ("nvidia-l400", "nvidia-h100-80gb-hbm3-mig-1g-10gb", "unknown"):
        assert matching(read_catalogue(), gpu_types(), odd, "aws") == ()
    with pytest.raises(ValueError, match="no offers"):
        middle(())


def test_the_slowest_of_several_workloads_counts() -> None:
    slow = workload("slow", models=(Served("llama", None, Latency(0.8, 0.9, 0.05, 0.06)),))
    found = parsed(compose(world(one(workload(), slow))))
    assert found["WorkloadClass/llama"]["slo"]["timeToFirstTokenMs"] == 1200
