"""Who keeps an object as it stands in Git: Argo CD or Flux, told from what they put on it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ARGO = "Argo CD"
FLUX = "Flux"
ARGO_PREFIX = "argocd.argoproj.io/"
ARGO_TRACKING = "argocd.argoproj.io/tracking-id"
ARGO_MANAGERS = frozenset({"argocd-controller", "argocd-application-controller"})
INSTANCE_LABEL = "app.kubernetes.io/instance"
"""Of Argo CD where it tracks by label; Helm charts set it as well, so that alone it says nothing."""
FLUX_LABELS = {"kustomize.toolkit.fluxcd.io": "Kustomization", "helm.toolkit.fluxcd.io": "HelmRelease"}
FLUX_MANAGERS = {"kustomize-controller": "Kustomization", "helm-controller": "HelmRelease"}

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
"""Of client-side apply: the manifest as it was given, without the apiserver's defaults."""

JSON = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Tracker:
    """What writes an object from Git, and would undo a change made beside it."""

    tool: str
    """Argo CD or Flux."""
    kind: str
    """Application, Kustomization or HelmRelease."""
    name: str = ""
    """With the namespace where it is told; empty where only the name of a field manager tells."""

    @property
    def text(self) -> str:
        """ "Flux (Kustomization flux-system/inference)", or "Flux" where a field manager alone tells."""
        return f"{self.tool} ({self.kind} {self.name})" if self.name else self.tool


def tracker_of(item: JSON) -> Tracker | None:
    """What keeps the object (as the apiserver gives it) as it stands in Git; None: nothing that is known."""
    meta = item.get("metadata") or {}
    return _argo(item, meta) or _flux(meta)


def _argo(item: JSON, meta: JSON) -> Tracker | None:
    annotations, labels = meta.get("annotations") or {}, meta.get("labels") or {}
    tracking = str(annotations.get(ARGO_TRACKING, ""))
    if tracking and _names(tracking, item, meta):
        return Tracker(ARGO, "Application", tracking.partition(":")[0].replace("_", "/", 1))
    theirs = bool(ARGO_MANAGERS & _spec_managers(meta))
    marked = any(key.startswith(ARGO_PREFIX) and key != ARGO_TRACKING for key in (*annotations, *labels))
    if INSTANCE_LABEL in labels and (theirs or marked):
        return Tracker(ARGO, "Application", str(labels[INSTANCE_LABEL]))
    return Tracker(ARGO, "Application") if theirs else None


def _names(tracking: str, item: JSON, meta: JSON) -> bool:
    """Whether a tracking id, APP:GROUP/KIND:NAMESPACE/NAME, speaks of this object: a copied one does not."""
    group = str(item.get("apiVersion", "")).rpartition("/")[0]
    own = f"{group}/{item.get('kind')}:{meta.get('namespace')}/{meta.get('name')}"
    return tracking.partition(":")[2] == own


def _flux(meta: JSON) -> Tracker | None:
    labels = meta.get("labels") or {}
    for group, kind in FLUX_LABELS.items():
        if name := labels.get(f"{group}/name"):
            namespace = labels.get(f"{group}/namespace")
            return Tracker(FLUX, kind, f"{namespace}/{name}" if namespace else str(name))
    theirs = _spec_managers(meta) & FLUX_MANAGERS.keys()
    return Tracker(FLUX, FLUX_MANAGERS[min(theirs)]) if theirs else None


def _spec_managers(meta: JSON) -> set[str]:
    """Field managers that own something of the spec."""
    entries = meta.get("managedFields") or []
    return {str(entry.get("manager")) for entry in entries if "f:spec" in (entry.get("fieldsV1") or {})}


def stated(item: JSON, field: str) -> bool:
    """Whether the manifest in Git has ``spec.FIELD``, so that another value would not stay; not known counts as it has.

    Told by what applied it: the manifest of a client-side apply, else the fields that Argo CD's or Flux' managers own.
    """
    meta = item.get("metadata") or {}
    manifest = (meta.get("annotations") or {}).get(LAST_APPLIED)
    if manifest:
        try:
            return field in (json.loads(manifest).get("spec") or {})
        except (ValueError, AttributeError, TypeError):
            return True
    theirs = [
        entry["fieldsV1"]["f:spec"]
        for entry in meta.get("managedFields") or []
        if entry.get("manager") in ARGO_MANAGERS | FLUX_MANAGERS.keys() and "f:spec" in (entry.get("fieldsV1") or {})
    ]
    return not theirs or any(f"f:{field}" in fields for fields in theirs)
