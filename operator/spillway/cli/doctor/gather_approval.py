"""Reads which admission policies guard proposals."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from spillway.cli.doctor.facts import PolicyFact
from spillway.kube import ADMISSION_BINDINGS, ADMISSION_POLICIES, Kube, KubeError

APPROVED = "'spillway.dev/approved'"
VERBS = ("approve", "propose")
NARROWING = ("namespaceSelector", "objectSelector", "excludeResourceRules")
"""What leaves objects out of a policy or of its binding."""
JSON = dict[str, Any]


async def approval_policies(kube: Kube) -> tuple[PolicyFact, ...] | str:
    """The policies that guard approvals of LaneChanges, or why they can't be read."""
    try:
        policies, bindings = await kube.list(ADMISSION_POLICIES), await kube.list(ADMISSION_BINDINGS)
    except KubeError as error:
        return error.message
    return tuple(policy_facts(policies, bindings))


def policy_facts(policies: Iterable[JSON], bindings: Iterable[JSON]) -> Iterable[PolicyFact]:
    """Those of the policies that look at who approves a LaneChange, as they are bound."""
    bound = list(bindings)
    for policy in policies:
        spec = policy.get("spec") or {}
        text = json.dumps(spec)
        if "lanechanges" not in text or APPROVED not in text:
            continue
        name = policy["metadata"]["name"]
        denies = _guards_all(spec) and any(_denies(each.get("spec") or {}, name) for each in bound)
        yield PolicyFact(name, tuple(verb for verb in VERBS if f".check('{verb}')" in text), denies)


def _denies(binding: JSON, policy: str) -> bool:
    """Whether it binds the policy everywhere, to refuse."""
    if binding.get("policyName") != policy or "Deny" not in (binding.get("validationActions") or []):
        return False
    matched = binding.get("matchResources") or {}
    return not any(matched.get(name) for name in (*NARROWING, "resourceRules"))


def _guards_all(policy: JSON) -> bool:
    """Whether it leaves no LaneChange out, and refuses where it can't be worked out."""
    matched = policy.get("matchConstraints") or {}
    narrowed = any(matched.get(name) for name in NARROWING) or bool(policy.get("matchConditions"))
    return not narrowed and policy.get("failurePolicy", "Fail") == "Fail"
