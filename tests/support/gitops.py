"""The program that runs Argo CD's and Flux' own libraries, and both tools as field managers on a real apiserver.

Neither controller runs. What they do to an object is done by their code (`spillway_dev/tools/gitops`) and, for Argo CD,
which applies by kubectl's code, by kubectl.
"""

from __future__ import annotations

import copy
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from spillway.act.scale import scale_lane
from spillway.act.writes import Outcome
from spillway.api import CapacityLane
from spillway.decide.decision import LaneDecision, Reason
from spillway.kube import DEPLOYMENTS, Kube
from spillway_dev.cluster import Cluster
from spillway_dev.toolchain import Tools
from support.world import deployment, own_lane

JSON = dict[str, Any]
EXAMPLES = Path(__file__).parents[2] / "examples" / "gitops"
ARGO_RULES: list[JSON] = yaml.safe_load((EXAMPLES / "argocd/application.yaml").read_text())["spec"]["ignoreDifferences"]
FLUX_SPEC: JSON = yaml.safe_load((EXAMPLES / "flux/kustomization.yaml").read_text())["spec"]
TOOLS = ("argocd-server-side", "argocd-client-side", "flux")
SYNCS = 3
AT = 1_800_000_000.0


class GitOpsError(Exception):
    """The tool failed; carries what it said."""


