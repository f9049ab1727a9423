"""Classes that go, come or take another's place: what is said of their lanes and of their prompts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from advise.review.builders import (
    ALL,
    CHAT,
    CHAT_FIGURES,
    GPU,
    PLAN,
    Document,
    effect,
    made,
    objects,
    swapped,
    with_spec,
)
from spillway.advise.review.changes import changes_of
from spillway.advise.review.limits import Limits, Verdict
from spillway.advise.review.objects import PlanPair, plan_pairs
from spillway.advise.review.policies import PolicyResult, check
from spillway.advise.review.review import review_plan
from spillway.report.diff.headline import headline
from spillway.report.diff.words import policy_rows

WARN, FAIL, PASS = Verdict.WARN, Verdict.FAIL, Verdict.PASS
OWN = with_spec(CHAT, {"dataPolicy": "SelfHostedOnly"})
OTHER = made("CapacityPlan", "other", {"lanes": ["hosted"]})
Documents = tuple[Document, ...]


def pairs(base: Documents, head: Documents) -> dict[str, PlanPair]:
    return {pair.key: pair for pair in plan_pairs(objects(*base), objects(*head))}


def of(policy: str, pair: PlanPair, limits: dict[str, Any] | None = None) -> tuple[Verdict, str]:
    found: dict[str, PolicyResult] = {
        each.policy: each for each in check(pair, None, Limits.model_validate(limits or {}))
    }
    return found[policy].verdict, found[policy].text


def bound(*names: str, route: str = "r", backends: dict[str, str] | None = None) -> Document:
    """The plan with a rule of a route for each class."""
    both = backends or {"gpu": "vllm", "hosted": "egress"}
    bindings = [
        {"class": name, "ownership": "Adopted", "httpRoute": f"{route}{number}", "rule": "a", "backends": both}
        for number, name in enumerate(names)
    ]
    return with_spec(PLAN, {"routing": {"plane": "GatewayAPI", "bindings": bindings}})


def test_a_class_that_names_a_plan_that_is_not_there_loses_its_last_lane() -> None:
    found = pairs(ALL, swapped(with_spec(CHAT, {"planRef": {"name": "mian"}})))
    text = "chat loses its last lane: it names plan inference/mian (spec.planRef), which is not on head"
    assert of("fallback", found["inference/main"]) == (FAIL, text)
    told = "WorkloadClass inference/chat: plan inference/mian does not exist: create it or change spec.planRef"
    assert of("references", found["inference/mian"]) == (FAIL, told)
    assert of("fallback", found["inference/mian"])[0] is Verdict.SKIP
    (change,) = changes_of(found["inference/main"])
    assert change.text == "plan name main -> name mian: no CapacityPlan inference/mian is in the manifests"


def test_a_class_that_is_removed_warns_and_is_told_apart_from_a_typo() -> None:
    pair = pairs(ALL, ALL[:3])["inference/main"]
    text = "class chat is removed: its traffic, if it still comes, is planned for by nobody"
    assert of("fallback", pair) == (WARN, text)
    assert of("fallback", pair, {"fallback": {"classRemoved": "fail"}})[0] is FAIL
    assert of("references", pair)[0] is PASS


def test_classes_of_a_plan_that_is_removed_lose_their_lanes() -> None:
    pair = pairs(ALL, ALL[1:])["inference/main"]
    assert of("fallback", pair) == (FAIL, "chat loses its last lane: plan inference/main is removed")
    assert of("references", pair)[0] is FAIL


def test_a_class_that_moves_to_another_plan_is_compared_with_what_it_had() -> None:
    moved = with_spec(CHAT, {"planRef": {"name": "other"}})
    found = pairs((*ALL, OTHER), (*swapped(moved), OTHER))
    assert of("fallback", found["inference/main"])[0] is PASS
    assert of("fallback", found["inference/other"])[0] is PASS
    assert of("dataPolicy", found["inference/other"])[0] is PASS
    found = pairs((*swapped(OWN), OTHER), (*swapped(moved), OTHER))
    text = "prompts of chat may now go to provider openai (lane hosted)"
    assert of("dataPolicy", found["inference/other"]) == (FAIL, text)
    lane_less = made("CapacityPlan", "other", {"lanes": ["none"]})
    found = pairs((*ALL, lane_less), (*swapped(moved), lane_less))
    text = "chat loses its last lane: no lane of the plan may serve it"
    assert of("fallback", found["inference/other"]) == (FAIL, text)


def test_the_headline_says_whose_traffic_is_no_longer_in_the_figures() -> None:
    """Figures alone would read as a saving."""
    other = made("WorkloadClass", "code", {**CHAT["spec"], "match": {"model": "code"}})
    pair = pairs((*ALL, other), (*ALL[:3], other))["inference/main"]
    left = effect(-5000, classes=())
    review = review_plan(pair, left, "", Limits())
    assert headline(review).endswith("; no class is served; traffic of chat is no longer in the figures")
    slo = {each.policy: each for each in review.policies}["slo"]
    assert (slo.verdict, slo.text) == (Verdict.SKIP, "not checked: no class is left on head")
    assert (Verdict.SKIP, "SLO", slo.text) in policy_rows(review.policies)
    stays = replace(CHAT_FIGURES, key="inference/code")
    review = review_plan(pair, effect(-5000, classes=(stays,)), "", Limits())
    assert headline(review).endswith("; SLO held; traffic of chat is no longer in the figures")
    two = (stays, replace(stays, key="inference/more"))
    words = headline(review_plan(pair, effect(-5000, classes=two), "", Limits()))
    assert words.endswith("; SLO held by all other classes; traffic of chat is no longer in the figures")


def test_a_new_class_that_may_reach_a_provider_warns() -> None:
    new = made("WorkloadClass", "new", {**CHAT["spec"], "match": {"model": "new"}})
    text = "prompts of the new class new may go to provider openai (lane hosted)"
    assert of("dataPolicy", pairs(ALL, (*ALL, new))["inference/main"]) == (WARN, text)
    assert of("dataPolicy", pairs((), (*ALL, new))["inference/main"])[0] is WARN
    own = with_spec(new, {"dataPolicy": "SelfHostedOnly"})
    assert of("dataPolicy", pairs(ALL, (*ALL, own))["inference/main"])[0] is PASS
    limits = {"dataPolicy": {"newClass": "fail"}}
    assert of("dataPolicy", pairs(ALL, (*ALL, new))["inference/main"], limits)[0] is FAIL


ANOTHER = {"match": {"model": "another"}}
BACKENDS = {"gpu": "vllm", "hosted": "egress"}
RENAMES: list[tuple[Document, Document, Document, str]] = [
    (PLAN, PLAN, made("WorkloadClass", "renamed", CHAT["spec"]), "match"),
    (PLAN, PLAN, made("WorkloadClass", "chat", CHAT["spec"], "team-b"), "match"),
    (bound("chat"), bound("renamed"), with_spec(made("WorkloadClass", "renamed", CHAT["spec"]), ANOTHER), "httpRoute"),
    (bound("chat"), bound("renamed", route="s"), with_spec(made("WorkloadClass", "renamed", CHAT["spec"]), ANOTHER),
     "backends"),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after", "renamed", "what"), RENAMES)
def test_a_class_of_another_name_with_the_same_traffic_is_the_same_class(
    before: Document, after: Document, renamed: Document, what: str
) -> None:
    renamed["spec"]["planRef"]["namespace"] = "inference"
    pair = pairs((before, *ALL[1:3], OWN), (after, *ALL[1:3], renamed))["inference/main"]
    verdict, text = of("dataPolicy", pair)
    assert verdict is FAIL, text
    assert f"which has the {what} that " in text
    assert "chat (SelfHostedOnly) had on base, may now go to provider openai (lane hosted)" in text
    assert of("fallback", pair)[1].endswith(f" has its {what} now")
    any_before = pairs((before, *ALL[1:3], CHAT), (after, *ALL[1:3], renamed))["inference/main"]
    assert of("dataPolicy", any_before)[0] is WARN


def test_a_route_that_is_given_to_another_class_gives_it_the_prompts() -> None:
    code = made("WorkloadClass", "code", {**CHAT["spec"], "match": {"model": "code"}})
    base = (bound("chat", "code"), *ALL[1:3], OWN, code)
    pair = pairs(base, (bound("code"), *base[1:]))["inference/main"]
    text = "prompts of code, which has the httpRoute that chat (SelfHostedOnly) had on base, may now go to"
    assert of("dataPolicy", pair)[0] is FAIL
    assert of("dataPolicy", pair)[1].startswith(text)
    assert of("dataPolicy", pairs(base, base)["inference/main"])[0] is PASS


def test_a_class_renamed_with_its_plan_is_found_as_well() -> None:
    spec = {**CHAT["spec"], "planRef": {"name": "other"}}
    head = (made("CapacityPlan", "other", PLAN["spec"]), *ALL[1:3], made("WorkloadClass", "renamed", spec))
    assert of("dataPolicy", pairs(swapped(OWN), head)["inference/other"])[0] is FAIL


def test_a_strict_class_that_is_sent_to_no_plan_is_replaced_all_the_same() -> None:
    away = with_spec(OWN, {"planRef": {"name": "mian"}})
    head = (*ALL[:3], away, made("WorkloadClass", "renamed", CHAT["spec"]))
    assert of("dataPolicy", pairs(swapped(OWN), head)["inference/main"])[0] is FAIL


def test_classes_whose_plan_lies_elsewhere_may_share_a_match() -> None:
    new = made("WorkloadClass", "new", CHAT["spec"])
    assert of("dataPolicy", pairs((OWN,), (OWN, new))["inference/main"])[0] is PASS


def test_classes_beside_one_that_stays_strict_are_new_and_no_more() -> None:
    new = made("WorkloadClass", "new", {**CHAT["spec"], "match": {"model": "new"}})
    base = (bound("chat"), GPU, ALL[2], OWN)
    assert of("dataPolicy", pairs(base, (bound("chat", "new"), *base[1:], new))["inference/main"])[0] is WARN
