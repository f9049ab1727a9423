"""Reads which admission policies guard proposals."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from spillway.cli.doctor.facts import PolicyFact
from spillway.kube import Kube, KubeError, Resource

POLICIES = Resource("admissionregistration.k8s.io/v1", "validatingadmissionpolicies", namespaced=False)
BINDINGS = Resource("admissionregistration.k8s.io/v1", "validatingadmissionpolicybindings", namespaced=False)
APPROVED = "'spillway.dev/approved'"
VERBS = ("approve", "propose")
JSON = dict[str, Any]


async def approval_policies(kube: Kube) -> tuple[PolicyFact, ...] | str:
    """The policies that guard approvals of LaneChanges, or why they can't be read."""
    try:
        policies, bindings = await kube.list(POLICIES), await kube.list(BINDINGS)
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
        denies = any(_denies(each.get("spec") or {}, name) for each in bound)
        yield PolicyFact(name, tuple(verb for verb in VERBS if f".check('{verb}')" in text), denies)


def _denies(binding: JSON, policy: str) -> bool:
    """Whether it binds the policy everywhere, to refuse."""
    everywhere = not (binding.get("matchResources") or {}).get("namespaceSelector")
    return binding.get("policyName") == policy and "Deny" in (binding.get("validationActions") or []) and everywhere
