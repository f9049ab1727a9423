"""Argo CD and Flux are told from what they put on an object, and from nothing that others put there too."""

from __future__ import annotations

from typing import Any

import pytest

from spillway.api.tracking import LAST_APPLIED, stated, tracker_of

TRACKING = "argocd.argoproj.io/tracking-id"
OWN_ID = "prod:spillway.dev/CapacityLane:inference/gpu"


def lane(
    annotations: dict[str, str] | None = None,
    labels: dict[str, str] | None = None,
    *managers: str,
    field: str = "f:spec",
) -> dict[str, Any]:
    managed = [{"manager": name, "operation": "Apply", "fieldsV1": {field: {}}} for name in managers]
    meta = {"name": "gpu", "namespace": "inference", "managedFields": managed}
    return {
        "apiVersion": "spillway.dev/v1alpha1",
        "kind": "CapacityLane",
        "metadata": meta
        | ({"annotations": annotations} if annotations else {})
        | ({"labels": labels} if labels else {}),
    }


FLUX = "kustomize.toolkit.fluxcd.io"
HELM = "helm.toolkit.fluxcd.io"


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (lane(), None),
        (lane({TRACKING: OWN_ID}), "Argo CD (Application prod)"),
        (lane({TRACKING: f"team_{OWN_ID}"}), "Argo CD (Application team/prod)"),
        (lane({TRACKING: "prod:apps/Deployment:inference/gpu"}), None),
        (lane({TRACKING: "prod:spillway.dev/CapacityLane:other/gpu"}), None),
        (lane(None, {"app.kubernetes.io/instance": "release"}), None),
        (lane(None, {"app.kubernetes.io/instance": "prod"}, "argocd-controller"), "Argo CD (Application prod)"),
        (
            lane({"argocd.argoproj.io/sync-wave": "1"}, {"app.kubernetes.io/instance": "prod"}),
            "Argo CD (Application prod)",
        ),
        (lane(None, None, "argocd-controller"), "Argo CD"),
        (lane(None, {f"{FLUX}/name": "inference"}), "Flux (Kustomization inference)"),
        (
            lane(None, {f"{FLUX}/name": "inference", f"{FLUX}/namespace": "flux-system"}),
            "Flux (Kustomization flux-system/inference)",
        ),
        (lane(None, {f"{HELM}/name": "inference", f"{HELM}/namespace": "flux"}), "Flux (HelmRelease flux/inference)"),
        (lane(None, None, "kustomize-controller"), "Flux"),
        (lane(None, None, "kustomize-controller", field="f:metadata"), None),
        (lane(None, None, "kubectl-client-side-apply", "spillway-controller"), None),
    ],
)
def test_who_keeps_it(item: dict[str, Any], said: str | None) -> None:
    found = tracker_of(item)
    assert (found.text if found else None) == said


def by(manager: str, *fields: str) -> dict[str, Any]:
    item = lane()
    item["metadata"]["managedFields"] = [{"manager": manager, "fieldsV1": {"f:spec": {f: {} for f in fields}}}]
    return item


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (by("kustomize-controller", "f:mode"), False),
        (by("kustomize-controller", "f:mode", "f:paused"), True),
        (by("argocd-controller", "f:mode"), False),
        (by("helm-controller", "f:paused"), True),
        (by("somebody-else", "f:mode"), True),
        (lane(), True),
        (lane({LAST_APPLIED: '{"spec": {"mode": "Apply"}}'}, None, "argocd-controller"), False),
        (lane({LAST_APPLIED: '{"spec": {"paused": false}}'}, None, "argocd-controller"), True),
        (lane({LAST_APPLIED: '{"metadata": {}}'}), False),
        (lane({LAST_APPLIED: "{"}), True),
        (lane({LAST_APPLIED: "[]"}), True),
    ],
)
def test_whether_git_states_a_field(item: dict[str, Any], said: bool) -> None:
    """What is not known counts as stated: a pause that is taken back is worse than one that is refused."""
    assert stated(item, "paused") is said
