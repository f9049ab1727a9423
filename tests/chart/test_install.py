"""The chart installs on a real control plane, its pod runs, and its service account may do what it should, no more."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from spillway.cli.doctor.permissions import PERMISSIONS, Need, Scope
from spillway_dev.cluster import KubectlError
from spillway_dev.controlplane import ControlPlane, ControlPlaneOptions
from spillway_dev.processes import wait_until
from spillway_dev.toolchain import Tools

NAMESPACE = "spillway-system"
URL = "config.prometheus.url=http://prometheus.monitoring.svc:9090"
ACCOUNT = f"system:serviceaccount:{NAMESPACE}:spillway"

Helm = Callable[..., str]


@pytest.fixture(scope="module")
def control_plane(request: pytest.FixtureRequest, tools: Tools) -> Iterator[ControlPlane]:
    """A control plane of its own: the chart brings the CRDs, which other tests have applied on the shared one."""
    if request.config.getoption("--kubeconfig") or request.config.getoption("--kind"):
        pytest.skip("installs CRDs as a Helm release: only on a control plane of its own")
    with ControlPlane(tools, ControlPlaneOptions()) as started:
        yield started


@pytest.fixture(scope="module")
def helm(control_plane: ControlPlane, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """helm against the control plane, in the operator's namespace, with the chart installed."""
    home = tmp_path_factory.mktemp("helm")

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [control_plane.tools.path("helm"), *arguments, "-n", NAMESPACE],
            env={"PATH": os.environ["PATH"], "HOME": str(home), "KUBECONFIG": str(control_plane.kubeconfig)},
            cwd=repository,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    control_plane.create_namespace(NAMESPACE)
    run("install", "spillway", "charts/spillway", "--set", URL, "--wait", "--timeout", "90s")
    return run


def may(control_plane: ControlPlane, verb: str, group: str, resource: str, namespace: str = "", name: str = "") -> bool:
    plural, _, subresource = resource.partition("/")
    review: dict[str, Any] = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": ACCOUNT,
            "resourceAttributes": {
                "verb": verb,
                "group": group,
                "resource": plural,
                "subresource": subresource,
                "namespace": namespace,
                "name": name,
            },
        },
    }
    answer = control_plane.kubectl("create", "-f", "-", "-o", "json", stdin=json.dumps(review))
    return bool(json.loads(answer)["status"].get("allowed"))


def allowed_set(control_plane: ControlPlane, needs: set[Need]) -> dict[str, bool]:
    def ask(scope: Scope) -> tuple[str, str]:
        named = {Scope.STOP: "spillway-emergency-stop", Scope.LEDGER: "spillway-ledger"}
        return (NAMESPACE, named[scope]) if scope in named else ("", "")

    return {
        each.text: may(control_plane, each.verb, each.group, each.resource, *ask(each.scope))
        for each in PERMISSIONS
        if each.need in needs
    }


def test_the_pod_becomes_ready(control_plane: ControlPlane, helm: Helm) -> None:
    control_plane.kubectl("rollout", "status", "deployment/spillway", "-n", NAMESPACE, "--timeout=180s")
    control_plane.kubectl("wait", "--for=condition=Established", "crd/capacityplans.spillway.dev", "--timeout=120s")
    notes = helm("get", "notes", "spillway")
    assert "recommend permissions" in notes
    assert "--clusterrole=spillway-approver" in notes


def test_recommend_reads_and_cannot_write(control_plane: ControlPlane, helm: Helm) -> None:
    reading = allowed_set(control_plane, {Need.RECOMMEND})
    assert all(reading.values()), [text for text, allowed in reading.items() if not allowed]
    writing = allowed_set(control_plane, {Need.APPLY})
    assert not any(writing.values()), [text for text, allowed in writing.items() if allowed]


@pytest.mark.parametrize("verb", ["get", "list", "watch", "create", "patch", "delete"])
def test_secrets_are_out_of_reach(control_plane: ControlPlane, helm: Helm, verb: str) -> None:
    assert not may(control_plane, verb, "", "secrets", NAMESPACE)
    assert not may(control_plane, verb, "", "secrets", "default")


def test_other_config_maps_and_own_specs_are_out_of_reach(control_plane: ControlPlane, helm: Helm) -> None:
    assert not may(control_plane, "get", "", "configmaps", NAMESPACE, "something-else")
    assert not may(control_plane, "patch", "", "configmaps", NAMESPACE, "spillway-emergency-stop")
    assert all(
        may(control_plane, verb, "", "configmaps", NAMESPACE, "spillway-observations") for verb in ("get", "patch")
    )
    assert not may(control_plane, "patch", "spillway.dev", "capacityplans", "default")
    assert not may(control_plane, "patch", "spillway.dev", "lanechanges", "default")
    assert not may(control_plane, "approve", "spillway.dev", "lanechanges", "default")
    assert may(control_plane, "propose", "spillway.dev", "lanechanges", "default")
    assert not may(control_plane, "delete", "", "pods", "default")
    assert not may(control_plane, "approve", "spillway.dev", "lanechanges", "default")


