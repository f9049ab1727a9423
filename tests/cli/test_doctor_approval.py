"""The doctor says who may approve and propose."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from spillway.cli.doctor.checks_approval import FIX, check_approval
from spillway.cli.doctor.facts import Facts, PolicyFact
from spillway.cli.doctor.gather_approval import policy_facts
from spillway.cli.doctor.result import Verdict
from spillway.cli.main import main
from support.lane_changes import Proposals

FACTS = Facts(now=0.0, user="alice")
WHOLE = PolicyFact("spillway-approval", ("approve", "propose"), denies=True)


@pytest.mark.parametrize(
    ("approval", "verdicts", "said"),
    [
        ((WHOLE,), [Verdict.PASS], "need verbs of their own"),
        ((), [Verdict.WARN], "no policy guards approvals"),
        ((replace(WHOLE, verbs=("approve",)),), [Verdict.WARN], "may create LaneChanges may propose"),
        ((replace(WHOLE, denies=False),), [Verdict.WARN, Verdict.WARN], "spillway-approval is not bound everywhere"),
        ((replace(WHOLE, denies=False), WHOLE), [Verdict.WARN, Verdict.PASS], "spillway-approval is not bound"),
        ("forbidden", [Verdict.SKIP], "can't be read: forbidden"),
    ],
)
def test_what_is_said(approval: tuple[PolicyFact, ...] | str, verdicts: list[Verdict], said: str) -> None:
    checks = list(check_approval(replace(FACTS, approval=approval)))
    assert [check.verdict for check in checks] == verdicts
    assert said in checks[0].message
    assert {check.fix for check in checks if check.verdict is Verdict.WARN} <= {FIX}


POLICY: dict[str, Any] = {
    "metadata": {"name": "approval"},
    "spec": {
        "matchConstraints": {"resourceRules": [{"resources": ["lanechanges"]}]},
        "variables": [{"expression": "['spillway.dev/approved'].filter(key, key in object)"}],
        "validations": [{"expression": "check.check('approve').allowed() && check.check('propose').allowed()"}],
    },
}


def binding(**spec: Any) -> dict[str, Any]:
    return {"spec": {"policyName": "approval", "validationActions": ["Deny"]} | spec}


@pytest.mark.parametrize(
    ("bindings", "denies"),
    [
        ((), False),
        ((binding(),), True),
        ((binding(matchResources={"namespaceSelector": {}}),), True),
        ((binding(policyName="other"),), False),
        ((binding(validationActions=["Warn", "Audit"]),), False),
        ((binding(matchResources={"namespaceSelector": {"matchLabels": {"a": "b"}}}),), False),
        ((binding(validationActions=["Audit"]), binding()), True),
    ],
)
def test_a_policy_counts_where_a_binding_makes_it_refuse(bindings: tuple[dict[str, Any], ...], denies: bool) -> None:
    other = {"metadata": {"name": "other"}, "spec": {"matchConstraints": {"resourceRules": [{"resources": ["pods"]}]}}}
    assert list(policy_facts((other, POLICY), bindings)) == [PolicyFact("approval", ("approve", "propose"), denies)]


SOME = {"matchLabels": {"team": "a"}}


@pytest.mark.parametrize(
    "weaker",
    [
        {"failurePolicy": "Ignore"},
        {"matchConditions": [{"name": "some", "expression": "object.metadata.name != 'main'"}]},
        {"matchConstraints": POLICY["spec"]["matchConstraints"] | {"namespaceSelector": SOME}},
        {"matchConstraints": POLICY["spec"]["matchConstraints"] | {"objectSelector": SOME}},
    ],
)
def test_a_policy_that_leaves_something_out_does_not_count(weaker: dict[str, Any]) -> None:
    (found,) = policy_facts([POLICY | {"spec": POLICY["spec"] | weaker}], [binding()])
    assert not found.denies


def test_the_charts_policy_is_found_on_the_apiserver(proposals: Proposals, capsys: pytest.CaptureFixture[str]) -> None:
    """Also by name: other tests' policies are on the same apiserver."""

    def looked(*arguments: str) -> list[dict[str, str]]:
        main(["doctor", *arguments, "-o", "json"])
        checks = json.loads(capsys.readouterr().out)["checks"]
        return [check for check in checks if check["area"] == "approval"]

    administrator = ("--kubeconfig", str(proposals.cluster.kubeconfig))
    name = f"{proposals.namespace}-{proposals.release}-spillway-approval"
    assert {"verdict": "pass"}.items() <= looked(*administrator)[-1].items()
    proposals.cluster.kubectl(
        "patch",
        "validatingadmissionpolicybinding",
        name,
        "--type=merge",
        "-p",
        '{"spec":{"validationActions":["Warn"]}}',
    )
    warned = [check["message"] for check in looked(*administrator) if check["verdict"] == "warn"]
    assert any(name in message for message in warned)
    viewer = proposals.person("viewer", "viewer")
    (check,) = looked("--kubeconfig", str(viewer))
    assert check["verdict"] == "skip"
    assert "can't be read" in check["message"]
