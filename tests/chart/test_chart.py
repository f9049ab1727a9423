"""The chart renders what it says: copies in sync, least permissions, a hardened pod. Needs only helm."""

from __future__ import annotations

import json
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from chart.values_schema import render as render_schema
from spillway.cli.doctor.permissions import PERMISSIONS, Need, Scope
from spillway.config import OperatorConfig
from spillway_dev.toolchain import Tools

Document = dict[str, Any]
Render = Callable[..., list[Document]]

URL = "config.prometheus.url=http://prometheus.monitoring.svc:9090"


@pytest.fixture(scope="session")
def chart(repository: Path) -> Path:
    return repository / "charts" / "spillway"


@pytest.fixture(scope="session")
def helm(tools: Tools) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [tools.path("helm"), *arguments], capture_output=True, text=True, check=False, timeout=120
        )

    return run


@pytest.fixture(scope="session")
def template(chart: Path, helm: Callable[..., subprocess.CompletedProcess[str]]) -> Render:
    def render(*settings: str, url: str = URL) -> list[Document]:
        flags = [
            flag
            for setting in (url, *settings)
            if setting
            for flag in ("--set-json" if "=[" in setting else "--set", setting)
        ]
        done = helm("template", "spillway", str(chart), "-n", "spillway-system", *flags)
        assert done.returncode == 0, done.stderr
        return [document for document in yaml.safe_load_all(done.stdout) if document]

    return render


def of_kind(documents: list[Document], kind: str) -> list[Document]:
    return [document for document in documents if document["kind"] == kind]


PEOPLE = ("spillway-approver", "spillway-viewer")
"""ClusterRoles that the operator's account is not bound to."""


def of_the_operator(documents: list[Document], kind: str) -> list[Document]:
    return [each for each in of_kind(documents, kind) if each["metadata"]["name"] not in PEOPLE]


def granted(documents: list[Document], *names: str) -> set[tuple[str, str, str]]:
    """What the named roles grant; without names, those of the operator's account."""
    roles = [
        role
        for role in documents
        if role["kind"] in ("Role", "ClusterRole") and (names or role["metadata"]["name"] not in PEOPLE)
    ]
    return {
        (group, resource, verb)
        for role in roles
        if not names or role["metadata"]["name"] in names
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_crds_of_the_chart_are_the_generated_ones(chart: Path, repository: Path) -> None:
    generated = {path.name: path.read_text() for path in (repository / "crds").glob("*.yaml")}
    copies = {path.name: path.read_text() for path in (chart / "files" / "crds").glob("*.yaml")}
    assert copies == generated, "run: python -m spillway.api.crd --output crds --output charts/spillway/files/crds"


def test_values_schema_is_the_configuration_model(chart: Path) -> None:
    assert (chart / "values.schema.json").read_text() == render_schema(), "run: python tests/chart/values_schema.py"


def test_versions_are_those_of_the_package(chart: Path, repository: Path) -> None:
    version = tomllib.loads((repository / "pyproject.toml").read_text())["project"]["version"]
    found = yaml.safe_load((chart / "Chart.yaml").read_text())
    assert found["appVersion"] == version
    assert found["version"] == version


def test_lint_is_clean(chart: Path, helm: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = helm("lint", "--strict", str(chart), "--set", URL)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("config.prometheus.timeoutSeconds=5", "config.prometheus.url is required"),
        ("config.prometheus.urll=x", "'urll' not allowed"),
        ("config.tickSeconds=0", "/config/tickSeconds"),
        ("rbac.mode=write", "/rbac/mode"),
        ("replicas=2", "'replicas' not allowed"),
    ],
)
def test_wrong_values_are_refused_by_name(
    chart: Path, helm: Callable[..., subprocess.CompletedProcess[str]], setting: str, said: str
) -> None:
    done = helm("template", "spillway", str(chart), "--set", setting)
    assert done.returncode != 0
    assert said in done.stderr


def test_the_configuration_is_read_by_the_operator(template: Render) -> None:
    documents = template(
        'config.gateways=[{"name": "egress", "type": "LiteLLM", "role": "Egress", "labels": {"job": "litellm"}}]',
        'namespaces=["team-a", "team-b"]',
    )
    maps = {document["metadata"]["name"]: document for document in of_kind(documents, "ConfigMap")}
    config = OperatorConfig.model_validate(yaml.safe_load(maps["spillway"]["data"]["config.yaml"]))
    assert config.namespaces == ("team-a", "team-b")
    assert config.operator_namespace == "spillway-system"
    assert config.gateways[0].labels == {"job": "litellm"}
    assert config.http_port == 8080
    assert "data" not in maps["spillway-emergency-stop"], "an upgrade must not turn a stop off"


