"""LiteLLM as a plane: what one tick would write, given what the cluster holds."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
import yaml

from spillway.act.litellm.steady import HURRY_SECONDS, SPACING_SECONDS
from spillway.act.litellm.terms import Terms
from spillway.act.litellm.values import Budget, ProxyRole
from spillway.act.planes.litellm import LiteLLM
from spillway.act.planes.plane import Found, Rendered, Wanted
from spillway.api import CapacityPlan, WorkloadClass
from spillway.api.names import PLAN_ANNOTATION
from spillway.api.proxynote import CONFIG_ANNOTATION, note_of
from spillway.decide.snapshot import TokenPrice
from support.proxied import hosted, own, workload

NOW = 1_800_000_000.0
PRICE = TokenPrice(Decimal(1), Decimal("0.1"), Decimal(4), "contract")
MAP, PROXY = "ConfigMap/ai/litellm-config", "Deployment/ai/litellm"


def plan(mode: str = "Split", plane: str = "LiteLLM", **addresses: str) -> CapacityPlan:
    proxy = {
        "configMap": "litellm-config",
        "deployment": "litellm",
        "addresses": addresses or {"gpu": "http://vllm/v1"},
    }
    spec = {"lanes": ["gpu", "hosted"], "routing": {"plane": plane, "litellm": proxy}, "overflow": {"mode": mode}}
    return CapacityPlan.parse({"metadata": {"name": "main", "namespace": "ai"}, "spec": spec})


def wanted(share: int | None = None, *, at: float = NOW, mode: str = "Split", **more: Any) -> Wanted:
    """Half-made wishes: this share of `chat` on the hosted lane."""
    weights = {} if share is None else {"chat": {"gpu": 100 - share, "hosted": share}}
    classes: tuple[WorkloadClass, ...] = more.pop("classes", (workload(),))
    terms = more.pop("terms", Terms(at, {"hosted": PRICE}))
    made = more.pop("plan", plan(mode))
    return Wanted(made, classes, (own(), hosted()), weights, frozenset(weights), at=at, terms=terms, **more)


def cluster(**annotations: str) -> dict[str, dict[str, Any]]:
    """An empty ConfigMap, and the proxy's Deployment."""
    meta = {"namespace": "ai", "resourceVersion": "7"}
    return {
        MAP: {"metadata": {"name": "litellm-config", **meta, "annotations": dict(annotations)}},
        PROXY: {"metadata": {"name": "litellm", **meta}, "spec": {"replicas": 2, "template": {"metadata": {}}}},
    }


def after(objects: Mapping[str, dict[str, Any]], rendered: Rendered) -> dict[str, dict[str, Any]]:
    """The cluster with the changes carried out."""
    found = copy.deepcopy(dict(objects))
    for change in rendered.changes:
        if change.kind == "ConfigMap":
            found[MAP] = copy.deepcopy(change.body)
        else:
            found[PROXY]["spec"]["template"] = change.body["spec"]["template"]
    return found


def kinds(rendered: Rendered) -> list[str]:
    return [change.what for change in rendered.changes]