def ask(tools: Tools, command: str, request: JSON) -> Any:
    """One request to the program."""
    done = subprocess.run(
        [tools.path("gitops"), command],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode != 0:
        raise GitOpsError(done.stderr.strip())
    return json.loads(done.stdout)


class Manager:
    """A GitOps tool: what is in Git goes to the cluster once with each ``sync``."""

    def __init__(self, cluster: Cluster, ignore: Sequence[JSON] = ()) -> None:
        self.cluster, self.ignore = cluster, list(ignore)

    def sync(self, *git: JSON) -> None:
        """Reconcile these manifests."""
        raise NotImplementedError


class ArgoCD(Manager):
    """Argo CD with ``RespectIgnoreDifferences=true``, by server-side or by client-side apply."""

    def __init__(self, cluster: Cluster, ignore: Sequence[JSON] = (), *, server_side: bool) -> None:
        super().__init__(cluster, ignore)
        self.server_side = server_side

    def sync(self, *git: JSON) -> None:
        """Every object is applied, in sync or not, as a sync does without ``ApplyOutOfSyncOnly``."""
        self.write(self.read(*git))

    def read(self, *git: JSON) -> list[JSON]:
        """What is to be applied, by Git and the cluster as they are now."""
        targets = [self._tracked(manifest) for manifest in git]
        if not self.ignore:
            return targets
        request = {
            "kubeconfig": str(self.cluster.kubeconfig),
            "ignoreDifferences": self.ignore,
            "targets": targets,
            "lives": [self._live(manifest) for manifest in git],
        }
        return [answer["target"] for answer in ask(self.cluster.tools, "argo-sync", request)]

    def write(self, targets: Sequence[JSON]) -> None:
        """Apply."""
        how = ["--server-side", "--force-conflicts", "--field-manager=argocd-controller"] if self.server_side else []
        self.cluster.kubectl("apply", *how, "-f", "-", stdin=yaml.safe_dump_all(targets, sort_keys=False))

    def _tracked(self, manifest: JSON) -> JSON:
        made, meta = copy.deepcopy(manifest), manifest["metadata"]
        group = manifest["apiVersion"].rpartition("/")[0]
        where = meta.get("namespace", meta["name"])
        tracking = f"inference:{group}/{manifest['kind']}:{where}/{meta['name']}"
        made["metadata"].setdefault("annotations", {})["argocd.argoproj.io/tracking-id"] = tracking
        return made

    def _live(self, manifest: JSON) -> JSON | None:
        kind, meta = manifest["kind"], manifest["metadata"]
        scope = ["-n", meta["namespace"]] if "namespace" in meta else []
        text = self.cluster.kubectl(
            "get", f"{kind}.{manifest['apiVersion'].rpartition('/')[0]}".rstrip("."), meta["name"], *scope,
            "--ignore-not-found", "--show-managed-fields", "-o", "json",
        )  # fmt: skip
        found: JSON | None = json.loads(text) if text.strip() else None
        return found


class Flux(Manager):
    """Flux' kustomize-controller."""

    def sync(self, *git: JSON) -> None:
        """What has not drifted is not applied."""
        request = {
            "kubeconfig": str(self.cluster.kubeconfig), "name": "inference", "namespace": "flux-system",
            "ignore": self.ignore, "objects": list(git),
        }  # fmt: skip
        ask(self.cluster.tools, "flux-sync", request)


class History:
    """Every version of one object from now on, as the apiserver's watch tells it.

    The apiserver remembers a hundred changes of a kind or those of 75 s: over longer times ask now and then.
    """

    def __init__(self, cluster: Cluster, path: str, name: str) -> None:
        self._cluster, self._path, self._name = cluster, path, name
        self._first = self._now()
        self._since = self._first["metadata"]["resourceVersion"]
        self._seen: list[JSON] = []

    def _now(self) -> JSON:
        found: JSON = json.loads(self._cluster.kubectl("get", "--raw", f"{self._path}/{self._name}"))
        return found

    def versions(self) -> list[JSON]:
        """Those after the beginning, oldest first; only the one of the beginning where nothing was written."""
        for seconds in (1, 5, 20, 60):
            latest = self._now()["metadata"]["resourceVersion"]
            if latest == self._since:
                return self._seen or [self._first]
            query = f"watch=1&resourceVersion={self._since}&fieldSelector=metadata.name={self._name}"
            text = self._cluster.kubectl("get", "--raw", f"{self._path}?{query}&timeoutSeconds={seconds}")
            events = [json.loads(line) for line in text.splitlines() if line.strip()]
            if gone := [each["object"].get("message") for each in events if each["type"] == "ERROR"]:
                raise AssertionError(f"the watch of {self._path}/{self._name} failed: {gone[0]}")
            found = [each["object"] for each in events]
            if any(each["metadata"]["resourceVersion"] == latest for each in found):
                self._seen += found
                self._since = found[-1]["metadata"]["resourceVersion"]
                return self._seen
        raise AssertionError(f"the watch of {self._path}/{self._name} does not come to its end")


def tool(name: str, cluster: Cluster, *, rules: bool) -> Manager:
    """One of TOOLS, with the examples' ignore rules or with none."""
    if name == "flux":
        return Flux(cluster, FLUX_SPEC["ignore"] if rules else ())
    return ArgoCD(cluster, ARGO_RULES if rules else (), server_side=name == "argocd-server-side")


def in_git(namespace: str, *, replicas: int | None = None, image: str = "vllm:1") -> JSON:
    """The Deployment as Git has it."""
    made = deployment(namespace)
    made["spec"]["template"]["spec"]["containers"][0]["image"] = image
    del made["spec"]["replicas"]
    if replicas is not None:
        made["spec"]["replicas"] = replicas
    return made


def route_history(cluster: Cluster, namespace: str) -> History:
    """Of the HTTPRoute of `support.world`."""
    return History(cluster, f"/apis/gateway.networking.k8s.io/v1/namespaces/{namespace}/httproutes", "chat")


def target_history(cluster: Cluster, namespace: str) -> History:
    """Of the Deployment of `support.world`."""
    return History(cluster, f"/apis/apps/v1/namespaces/{namespace}/deployments", "vllm")


def counts(seen: History) -> list[int]:
    """Replicas of each version."""
    return [int(each["spec"]["replicas"]) for each in seen.versions()]


class Spillway:
    """The operator's writes on the Deployment's replicas."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        self._kube, self._namespace = kube, namespace
        self._lane = CapacityLane.parse(own_lane(namespace))

    async def scale(self, to: int) -> None:
        """Bring it to ``to``. A controller that writes status at the same time is waited for."""
        for _ in range(20):
            now = await self.target()
            before = int(now["spec"]["replicas"])
            decided = LaneDecision("gpu", before, before, to, to, Reason("Test", "Because."), writable=True)
            writes = await scale_lane(self._kube, self._lane, decided, now["metadata"]["uid"], AT)
            if writes[-1].outcome is Outcome.WRITTEN:
                return
        raise AssertionError(f"not scaled to {to}: {writes[-1].error}")

    async def target(self) -> JSON:
        """The Deployment."""
        return await self._kube.get(DEPLOYMENTS, self._namespace, "vllm")

    async def replicas(self) -> int:
        """Its spec.replicas."""
        return int((await self.target())["spec"]["replicas"])