def wanted(need: set[Need], scopes: set[Scope]) -> set[tuple[str, str, str]]:
    return {
        (each.group, each.resource, each.verb) for each in PERMISSIONS if each.need in need and each.scope in scopes
    }


def test_recommend_grants_what_the_doctor_asks_for_and_no_more(template: Render) -> None:
    everything = set(Scope)
    assert granted(template()) == wanted({Need.RECOMMEND}, everything)
    assert granted(template("rbac.mode=apply")) == wanted(set(Need), everything)


def test_namespaced_install_has_roles_only_there(template: Render) -> None:
    documents = template('namespaces=["team-a", "team-b"]', "rbac.clusterReads=false")
    assert not of_the_operator(documents, "ClusterRole")
    assert {role["metadata"]["namespace"] for role in of_kind(documents, "Role")} == {
        "team-a",
        "team-b",
        "spillway-system",
    }
    with_reads = template('namespaces=["team-a"]')
    (cluster_role,) = of_the_operator(with_reads, "ClusterRole")
    assert granted([cluster_role]) == wanted(set(Need), {Scope.CLUSTER})


@pytest.mark.parametrize("mode", ["recommend", "apply"])
def test_never_a_verb_on_secrets_nor_a_wildcard(template: Render, mode: str) -> None:
    for group, resource, verb in granted(template(f"rbac.mode={mode}")):
        assert "secret" not in resource
        assert "*" not in (group, resource, verb)
        assert verb not in ("deletecollection", "escalate", "bind", "impersonate", "update")
        assert verb != "delete" or (group, resource) == ("spillway.dev", "lanechanges"), "proposals that have ended"


@pytest.mark.parametrize("mode", ["recommend", "apply"])
def test_no_verb_changes_a_spec_of_ours(template: Render, mode: str) -> None:
    own = {
        (resource, verb) for group, resource, verb in granted(template(f"rbac.mode={mode}")) if group == "spillway.dev"
    }
    written = {(resource, verb) for resource, verb in own if verb not in ("get", "list", "watch")}
    assert {resource for resource, verb in written if verb == "patch"} == {
        f"{plural}/status" for plural in ("workloadclasses", "capacitylanes", "capacityplans", "lanechanges")
    }
    others = {("lanechanges", verb) for verb in ("create", "propose", "delete")}
    assert {pair for pair in written if pair[1] != "patch"} == others


def test_extra_targets_follow_the_mode(template: Render) -> None:
    extra = 'rbac.extraTargets=[{"apiGroup": "serving.example.com", "resource": "servers"}]'
    reading, applying = granted(template(extra)), granted(template(extra, "rbac.mode=apply"))
    assert ("serving.example.com", "servers/scale", "get") in reading
    assert ("serving.example.com", "servers/scale", "patch") not in reading
    assert ("serving.example.com", "servers/scale", "patch") in applying


def test_a_proxys_configuration_is_opened_by_name(template: Render) -> None:
    named = 'rbac.litellm.configMaps=["litellm-config"]'

    def on_config_maps(*settings: str) -> list[dict[str, Any]]:
        (role,) = of_the_operator(template(named, *settings), "ClusterRole")
        return [rule for rule in role["rules"] if "configmaps" in rule["resources"]]

    assert [(rule["resourceNames"], rule["verbs"]) for rule in on_config_maps()] == [(["litellm-config"], ["get"])]
    (applying,) = on_config_maps("rbac.mode=apply")
    assert (applying["resourceNames"], applying["verbs"]) == (["litellm-config"], ["get", "patch"])


