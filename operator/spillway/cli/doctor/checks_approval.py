"""Check of who may approve and propose. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from spillway.cli.doctor.facts import Facts
from spillway.cli.doctor.result import Check, passed, skipped, warned

APPROVAL = "approval"
FIX = "helm upgrade with --set rbac.approvalPolicy=true, as somebody who may create cluster-wide admission policies"


def check_approval(facts: Facts) -> Iterable[Check]:
    """Whether approving a proposal, and making one, needs a verb of its own."""
    found = facts.approval
    if isinstance(found, str):
        yield skipped(APPROVAL, f"admission policies can't be read: {found}")
        return
    for policy in found:
        if not policy.denies:
            yield warned(APPROVAL, f"ValidatingAdmissionPolicy {policy.name} is not bound everywhere to deny", FIX)
    verbs = {verb for policy in found if policy.denies for verb in policy.verbs}
    if verbs >= {"approve", "propose"}:
        yield passed(APPROVAL, "approving and proposing LaneChanges need verbs of their own")
    elif "approve" in verbs:
        yield warned(APPROVAL, "whoever may create LaneChanges may propose: the policy is an older release's", FIX)
    else:
        yield warned(APPROVAL, "no policy guards approvals: whoever may patch LaneChanges may approve them", FIX)
