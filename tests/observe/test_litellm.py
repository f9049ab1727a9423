"""A plan's LiteLLM proxy as it is observed: whose it is, whether every pod has what is written, and what that means."""

from __future__ import annotations

import copy
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from spillway.act.litellm.terms import Terms
from spillway.act.planes.litellm import LiteLLM
from spillway.act.planes.plane import Found, Wanted
from spillway.api import CapacityPlan, WorkloadClass
from spillway.api.names import PLAN_ANNOTATION
from spillway.api.proxynote import CONFIG_ANNOTATION, NOTE_ANNOTATION
from spillway.decide.snapshot import Finding, RouteState, Severity
from spillway.kube import Kube
from spillway.observe.litellm import (
    as_bound,
    has_loaded,
    loading_findings,
    proxy_findings,
    proxy_routes,
    proxy_scope,
    read_proxy,
    weights_now,
    with_loaded,
)
from spillway.observe.scope import ProxyScope
from spillway_dev.controlplane import ControlPlane
from spillway_dev.processes import wait_until
from support.proxied import hosted, own, workload
from support.proxies import proxy_objects

AT = 1_800_000_000.0
LANES = (own(), hosted())
PODS = ("litellm-1", "litellm-2")
HALF = {"gpu": 50, "hosted": 50}

Object = dict[str, Any]


def plan(mode: str = "Split", plane: str = "LiteLLM", addresses: Mapping[str, str] | None = None) -> CapacityPlan:
    proxy = {
        "configMap": "litellm-config",
        "deployment": "litellm",
        "addresses": {"gpu": "http://vllm/v1"} if addresses is None else dict(addresses),
    }
    spec = {"lanes": ["gpu", "hosted"], "routing": {"plane": plane, "litellm": proxy}, "overflow": {"mode": mode}}
    return CapacityPlan.parse({"metadata": {"name": "main", "namespace": "ai"}, "spec": spec})


def empty() -> Object:
    return {"metadata": {"name": "litellm-config", "namespace": "ai", "resourceVersion": "1"}}


def config_map(
    weights: Mapping[str, int] = HALF, mode: str = "Split", item: WorkloadClass | None = None, **more: Any
) -> Object:
    """As the plane writes it."""
    wanted = Wanted(
        plan(mode), (item or workload(),), LANES, {"chat": weights}, frozenset({"chat"}), at=AT,
        terms=Terms(AT), **more,
    )  # fmt: skip
    bare = {"ConfigMap/ai/litellm-config": empty(), "Deployment/ai/litellm": deployment("")}
    body: Object = LiteLLM().render(wanted, Found(bare)).changes[0].body
    return body


def hash_of(item: Object) -> str:
    return str(item["metadata"]["annotations"][CONFIG_ANNOTATION])


def deployment(content: str, **status: Any) -> Object:
    """Two replicas, all of them of this configuration and available."""
    annotations = {CONFIG_ANNOTATION: content} if content else {}
    return {
        "metadata": {"name": "litellm", "namespace": "ai", "uid": "u", "generation": 3},
        "spec": {"replicas": 2, "template": {"metadata": {"annotations": annotations}}},
        "status": {
            "observedGeneration": 3, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2,
        } | status,
    }  # fmt: skip


def pods(*names: str, **meta: Any) -> list[Object]:
    return [{"metadata": {"name": name, "namespace": "ai", **meta}} for name in names]


def scope(item: Object | None = None, proxy: Object | None = None, names: tuple[str, ...] = PODS) -> ProxyScope:
    """What is seen of the proxy; unless told otherwise, all is rolled out."""
    found = config_map() if item is None else item
    made = plan()
    assert made.spec.routing.litellm is not None
    rolled = (found["metadata"].get("annotations") or {}).get(CONFIG_ANNOTATION, "")
    return proxy_scope(made, made.spec.routing.litellm, found, proxy or deployment(rolled), pods(*names))


def loaded(found: ProxyScope, *names: str, deployments: float = 2.0) -> dict[tuple[str, str], dict[str, float]]:
    """These pods, each with as many deployments of what is written."""
    return {("ai", name): {found.written: deployments} for name in names or PODS}


