"""A target as the apiserver has it: owners of replicas, own pods, other autoscalers."""

from __future__ import annotations

from typing import Any

import pytest

from spillway.observe.targets import (
    autoscaler_of,
    gpus_of,
    last_scale,
    owned_pods,
    pod_state,
    replicas_writer,
    unix_time,
)


def managed(manager: str, **fields: Any) -> dict[str, Any]:
    return {"manager": manager, "subresource": "scale", "fieldsV1": {"f:spec": {"f:replicas": {}}}} | fields


def test_the_writer_is_who_changed_the_value() -> None:
    assert replicas_writer({"managedFields": [managed("kubectl")]}) == ("kubectl", False)
    both = [managed("argocd-controller"), managed("spillway-controller")]
    assert replicas_writer({"managedFields": both}) == ("spillway-controller", True)
    status_only = {"manager": "kube-controller-manager", "fieldsV1": {"f:status": {"f:replicas": {}}}}
    assert replicas_writer({"managedFields": [status_only]}) == (None, False)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "[" * 100_000,
        '{"at": "x", "from": 1, "to": 2}',
        '{"at": 5, "from": 1, "to": 2}',
        '{"at": "2026-01-01T00:00:00Z"}',
        '{"at": "2026-01-01T00:00:00Z", "from": Infinity, "to": 2}',
    ],
)
def test_a_broken_note_is_no_note(text: str) -> None:
    assert last_scale({"annotations": {"spillway.dev/last-scale": text}}) is None


def test_a_note_is_read() -> None:
    note = '{"at": "1970-01-01T00:01:40.500+00:00", "from": 3, "to": 5}'
    assert last_scale({"annotations": {"spillway.dev/last-scale": note}}) == (100.5, 3, 5)


def test_a_copied_label_does_not_make_a_pod_the_targets_own() -> None:
    target = {"kind": "Deployment", "metadata": {"uid": "d"}}
    replica_sets = [{"metadata": {"uid": "rs", "ownerReferences": [{"uid": "d", "controller": True}]}}]
    mine = {"metadata": {"name": "a", "ownerReferences": [{"uid": "rs", "controller": True}]}}
    copied = {"metadata": {"name": "b", "ownerReferences": [{"uid": "other", "controller": True}]}}
    bare = {"metadata": {"name": "c"}}
    done = mine | {"status": {"phase": "Succeeded"}}
    assert owned_pods([mine, copied, bare, done], target, replica_sets) == [mine]


def test_ready_needs_the_condition_and_its_time() -> None:
    pod = {
        "metadata": {"name": "a", "creationTimestamp": "1970-01-01T00:00:10Z"},
        "status": {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "1970-01-01T00:00:25Z"}]},
    }
    state = pod_state(pod)
    assert (state.ready, state.created_at, state.ready_at) == (True, 10.0, 25.0)
    pod["status"]["conditions"][0]["status"] = "False"  # type: ignore[index]
    assert pod_state(pod).ready_at is None


def test_gpus_of_any_vendor_are_counted_once() -> None:
    resources = {"limits": {"nvidia.com/gpu": "2", "cpu": "4"}, "requests": {"nvidia.com/gpu": "2"}}
    assert (
        gpus_of({"spec": {"containers": [{"resources": resources}, {"resources": {"limits": {"amd.com/gpu": 1}}}]}})
        == 3
    )


def test_other_autoscalers_are_found_by_kind_name_and_namespace() -> None:
    hpa = {"metadata": {"name": "h", "namespace": "a"}, "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "v"}}}
    scaled = {"metadata": {"name": "k", "namespace": "a"}, "spec": {"scaleTargetRef": {"name": "v"}}}
    assert autoscaler_of("a", "Deployment", "v", [hpa], []) == "HorizontalPodAutoscaler/h"
    assert autoscaler_of("a", "Deployment", "v", [], [scaled]) == "ScaledObject/k"
    assert autoscaler_of("b", "Deployment", "v", [hpa], [scaled]) is None
    assert autoscaler_of("a", "StatefulSet", "v", [hpa], [scaled]) is None


def test_times() -> None:
    assert unix_time("1970-01-01T00:01:00Z") == 60.0
    assert unix_time("yesterday") is None
    assert unix_time(None) is None


def test_a_thousand_gpus_as_the_apiserver_writes_them() -> None:
    assert gpus_of({"spec": {"containers": [{"resources": {"limits": {"nvidia.com/gpu": "1k"}}}]}}) == 1000