def models(objects: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Parameters by deployment."""
    document = yaml.safe_load(objects[MAP]["data"]["config.yaml"])
    return {item["model_info"]["id"]: item["litellm_params"] for item in document["model_list"]}


FRONT = LiteLLM()


def written(share: int | None = 30, **more: Any) -> dict[str, dict[str, Any]]:
    objects = cluster()
    return after(objects, FRONT.render(wanted(share, **more), Found(objects)))


def test_content_comes_before_its_rollout_and_then_nothing() -> None:
    objects = cluster()
    first = FRONT.render(wanted(30), Found(objects))
    assert kinds(first) == ["config", "rollout"]
    held = after(objects, first)
    assert models(held)["chat@hosted"]["weight"] == 30
    rolled = held[PROXY]["spec"]["template"]["metadata"]["annotations"][CONFIG_ANNOTATION]
    assert rolled == held[MAP]["metadata"]["annotations"][CONFIG_ANNOTATION]
    assert FRONT.render(wanted(30, at=NOW + 9_999), Found(held)) == Rendered()


def test_a_rollout_that_was_not_written_is_written_whatever_the_pace() -> None:
    held = written()
    held[PROXY]["spec"]["template"] = {"metadata": {}}
    again = FRONT.render(wanted(80, at=NOW + 1), Found(held))
    assert kinds(again) == ["rollout"]
    assert again.waiting


def test_small_changes_wait_for_ever_and_large_ones_for_their_turn() -> None:
    held = written(30)
    assert kinds(FRONT.render(wanted(33, at=NOW + 9_999), Found(held))) == []
    early = FRONT.render(wanted(60, at=NOW + SPACING_SECONDS - 1), Found(held))
    assert (kinds(early), early.waiting) == ([], True)
    late = FRONT.render(wanted(60, at=NOW + SPACING_SECONDS), Found(held))
    assert kinds(late) == ["config", "rollout"]
    assert kinds(FRONT.render(wanted(0, at=NOW + SPACING_SECONDS), Found(held))) == ["config", "rollout"]


def test_what_cannot_wait_comes_sooner() -> None:
    held = written(0)

    def hurried(seconds: float) -> list[str]:
        at = NOW + seconds
        terms = Terms(at, {"hosted": PRICE}, hurry=frozenset({"chat"}))
        return kinds(FRONT.render(wanted(100, at=at, terms=terms), Found(held)))

    assert hurried(HURRY_SECONDS - 1) == []
    assert hurried(HURRY_SECONDS) == ["config", "rollout"]


def test_a_model_that_must_stay_stays_at_once() -> None:
    held = written(30)
    stays = (workload(dataPolicy="SelfHostedOnly"),)
    now = FRONT.render(wanted(at=NOW + 1, classes=stays), Found(held))
    assert kinds(now) == ["config", "rollout"]
    assert set(models(after(held, now))) == {"chat@gpu"}
    never = FRONT.render(wanted(at=NOW + 1, mode="Never"), Found(held))
    assert set(models(after(held, never))) == {"chat@gpu"}


def test_what_is_not_decided_now_stays_as_noted() -> None:
    held = written(30)
    added = (workload(), workload("code"))
    rendered = FRONT.render(wanted(at=NOW + HURRY_SECONDS, classes=added), Found(held))
    assert models(after(held, rendered))["chat@hosted"]["weight"] == 30


def edited(held: Mapping[str, dict[str, Any]], before: str, after: str) -> dict[str, dict[str, Any]]:
    found = copy.deepcopy(dict(held))
    text = found[MAP]["data"]["config.yaml"]
    assert before in text
    found[MAP]["data"]["config.yaml"] = text.replace(before, after)
    return found


def rolled(objects: Mapping[str, dict[str, Any]]) -> str:
    return str(objects[PROXY]["spec"]["template"]["metadata"]["annotations"][CONFIG_ANNOTATION])


def test_an_edit_by_hand_is_undone_and_pods_that_may_have_started_with_it_start_anew() -> None:
    held = written(30)
    now = NOW + HURRY_SECONDS
    rendered = FRONT.render(wanted(30, at=now), Found(edited(held, "weight: 30", "weight: 90")))
    assert kinds(rendered) == ["config", "rollout"]
    assert "an edit by hand is undone" in rendered.changes[0].words
    mended = after(held, rendered)
    assert models(mended)["chat@hosted"]["weight"] == 30
    # Under the same hash nobody could tell them from those that have what is written.
    assert rolled(mended) != rolled(held)
    assert FRONT.render(wanted(30, at=now + 9_999), Found(mended)) == Rendered()


@pytest.mark.parametrize("broken", ["\t{", "model_list: 3", ""])
def test_what_can_not_be_read_is_written_anew_and_rolled_out(broken: str) -> None:
    held = written(30)
    found = copy.deepcopy(held)
    found[MAP]["data"]["config.yaml"] = broken
    rendered = FRONT.render(wanted(30, at=NOW + 1), Found(found))
    assert kinds(rendered) == ["config", "rollout"]
    assert rolled(after(held, rendered)) != rolled(held)


def test_an_edit_is_never_rolled_out() -> None:
    """The content was written, its rollout was not, and somebody has edited it since."""
    held = edited(written(30), "weight: 30", "weight: 90")
    held[PROXY]["spec"]["template"] = {"metadata": {}}
    early = FRONT.render(wanted(30, at=NOW + 1), Found(held))
    assert (kinds(early), early.waiting) == ([], True)
    assert kinds(FRONT.render(wanted(30, at=NOW + HURRY_SECONDS), Found(held))) == ["config", "rollout"]


def test_the_note_counts_deployments() -> None:
    noted = note_of(written(30)[MAP])
    assert noted is not None
    assert (noted.deployments, noted.mended_at) == (2, 0)


def test_caps_are_shared_out_over_processes_and_follow_replicas() -> None:
    held = written(None, mode="Spill", in_flight={"gpu": 40})
    assert models(held)["chat@gpu"]["max_parallel_requests"] == 20
    assert models(held)["chat@hosted"]["order"] == 2
    later = NOW + SPACING_SECONDS
    near = wanted(None, mode="Spill", in_flight={"gpu": 44}, at=later)
    assert kinds(FRONT.render(near, Found(held))) == []
    gone = wanted(None, mode="Spill", in_flight={"gpu": 0}, at=later)
    assert set(models(after(held, FRONT.render(gone, Found(held))))) == {"chat@hosted"}


def test_others_configurations_are_refused_in_one_sentence() -> None:
    objects = cluster()
    cases = {
        "holds data that somebody else wrote": {
            MAP: {**objects[MAP], "data": {"config.yaml": ""}},
            PROXY: objects[PROXY],
        },
        "is CapacityPlan ai/other's": {**cluster(**{PLAN_ANNOTATION: "ai/other"})},
        "ConfigMap ai/litellm-config does not exist": {PROXY: objects[PROXY]},
        "Deployment ai/litellm does not exist": {MAP: objects[MAP]},
    }
    contested = copy.deepcopy(written())
    fields = {"f:data": {"f:config.yaml": {}}}
    contested[MAP]["metadata"]["managedFields"] = [{"manager": "flux", "operation": "Apply", "fieldsV1": fields}]
    cases["flux applies its data, too: take data out of that manifest"] = contested
    for why, found in cases.items():
        rendered = FRONT.render(wanted(30), Found(found))
        assert rendered.changes == ()
        (refusal,) = rendered.refused
        assert why in refusal.why


def budget(left: str, ceiling: str = "60", at: float = NOW) -> Terms:
    made = Budget(at, {"hour": Decimal(ceiling)}, {"hour": Decimal(left)}, prices={"hosted": (Decimal(1),) * 3})
    return Terms(at, {"hosted": PRICE}, made)


def test_an_egress_keeps_limits_and_a_budget_and_no_own_lane() -> None:
    objects = cluster()
    behind = wanted(None, plan=plan(plane="GatewayAPI"), terms=budget("50"))
    held = after(objects, LiteLLM(ProxyRole.EGRESS).render(behind, Found(objects)))
    # 60 dollars an hour at 4 dollars a million tokens are 250,000 a minute, over two processes.
    assert models(held) == {"chat@hosted": models(held)["chat@hosted"]}
    assert models(held)["chat@hosted"]["tpm"] == 125_000
    assert yaml.safe_load(held[MAP]["data"]["spillway.json"])["budget"]["left"] == {"hour": 25.0}


def test_spending_is_no_reason_for_a_rollout_but_another_ceiling_is() -> None:
    held = written(30, terms=budget("50"))
    later = NOW + SPACING_SECONDS
    assert kinds(FRONT.render(wanted(30, at=later, terms=budget("10", at=later)), Found(held))) == []
    lowered = FRONT.render(wanted(30, at=later, terms=budget("1", "30", later)), Found(held))
    assert yaml.safe_load(after(held, lowered)[MAP]["data"]["spillway.json"])["budget"]["left"] == {"hour": 0.5}


def test_a_ledger_that_tells_nothing_takes_nothing_from_what_runs() -> None:
    held = written(30, terms=budget("50"))
    later = NOW + SPACING_SECONDS
    blind = replace(budget("0", at=later), left_known=False)
    rendered = FRONT.render(wanted(80, at=later, terms=blind), Found(held))
    assert yaml.safe_load(after(held, rendered)[MAP]["data"]["spillway.json"])["budget"]["left"] == {"hour": 25.0}