def is_one_line(text: str) -> bool:
    return bool(text) and "\n" not in text and "Traceback" not in text


def test_what_every_pod_shows_after_a_complete_rollout_is_loaded() -> None:
    found = scope()
    assert (found.problem, found.stuck, found.rolled_out, found.deployments) == (None, None, True, 2)
    assert found.pods == PODS
    assert has_loaded(found, loaded(found)) is True
    assert loading_findings(plan(), found, loaded(found)) == []
    assert proxy_findings(plan(), LANES, found) == []


APPLIED_BY_OTHERS = {
    "manager": "argocd-controller",
    "operation": "Apply",
    "fieldsV1": {"f:data": {".": {}, "f:config.yaml": {}}},
}


def contested(**changes: Any) -> Object:
    item = config_map()
    mine = {"manager": "spillway-controller", "operation": "Apply", "fieldsV1": {"f:data": {"f:config.yaml": {}}}}
    item["metadata"]["managedFields"] = [mine, APPLIED_BY_OTHERS | changes]
    return item


def somebodys(**changes: Any) -> Object:
    return {**empty(), **changes}


@pytest.mark.parametrize(
    ("item", "why"),
    [
        (None, "ConfigMap ai/litellm-config does not exist: create it without data"),
        (somebodys(data={"config.yaml": "model_list: []"}), "it holds data that somebody else wrote"),
        (somebodys(binaryData={"x": "AA=="}), "it holds data that somebody else wrote"),
        (
            {"metadata": empty()["metadata"] | {"annotations": {PLAN_ANNOTATION: "ai/other"}}},
            "is CapacityPlan ai/other's: one proxy has one plan",
        ),
        (contested(), "argocd-controller applies its data, too: take data out of that manifest"),
    ],
)
def test_what_may_not_be_written_is_told_in_one_line_and_never_loaded(item: Object | None, why: str) -> None:
    made = plan()
    assert made.spec.routing.litellm is not None
    found = proxy_scope(made, made.spec.routing.litellm, item, deployment(hash_of(config_map())), pods(*PODS))
    assert why in str(found.problem)
    assert is_one_line(str(found.problem))
    everywhere = {("ai", name): {hash_of(config_map()): 2.0} for name in PODS}
    assert has_loaded(found, everywhere) is False
    (route,) = with_loaded(proxy_routes(made, [workload()], LANES, found), found, everywhere)
    assert (route.exists, route.accepted, route.problem) == (False, None, found.problem)
    (told,) = proxy_findings(made, LANES, found)
    assert (told.severity, told.reason, told.subject) == (Severity.ERROR, "ProxyProblem", "CapacityPlan/ai/main")


@pytest.mark.parametrize(
    "changes",
    [
        # An edit by hand is undone; labels and annotations are everybody's.
        {"operation": "Update"},
        {"manager": "spillway-controller"},
        {"fieldsV1": {"f:data": {".": {}}}},
        {"fieldsV1": {"f:metadata": {"f:labels": {"f:team": {}}}}},
        {"fieldsV1": None},
    ],
)
def test_only_whoever_applies_its_data_has_a_claim_to_it(changes: Object) -> None:
    assert scope(contested(**changes)).problem is None


def test_a_deployment_that_is_missing_is_told_with_the_way_out() -> None:
    made = plan()
    assert made.spec.routing.litellm is not None
    found = proxy_scope(made, made.spec.routing.litellm, config_map(), None, [])
    assert found.problem == "Deployment ai/litellm does not exist: create it, or mend spec.routing.litellm"
    assert has_loaded(found, loaded(found)) is False


