"""Reading a real cluster: stops, and what one lane may not spoil for others."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from spillway.config import OperatorConfig, PrometheusConfig
from spillway.kube import Kube, KubeError
from spillway.observe.cluster import ClusterReader, is_on
from spillway_dev.controlplane import ControlPlane
from support.world import deployment, own_lane, plan, workload

READS = [
    {"apiGroups": ["spillway.dev"], "resources": ["*"], "verbs": ["list"]},
    {"apiGroups": ["apps"], "resources": ["deployments", "deployments/scale"], "verbs": ["get"]},
    {"apiGroups": ["apps"], "resources": ["replicasets"], "verbs": ["list"]},
    {"apiGroups": ["autoscaling"], "resources": ["horizontalpodautoscalers"], "verbs": ["list"]},
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
    {"apiGroups": [""], "resources": ["configmaps", "namespaces"], "verbs": ["get"]},
]
"""Neither namespaces nor nodes may be listed, as without the chart's cluster-wide reads."""


def config(namespace: str) -> OperatorConfig:
    return OperatorConfig(
        prometheus=PrometheusConfig(url="http://127.0.0.1:9"), namespaces=(namespace,), operator_namespace=namespace
    )


@pytest.fixture
async def reader(control_plane: ControlPlane, crds: object, namespace: str) -> AsyncIterator[ClusterReader]:
    kubeconfig = control_plane.service_account_kubeconfig(namespace, "reader")
    control_plane.grant(namespace, "reader", rules=READS)
    async with await Kube.connect(str(kubeconfig)) as kube:
        yield ClusterReader(kube, config(namespace))


def bare(namespace: str, name: str, *lanes: str, **spec: Any) -> dict[str, Any]:
    return plan(namespace, name, lanes=list(lanes), routing={"plane": "None"}, **spec)


def create(cluster: ControlPlane, *manifests: dict[str, Any]) -> None:
    cluster.kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests}))


async def test_a_target_that_may_not_be_read_is_told_and_other_plans_go_on(
    control_plane: ControlPlane, reader: ClusterReader, namespace: str
) -> None:
    secret = own_lane(namespace, "nosy", targetRef={"apiVersion": "v1", "kind": "Secret", "name": "keys"})
    create(control_plane, deployment(namespace), own_lane(namespace), secret)
    create(control_plane, bare(namespace, "good", "gpu"), bare(namespace, "bad", "nosy"), workload(namespace, "good"))
    view = await reader.read(0.0)
    found = {scope.plan.metadata.name: scope for scope in view.plans}
    assert [lane.target is not None for lane in found["good"].lanes] == [True]
    assert found["good"].findings == ()
    # Left out as a whole, so that its weights freeze: it is not a target that is gone.
    assert found["bad"].lanes == ()
    (finding,) = found["bad"].findings
    assert (finding.reason, finding.subject) == ("TargetForbidden", f"CapacityLane/{namespace}/nosy")
    assert view.gpus_allocatable is None


async def test_the_namespaces_stop_shows_where_namespaces_may_not_be_listed(
    control_plane: ControlPlane, reader: ClusterReader, namespace: str
) -> None:
    create(control_plane, deployment(namespace), own_lane(namespace), bare(namespace, "main", "gpu"))
    assert (await reader.read(0.0)).plans[0].stopped is None
    control_plane.kubectl("annotate", "namespace", namespace, "spillway.dev/stop=true")
    assert "is annotated" in str((await reader.read(0.0)).plans[0].stopped)
    assert "is annotated" in str(await reader.stopped(namespace))


async def test_the_config_map_stops_everything_and_false_is_off(
    control_plane: ControlPlane, reader: ClusterReader, namespace: str
) -> None:
    stop = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "spillway-emergency-stop", "namespace": namespace},
    }
    create(control_plane, stop | {"data": {"stop": "false"}})
    assert await reader.stopped(namespace) is None
    control_plane.kubectl(
        "patch",
        "configmap",
        "spillway-emergency-stop",
        "-n",
        namespace,
        "--type=merge",
        "-p",
        '{"data":{"stop":"yes"}}',
    )
    assert "says stop" in str(await reader.stopped("any"))


async def test_rights_on_the_own_resources_missing_is_an_error_of_the_tick(
    control_plane: ControlPlane, crds: object, namespace: str
) -> None:
    kubeconfig = control_plane.service_account_kubeconfig(namespace, "nobody")
    async with await Kube.connect(str(kubeconfig)) as kube:
        with pytest.raises(KubeError) as caught:
            await ClusterReader(kube, config(namespace)).read(0.0)
    assert caught.value.forbidden


@pytest.mark.parametrize(
    ("value", "on"), [(None, False), ("", False), ("false", False), ("Off", False), ("true", True), ("x", True)]
)
def test_anything_but_off_is_on(value: str | None, on: bool) -> None:
    assert is_on(value) is on
