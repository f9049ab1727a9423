"""Whatever is named and not there fails a change that brings it, with object, field and way out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from advise.review.builders import ALL, CHAT, GPU, HOSTED, PLAN, Document, made, objects, swapped, with_spec
from spillway.advise.review.limits import Limits, Verdict
from spillway.advise.review.objects import plan_pairs
from spillway.advise.review.policies import check
from spillway.advise.review.review import review_plan
from spillway.report.diff.words import policy_rows

BINDING = {"class": "chat", "ownership": "Adopted", "httpRoute": "r", "rule": "a", "backends": {"gpu": "vllm"}}


def told(
    head: tuple[Document, ...], base: tuple[Document, ...] = ALL, limits: Mapping[str, Any] | None = None
) -> tuple[Verdict, str]:
    (pair,) = plan_pairs(objects(*base), objects(*head))
    (found,) = [each for each in check(pair, None, Limits.model_validate(limits or {})) if each.policy == "references"]
    return found.verdict, found.text


def routed(**changes: Any) -> tuple[Document, ...]:
    return swapped(with_spec(PLAN, {"routing": {"plane": "GatewayAPI", "bindings": [{**BINDING, **changes}]}}))


PROXY = {"deployment": "litellm", "configMap": "litellm", "addresses": {"gpuu": "http://vllm/v1"}}
CASES = [
    (swapped(with_spec(PLAN, {"lanes": ["gpu", "hosted", "ghost"]})),
     "CapacityPlan inference/main: spec.lanes: no CapacityLane inference/ghost: create it or remove it from the list"),
    ((PLAN, GPU, CHAT), "CapacityPlan inference/main: spec.lanes: no CapacityLane inference/hosted: create it or"),
    (routed(backends={"gpuu": "vllm"}),
     "CapacityPlan inference/main: routing.bindings[chat].backends: gpuu is not in spec.lanes: add or rename it"),
    (routed(**{"class": "chatt"}),
     "CapacityPlan inference/main: routing.bindings: no WorkloadClass chatt in this plan: create it or drop the"),
    (swapped(with_spec(PLAN, {"routing": {"plane": "LiteLLM", "litellm": PROXY}})),
     "CapacityPlan inference/main: routing.litellm.addresses: gpuu is not in spec.lanes: add or rename it"),
    (swapped(with_spec(CHAT, {"valueTier": "gold"})),
     "WorkloadClass inference/chat: class inference/chat: valueTier gold is not in spec.valueTiers: add or rename it"),
    ((*ALL, made("WorkloadClass", "far", {**CHAT["spec"], "planRef": {"name": "main", "namespace": "inference"}}, "b")),
     "WorkloadClass b/far: plan inference/main does not allow classes of namespace b: change its spec.allowedClasses"),
]  # fmt: skip


@pytest.mark.parametrize(("head", "words"), CASES, ids=[words[:70] for _, words in CASES])
def test_a_reference_that_leads_nowhere_fails_and_warns_where_it_did_before(
    head: tuple[Document, ...], words: str
) -> None:
    verdict, text = told(head)
    assert (verdict, text[: len(words)]) == (Verdict.FAIL, words)
    again = told(head, base=head)
    assert again[0] is Verdict.WARN
    assert again[1].endswith("(as on base)")
    assert told(head, limits={"references": {"dangling": "ignore"}})[0] is Verdict.PASS


def test_a_whole_plan_passes_without_a_row() -> None:
    for head in (ALL, routed(), swapped(HOSTED)):
        assert told(head)[0] is Verdict.PASS
    (pair,) = plan_pairs(objects(*ALL), objects(*routed()))
    assert "References" not in [row[1] for row in policy_rows(review_plan(pair, None, "", Limits()).policies)]


def test_labels_of_namespaces_are_the_clusters() -> None:
    chosen = {"from": "Selector", "namespaceSelector": {"matchLabels": {"team": "b"}}}
    plan = with_spec(PLAN, {"allowedClasses": chosen})
    far = made("WorkloadClass", "far", {**CHAT["spec"], "planRef": {"name": "main", "namespace": "inference"}}, "b")
    assert told((plan, *ALL[1:], far))[0] is Verdict.PASS


def test_classes_whose_plans_lie_elsewhere_warn_only() -> None:
    verdict, text = told((CHAT,), base=())
    assert verdict is Verdict.WARN
    assert text == (
        "WorkloadClass inference/chat: plan inference/main does not exist: create it or change spec.planRef (neither "
        "side holds a plan, so it may lie elsewhere)"
    )