@pytest.mark.parametrize(
    "proxy",
    [
        deployment(hash_of(config_map()), observedGeneration=2),
        deployment(hash_of(config_map()), updatedReplicas=1),
        deployment(hash_of(config_map()), availableReplicas=1),
        deployment(hash_of(config_map()), availableReplicas=None),
        deployment(hash_of(config_map()), replicas=3),
        deployment(hash_of(config_map())) | {"status": {}},
        deployment("of-before"),
        deployment(""),
    ],
)
def test_part_of_a_rollout_is_none_whatever_pods_show(proxy: Object) -> None:
    found = scope(proxy=proxy)
    assert not found.rolled_out
    assert has_loaded(found, loaded(found)) is False
    # A rollout takes its time: that is nothing to tell.
    assert loading_findings(plan(), found, loaded(found, "litellm-1")) == []


def test_an_empty_config_map_is_not_loaded_by_anybody() -> None:
    found = scope(empty())
    assert (found.problem, found.written, found.rolled_out) == (None, "", False)
    assert has_loaded(found, {("ai", name): {"": 2.0} for name in PODS}) is False
    (route,) = proxy_routes(plan(), [workload()], LANES, found)
    assert (route.exists, route.weights) == (False, {"gpu": 0, "hosted": 0})


@pytest.mark.parametrize(
    ("shown", "told"),
    [
        ({"of-before": 2.0}, "Pod ai/litellm-2 of Deployment litellm has loaded configuration of-before, not all of"),
        ({"": 2.0}, "has loaded configuration of nobody's, not all of"),
        ({}, "has loaded configuration of nobody's, not all of"),
        ("too few", "has loaded 1 of 2 deployments, not all of"),
        ("none", "has loaded 0 of 2 deployments, not all of"),
        ("and others", "has loaded configuration of-before, not all of"),
    ],
)
def test_a_pod_that_disagrees_is_named_and_nothing_is_loaded(shown: Any, told: str) -> None:
    found = scope()
    cases = {
        "too few": {found.written: 1.0},
        "none": {found.written: 0.0},
        "and others": {found.written: 2.0, "of-before": 1.0},
    }
    everywhere = loaded(found, "litellm-1") | {("ai", "litellm-2"): cases.get(str(shown), shown)}
    assert has_loaded(found, everywhere) is False
    (finding,) = loading_findings(plan(), found, everywhere)
    assert (finding.severity, finding.reason) == (Severity.WARNING, "ProxyLoadedOther")
    assert told in finding.message
    assert is_one_line(finding.message)


@pytest.mark.parametrize(
    "answered",
    [
        None,
        {},
        {("ai", "litellm-1"): "written"},
        {("ai", "litellm-1"): "written", ("elsewhere", "litellm-2"): "written"},
        {("ai", "litellm-1"): "written", ("ai", "litellm-0"): "written"},
    ],
)
def test_pods_that_tell_nothing_are_not_taken_for_loaded(answered: dict[tuple[str, str], str] | None) -> None:
    found = scope()
    everywhere = None if answered is None else {key: {found.written: 2.0} for key in answered}
    assert has_loaded(found, everywhere) is None
    (route,) = with_loaded(proxy_routes(plan(), [workload()], LANES, found), found, everywhere)
    assert (route.exists, route.accepted) == (True, None)


def test_a_proxy_without_replicas_has_loaded_nothing_and_says_so() -> None:
    proxy = deployment(hash_of(config_map()), replicas=0, updatedReplicas=0, availableReplicas=0)
    proxy["spec"]["replicas"] = 0
    found = scope(proxy=proxy, names=())
    assert has_loaded(found, loaded(found)) is None
    (told,) = proxy_findings(plan(), LANES, found)
    assert (told.severity, told.reason) == (Severity.WARNING, "ProxyScaledToZero")
    assert told.message == "Deployment ai/litellm has no replicas, so nobody answers: scale it up"


def test_pods_that_are_being_deleted_are_not_asked() -> None:
    made = plan()
    assert made.spec.routing.litellm is not None
    going = pods("litellm-0", deletionTimestamp="2026-11-23T00:00:00Z")
    item = config_map()
    found = proxy_scope(made, made.spec.routing.litellm, item, deployment(hash_of(item)), [*going, *pods("litellm-1")])
    assert found.pods == ("litellm-1",)
    assert has_loaded(found, loaded(found, "litellm-1") | {("ai", "litellm-0"): {"of-before": 2.0}}) is True


