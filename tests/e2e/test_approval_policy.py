"""The chart's admission policy: an approval needs the verb, names who gives it, and is of an unchanged proposal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spillway.cli.main import main
from spillway_dev.cluster import KubectlError
from spillway_dev.processes import wait_until
from support.lane_changes import Proposals, change_on


def run(proposals: Proposals, person: Path, command: str, *arguments: str) -> int:
    return main([command, "--kubeconfig", str(person), "-n", proposals.namespace, *arguments])


def test_who_lacks_the_verb_is_refused_by_the_apiserver(
    proposals: Proposals, capsys: pytest.CaptureFixture[str]
) -> None:
    """Even one who may edit everything of Spillway's, by kubectl annotate."""
    change = proposals.propose()
    bob = proposals.person("bob", "viewer")
    proposals.cluster.kubectl(
        "create", "role", "editor", "-n", proposals.namespace, "--verb=get,list,watch,update,patch,create",
        "--resource=lanechanges.spillway.dev,capacitylanes.spillway.dev,capacityplans.spillway.dev,workloadclasses.spillway.dev",
    )  # fmt: skip
    proposals.cluster.kubectl(
        "create", "rolebinding", "editor", "-n", proposals.namespace, "--role=editor",
        f"--serviceaccount={proposals.namespace}:bob",
    )  # fmt: skip
    approved = f"spillway.dev/approved={change['spec']['planHash']}"
    by = f"spillway.dev/approved-by={proposals.user('bob')}"
    for notes in ((approved, by), ("spillway.dev/rejected=no", f"spillway.dev/rejected-by={proposals.user('bob')}")):
        with pytest.raises(KubectlError, match="lacks the verb approve"):
            proposals.annotate("main-lower", *notes, person="bob")
    assert run(proposals, bob, "approve", "main-lower", "--yes") == 1
    assert "lacks the verb approve" in capsys.readouterr().err
    assert run(proposals, bob, "reject", "main-lower", "--reason", "no") == 1
    assert proposals.notes() == {}
    assert proposals.minimum() == 1


def test_the_apiserver_guards_the_annotations(proposals: Proposals) -> None:
    change = proposals.propose()
    digest = change["spec"]["planHash"]
    proposals.person("alice", "approver")
    proposals.person("bob", "approver")
    approved, alice, bob = f"spillway.dev/approved={digest}", proposals.user("alice"), proposals.user("bob")
    for notes, said in (
        ((approved, f"spillway.dev/approved-by={alice}"), f"who writes them, which is {bob}"),
        ((approved,), f"with spillway.dev/approved goes spillway.dev/approved-by.*, which is {bob}"),
        ((f"spillway.dev/approved-by={bob}",), "goes with the approval"),
        (("spillway.dev/approved=ffffffffffffffff", f"spillway.dev/approved-by={bob}"), "own spec.planHash"),
        (("spillway.dev/rejected=no",), "with rejected goes rejected-by"),
    ):
        with pytest.raises(KubectlError, match=said):
            proposals.annotate("main-lower", *notes, person="bob")
    proposals.annotate("main-lower", approved, f"spillway.dev/approved-by={alice}", person="alice")
    proposals.annotate("main-lower", "note=fine", person="bob")
    for taken_over in ("spillway.dev/approved-by-", f"spillway.dev/approved-by={bob}"):
        with pytest.raises(KubectlError, match="is taken back first, not taken over"):
            proposals.annotate("main-lower", taken_over, person="bob")
    rejection = ("spillway.dev/rejected=no", f"spillway.dev/rejected-by={bob}")
    with pytest.raises(KubectlError, match="not both"):
        proposals.annotate("main-lower", *rejection, person="bob")
    proposals.person("viewer", "viewer")
    with pytest.raises(KubectlError, match="forbidden"):
        proposals.annotate("main-lower", "spillway.dev/approved-", person="viewer")
    proposals.annotate("main-lower", "spillway.dev/approved-", "spillway.dev/approved-by-", person="bob")
    assert proposals.notes() == {"note": "fine"}