def test_a_stop_outlives_an_upgrade_which_may_then_apply(control_plane: ControlPlane, helm: Helm) -> None:
    stop = ["patch", "configmap", "spillway-emergency-stop", "-n", NAMESPACE, "--type=merge"]
    control_plane.kubectl(*stop, "-p", '{"data":{"stop":"true"}}')
    helm("upgrade", "spillway", "charts/spillway", "--set", URL, "--set", "rbac.mode=apply", "--wait")
    assert control_plane.get("configmap", "spillway-emergency-stop", NAMESPACE)["data"] == {"stop": "true"}
    everything = allowed_set(control_plane, set(Need))
    assert all(everything.values()), [text for text, allowed in everything.items() if not allowed]


def test_the_apply_role_may_note_and_scale_and_nothing_else(control_plane: ControlPlane, helm: Helm) -> None:
    namespace = control_plane.create_namespace("notes")
    control_plane.kubectl("create", "deployment", "vllm", "--image=vllm", "-n", namespace)
    helm(
        "upgrade", "spillway", "charts/spillway", "--set", URL, "--set", "rbac.mode=apply", "--wait", "--timeout", "90s"
    )
    operator = control_plane.service_account_kubeconfig(NAMESPACE, "spillway")
    deployment = ["patch", "deployment", "vllm", "-n", namespace, "--type=merge", "-p"]
    image = '{"spec":{"template":{"spec":{"containers":[{"name":"vllm","image":"evil"}]}}}}'

    def refused() -> bool:
        """The policy takes a moment to be in force; until then a dry run goes through."""
        try:
            control_plane.kubectl(*deployment, image, "--dry-run=server", kubeconfig=operator)
        except KubectlError as error:
            return "may not change a spec" in str(error)
        return False

    wait_until(refused, "the admission policy in force", 30)
    for change in (image, '{"spec":{"replicas":9}}', '{"metadata":{"labels":{"app":"other"}}}'):
        with pytest.raises(KubectlError, match="may not change"):
            control_plane.kubectl(*deployment, change, kubeconfig=operator)
    noted = '{"metadata":{"annotations":{"spillway.dev/baseline-replicas":"1"}}}'
    control_plane.kubectl(*deployment, noted, kubeconfig=operator)
    control_plane.kubectl(
        "patch", "deployment", "vllm", "-n", namespace, "--subresource=scale", "--type=merge",
        "-p", '{"spec":{"replicas":3}}', kubeconfig=operator,
    )  # fmt: skip
    assert control_plane.get("deployments.apps", "vllm", namespace)["spec"]["replicas"] == 3


def test_a_proxy_is_rolled_over_by_one_annotation_alone(control_plane: ControlPlane, helm: Helm) -> None:
    namespace = control_plane.create_namespace("proxies")
    control_plane.kubectl("create", "deployment", "litellm", "--image=litellm", "-n", namespace)
    helm(
        "upgrade", "spillway", "charts/spillway", "--set", URL, "--set", "rbac.mode=apply", "--wait",
        "--set-json", 'rbac.litellm.configMaps=["litellm-config"]', "--timeout", "90s",
    )  # fmt: skip
    operator = control_plane.service_account_kubeconfig(NAMESPACE, "spillway")
    deployment = ["patch", "deployment", "litellm", "-n", namespace, "--type=merge", "-p"]

    def template(content: str) -> str:
        return f'{{"spec":{{"template":{content}}}}}'

    annotated = template('{"metadata":{"annotations":{"spillway.dev/litellm-config":"abc"}}}')

    def allowed() -> bool:
        """The policy takes a moment to be in force."""
        try:
            control_plane.kubectl(*deployment, annotated, kubeconfig=operator)
        except KubectlError:
            return False
        return True

    wait_until(allowed, "the admission policy in force", 30)
    for change in (
        template('{"metadata":{"annotations":{"other":"x"}}}'),
        template('{"metadata":{"labels":{"other":"x"}}}'),
        template('{"spec":{"containers":[{"name":"litellm","image":"evil"}]}}'),
        '{"spec":{"paused":true}}',
        '{"spec":{"replicas":9}}',
        '{"spec":{"minReadySeconds":9}}',
    ):
        with pytest.raises(KubectlError, match="may not change"):
            control_plane.kubectl(*deployment, change, kubeconfig=operator)
    assert may(control_plane, "patch", "", "configmaps", namespace, "litellm-config")
    assert not may(control_plane, "patch", "", "configmaps", namespace, "another")


def test_namespaced_rights_end_at_the_namespace(control_plane: ControlPlane, helm: Helm) -> None:
    inside = control_plane.create_namespace("spillway-inside")
    try:
        narrow = f'namespaces=["{inside}"]'
        helm("upgrade", "spillway", "charts/spillway", "--set", URL, "--set", "rbac.mode=apply", "--set-json", narrow)
        assert may(control_plane, "patch", "apps", "deployments/scale", inside)
        assert may(control_plane, "get", "", "namespaces", inside, inside)
        assert not may(control_plane, "patch", "apps", "deployments/scale", "default")
        assert not may(control_plane, "list", "spillway.dev", "capacityplans", "default")
    finally:
        control_plane.delete_namespace(inside)


def test_uninstalling_keeps_the_crds(control_plane: ControlPlane, helm: Helm) -> None:
    helm("uninstall", "spillway", "--wait")
    assert control_plane.exists("crd", "capacityplans.spillway.dev")
    assert not control_plane.exists("deployment", "spillway", NAMESPACE)