@pytest.mark.parametrize(
    "text", [None, "", "{", "[]", '{"at": "soon"}', '{"at": 1}', '{"at": 1, "sending": "Split", "weights": 5}']
)
def test_a_note_that_can_not_be_understood_gives_no_weights(text: str | None) -> None:
    item = config_map()
    annotations = item["metadata"]["annotations"]
    annotations.pop(NOTE_ANNOTATION)
    if text is not None:
        annotations[NOTE_ANNOTATION] = text
    found = scope(item)
    assert (found.note, found.deployments) == (None, None)
    assert weights_now(found, "chat", LANES) == {"gpu": 0, "hosted": 0}
    # What pods have loaded is known by the hash alone.
    assert has_loaded(found, loaded(found, deployments=7.0)) is True


def test_content_without_its_hash_is_not_written() -> None:
    item = config_map()
    del item["metadata"]["annotations"][CONFIG_ANNOTATION]
    found = scope(item, deployment(hash_of(config_map())))
    assert (found.problem, found.written, found.note, found.rolled_out) == (None, "", None, False)


@pytest.mark.parametrize(
    ("spec", "conditions", "why"),
    [
        ({"paused": True}, [], "it is paused; resume it"),
        (
            {},
            [{"type": "Progressing", "status": "False", "message": 'ReplicaSet "litellm-1" has timed out'}],
            'ReplicaSet "litellm-1" has timed out',
        ),
        ({}, [{"type": "Progressing", "status": "False"}], "no progress"),
        ({}, [{"type": "Available", "status": "False", "message": "few"}], None),
    ],
)
def test_a_rollout_that_is_stuck_is_told(spec: Object, conditions: list[Object], why: str | None) -> None:
    proxy = deployment(hash_of(config_map()), updatedReplicas=1, conditions=conditions)
    proxy["spec"] |= spec
    found = proxy_findings(plan(), LANES, scope(proxy=proxy))
    assert [each.reason for each in found] == ([] if why is None else ["RolloutStuck"])
    if why is not None:
        assert found[0].message.startswith("Deployment ai/litellm: its rollout is stuck: ")
        assert why in found[0].message


SECRET = workload(dataPolicy="SelfHostedOnly")


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (config_map(), {"gpu": 50, "hosted": 50}),
        (config_map({"gpu": 0, "hosted": 100}), {"gpu": 0, "hosted": 100}),
        # Weights are noted and not rendered: with Never own lanes serve all.
        (config_map(mode="Never"), {"gpu": 100, "hosted": 0}),
        (config_map(mode="Spill"), {"gpu": 100, "hosted": 0}),
        (config_map(mode="Spill", in_flight={"gpu": 8}), {"gpu": 100, "hosted": 0}),
        (config_map(mode="Spill", in_flight={"gpu": 0}), {"gpu": 0, "hosted": 100}),
    ],
)
def test_weights_are_those_that_the_configuration_stands_for(item: Object, expected: dict[str, int]) -> None:
    (route,) = proxy_routes(plan(), [workload()], LANES, scope(item))
    assert route.weights == expected


def test_a_share_that_no_lane_may_serve_stays_on_own_lanes() -> None:
    found = scope(config_map({"gpu": 0, "hosted": 100}, item=SECRET))
    (route,) = proxy_routes(plan(), [SECRET], LANES, found)
    assert route.weights == {"gpu": 100}


def test_a_class_that_nothing_is_written_for_has_no_weights() -> None:
    assert weights_now(scope(), "code", LANES) == {"gpu": 0, "hosted": 0}
    two = (own("gpu"), own("gpu-b"), hosted())
    assert weights_now(scope(config_map(mode="Never")), "chat", two) == {"gpu": 50, "gpu-b": 50, "hosted": 0}


def test_classes_of_one_name_are_told_apart_by_nobody() -> None:
    routes = proxy_routes(plan(), [workload(), workload()], LANES, scope())
    assert {route.problem for route in routes} == {"several classes of the plan are named chat: rename one"}