def test_an_editor_proposes_nothing_and_the_operators_role_does(proposals: Proposals) -> None:
    """A proposal is a patch that somebody with more rights is asked to make."""
    ns = proposals.namespace
    change = proposals.propose()
    proposals.cluster.kubectl("delete", "lanechange", "main-lower", "-n", ns)
    made = json.dumps({key: change[key] for key in ("apiVersion", "kind", "spec")} | {"metadata": {"name": "made"}})

    def create_as(person: str, *verbs: str) -> None:
        kubeconfig = proposals.person(person)
        proposals.cluster.kubectl(
            "create", "role", person, "-n", ns, f"--verb={','.join(verbs)}", "--resource=lanechanges.spillway.dev"
        )
        proposals.cluster.kubectl(
            "create", "rolebinding", person, "-n", ns, f"--role={person}", f"--serviceaccount={ns}:{person}"
        )
        proposals.cluster.kubectl("create", "-n", ns, "-f", "-", stdin=made, kubeconfig=kubeconfig)

    with pytest.raises(KubectlError, match="lacks the verb propose"):
        create_as("editor", "get", "list", "watch", "create", "update", "patch", "delete")
    create_as("operator", "get", "list", "watch", "create", "propose", "delete")
    assert proposals.get("lanechange", "made")["spec"] == change["spec"]


def test_nobody_creates_an_approved_one_nor_edits_one_and_the_operator_never_approves(proposals: Proposals) -> None:
    change = proposals.propose()
    digest, operator = change["spec"]["planHash"], proposals.user("spillway")
    ready = {
        "apiVersion": change["apiVersion"],
        "kind": "LaneChange",
        "metadata": {
            "name": "ready",
            "namespace": proposals.namespace,
            "annotations": {"spillway.dev/approved": digest},
        },
        "spec": change["spec"],
    }
    with pytest.raises(KubectlError, match="can't be created approved"):
        proposals.create(ready)
    proposals.person("spillway", "approver")
    proposals.bind("spillway", "cluster-admin", "spillway-admin")
    with pytest.raises(KubectlError, match="it never approves"):
        proposals.annotate(
            "main-lower", f"spillway.dev/approved={digest}", f"spillway.dev/approved-by={operator}", person="spillway"
        )
    edit = '[{"op":"replace","path":"/spec/change/0/patch/1/value","value":5}]'
    with pytest.raises(KubectlError, match="a proposal can't be changed"):
        proposals.cluster.kubectl(
            "patch", "lanechange", "main-lower", "-n", proposals.namespace, "--type=json", "-p", edit
        )


def test_the_policy_alone_keeps_a_proposal_as_it_is(proposals: Proposals, crds: object, repository: Path) -> None:
    """Without the CRD's own rule: also deep in a value of which the schema knows nothing."""
    crd = proposals.cluster.get("crd", "lanechanges.spillway.dev")
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    assert schema.pop("x-kubernetes-validations")
    patch = [{"op": "replace", "path": "/spec/equivalentModels", "value": {"a": [{"b": 1}]}}]
    proposals.propose(changes=[change_on("WorkloadClass", proposals.namespace, "chat", patch)])

    def refused(path: str, value: str) -> bool:
        edit = f'[{{"op":"replace","path":"{path}","value":{value}}}]'
        try:
            proposals.cluster.kubectl(
                "patch", "lanechange", "main-lower", "-n", proposals.namespace, "--type=json", "-p", edit,
                "--dry-run=server",
            )  # fmt: skip
        except KubectlError as error:
            return "ValidatingAdmissionPolicy" in str(error) and "a proposal can't be changed" in str(error)
        return False

    value = "/spec/change/0/patch/0/value"
    try:
        proposals.cluster.kubectl("replace", "-f", "-", stdin=json.dumps(crd))
        wait_until(lambda: refused("/spec/message", '"other"'), "the CRD without its rule", 60)
        for path, other in ((f"{value}/a/0/b", "2"), (f"{value}/a/0/b", '"1"'), (f"{value}/a", "[]"), (value, "null")):
            assert refused(path, other), (path, other)
        assert not refused(f"{value}/a/0/b", "1"), "the same again is no change"
    finally:
        proposals.cluster.apply_crds(repository / "crds")