def test_the_pod_is_hardened(template: Render) -> None:
    (deployment,) = of_kind(template(), "Deployment")
    assert deployment["spec"]["replicas"] == 1
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    pod = deployment["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["resources"]["requests"]


def test_a_changed_configuration_restarts_the_pod(template: Render) -> None:
    def checksum(*settings: str) -> str:
        (deployment,) = of_kind(template(*settings), "Deployment")
        found: str = deployment["spec"]["template"]["metadata"]["annotations"]["spillway.dev/config-checksum"]
        return found

    assert checksum() == checksum()
    assert checksum() != checksum("config.tickSeconds=30")


def test_crds_can_be_left_out_or_dropped(template: Render) -> None:
    kept = of_kind(template(), "CustomResourceDefinition")
    assert len(kept) == 4
    assert all(each["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep" for each in kept)
    dropped = of_kind(template("crds.keep=false"), "CustomResourceDefinition")
    assert all("helm.sh/resource-policy" not in each["metadata"].get("annotations", {}) for each in dropped)
    assert not of_kind(template("crds.enabled=false"), "CustomResourceDefinition")


def test_pod_monitor_and_digest(template: Render) -> None:
    documents = template("metrics.podMonitor.enabled=true", "image.digest=sha256:abc", "image.repository=reg/spillway")
    assert of_kind(documents, "PodMonitor")
    (deployment,) = of_kind(documents, "Deployment")
    assert deployment["spec"]["template"]["spec"]["containers"][0]["image"] == "reg/spillway@sha256:abc"
    assert not of_kind(template(), "PodMonitor")


def test_values_file_names_only_known_values(chart: Path) -> None:
    values = yaml.safe_load((chart / "values.yaml").read_text())
    schema = json.loads((chart / "values.schema.json").read_text())
    assert set(values) <= set(schema["properties"])


def test_recording_is_a_volume_of_its_own_and_off_by_default(template: Render) -> None:
    assert "recording" not in str(template())

    def pod_and_config(*settings: str) -> tuple[Document, Document]:
        documents = template("recording.enabled=true", *settings)
        (deployment,) = of_kind(documents, "Deployment")
        config = next(d["data"]["config.yaml"] for d in of_kind(documents, "ConfigMap") if "config.yaml" in d["data"])
        return deployment["spec"]["template"]["spec"], yaml.safe_load(config)

    pod, config = pod_and_config("recording.maxMegabytes=100")
    recording = OperatorConfig.model_validate(config).recording
    assert recording is not None
    assert recording.max_megabytes == 100
    (mount,) = (m for m in pod["containers"][0]["volumeMounts"] if m["name"] == "recording")
    assert mount["mountPath"] == str(recording.directory)
    (volume,) = (v for v in pod["volumes"] if v["name"] == "recording")
    assert int(volume["emptyDir"]["sizeLimit"].removesuffix("Mi")) > 100
    pod, _ = pod_and_config("recording.existingClaim=kept")
    (volume,) = (v for v in pod["volumes"] if v["name"] == "recording")
    assert volume["persistentVolumeClaim"] == {"claimName": "kept"}


def test_people_approve_by_a_role_of_their_own(template: Render) -> None:
    documents = template()
    own = ("capacitylanes", "capacityplans", "lanechanges", "workloadclasses")
    reading = {("spillway.dev", resource, verb) for resource in own for verb in ("get", "list", "watch")}
    patching = {("spillway.dev", resource, "patch") for resource in own}
    assert granted(documents, "spillway-viewer") == reading
    assert granted(documents, "spillway-approver") == reading | patching | {("spillway.dev", "lanechanges", "approve")}
    labels = {role["metadata"]["name"]: role["metadata"]["labels"] for role in of_kind(documents, "ClusterRole")}
    assert labels["spillway-viewer"]["rbac.authorization.k8s.io/aggregate-to-view"] == "true"
    assert not [key for key in labels["spillway-approver"] if "aggregate" in key]
    bound = {each["roleRef"]["name"] for each in documents if each["kind"].endswith("RoleBinding")}
    assert not bound & set(PEOPLE)
    assert not of_kind(template("rbac.personRoles=false", "rbac.clusterReads=false", 'namespaces=["a"]'), "ClusterRole")


def test_the_operator_never_approves(template: Render) -> None:
    for mode in ("recommend", "apply"):
        assert not [each for each in granted(template(f"rbac.mode={mode}")) if each[2] == "approve"]
    (policy,) = [
        each
        for each in of_kind(template(), "ValidatingAdmissionPolicy")
        if each["metadata"]["name"].endswith("approval")
    ]
    said = str(policy["spec"]["validations"])
    assert "'system:serviceaccount:spillway-system:spillway'" in said
    (binding,) = [
        each
        for each in of_kind(template(), "ValidatingAdmissionPolicyBinding")
        if each["spec"]["policyName"] == policy["metadata"]["name"]
    ]
    assert binding["spec"]["validationActions"] == ["Deny"]
    assert policy["spec"]["failurePolicy"] == "Fail"
    assert not of_kind(template("rbac.approvalPolicy=false"), "ValidatingAdmissionPolicy")