def test_a_deployment_that_is_paused_with_nothing_to_do_is_fine() -> None:
    proxy = deployment(hash_of(config_map()))
    proxy["spec"]["paused"] = True
    assert proxy_findings(plan(), LANES, scope(proxy=proxy)) == []


def reasons(found: list[Finding]) -> dict[str, str]:
    return {each.reason: each.message for each in found}


def test_addresses_that_are_missing_or_of_nobody_are_named() -> None:
    made = plan(addresses={"gone": "http://gone/v1"})
    assert reasons(proxy_findings(made, LANES, scope())) == {
        "LaneNotFound": "routing.litellm.addresses: gone is not in spec.lanes: add or rename it",
        "AddressMissing": "routing.litellm.addresses: lane gpu needs the address of its engines' Service",
    }
    (route,) = proxy_routes(made, [workload()], LANES, scope())
    assert set(route.weights) == {"hosted"}


def test_behind_a_gateway_it_carries_no_route() -> None:
    behind = plan(plane="GatewayAPI")
    assert proxy_routes(behind, [workload()], LANES, scope()) == ()
    assert as_bound(behind, [workload()], LANES) is behind


def test_every_class_is_bound_to_the_lanes_that_it_can_reach() -> None:
    bound = as_bound(plan(), [workload(), workload("secret", dataPolicy="SelfHostedOnly")], LANES)
    assert {each.class_: set(each.backends) for each in bound.spec.routing.bindings} == {
        "chat": {"gpu", "hosted"},
        "secret": {"gpu"},
    }


def test_routes_of_other_planes_are_left_as_they_are() -> None:
    route = RouteState("chat", "chat", "all", True, accepted=True)
    assert with_loaded([route], None, None) == (route,)


@pytest.fixture
async def kube(control_plane: ControlPlane, namespace: str) -> AsyncIterator[Kube]:
    """Somebody who may read Deployments, ReplicaSets and pods, and no ConfigMap."""
    rules = [
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get"]},
        {"apiGroups": ["apps"], "resources": ["replicasets"], "verbs": ["list"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
    ]
    kubeconfig = control_plane.service_account_kubeconfig(namespace, "reader")
    control_plane.grant(namespace, "reader", rules=rules)
    async with await Kube.connect(str(kubeconfig)) as connected:
        yield connected


def located(namespace: str) -> CapacityPlan:
    made = plan()
    return made.model_copy(update={"metadata": made.metadata.model_copy(update={"namespace": namespace})})


async def test_what_may_not_be_read_is_told_with_what_to_grant(kube: Kube, namespace: str) -> None:
    found = await read_proxy(kube, located(namespace))
    assert found is not None
    assert found.problem == (
        f"the operator may not read ConfigMap {namespace}/litellm-config or Deployment {namespace}/litellm: "
        "grant it (the chart's rbac.litellm.configMaps)"
    )
    assert has_loaded(found, {}) is False


async def test_pods_are_known_by_their_owner_however_they_are_selected(
    control_plane: ControlPlane, namespace: str
) -> None:
    made, item = proxy_objects(namespace)
    expression = {"key": "app", "operator": "In", "values": ["litellm"]}
    made["spec"]["selector"] = {"matchExpressions": [expression]}
    stranger = copy.deepcopy(made["spec"]["template"])
    stranger |= {"apiVersion": "v1", "kind": "Pod"}
    stranger["metadata"] |= {"name": "stranger", "namespace": namespace}
    for each in (made, item, stranger):
        control_plane.kubectl("create", "-f", "-", stdin=json.dumps(each))

    def listed() -> list[Object]:
        return list(json.loads(control_plane.kubectl("get", "pods", "-n", namespace, "-o", "json"))["items"])

    wait_until(lambda: len(listed()) == 2, "the Deployment's pod, and another one with its labels", 120)
    async with await Kube.connect(str(control_plane.kubeconfig)) as connected:
        found = await read_proxy(connected, located(namespace))
    assert found is not None
    assert len(found.pods) == 1
    assert found.pods[0].startswith("litellm-")
    assert found.problem is None
