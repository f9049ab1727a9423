"""Any Kubernetes cluster by its kubeconfig, driven through kubectl: what tests and the demo need of one."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from spillway_dev.kubeconfig import with_token
from spillway_dev.nodes import GpuNode
from spillway_dev.processes import wait_until
from spillway_dev.toolchain import Tools

FIELD_MANAGER = "spillway-dev"
KUBECTL_TIMEOUT_SECONDS = 120
# libyaml's where there is one: megabytes of CRDs take the other one tens of seconds.
LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
Manifest = Path | str | dict[str, Any] | Iterable[dict[str, Any]]


class KubectlError(Exception):
    """kubectl failed; the message is what it said."""


class Cluster:
    """A cluster that is already there.

    Args:
        kubeconfig: an administrator's kubeconfig.
        tools: the built tools (for kubectl).
        scratch: folder for derived kubeconfigs and kubectl's cache.
    """

    def __init__(self, kubeconfig: Path, tools: Tools, scratch: Path) -> None:
        self.kubeconfig = kubeconfig
        self.tools = tools
        self.scratch = scratch

    def kubectl(
        self, *arguments: str, stdin: str | None = None, kubeconfig: Path | None = None, check: bool = True
    ) -> str:
        """Run kubectl, as administrator unless another `kubeconfig` is given; returns its standard output.

        Raises:
            KubectlError: it failed and `check` holds.
        """
        done = subprocess.run(
            [self.tools.path("kubectl"), *arguments],
            input=stdin,
            env={
                # All of it: a kubeconfig may name a credential program with variables of its own.
                **os.environ,
                "KUBECONFIG": str(kubeconfig or self.kubeconfig),
                "KUBECACHEDIR": str(self.scratch / "kubectl-cache"),
            },
            capture_output=True,
            text=True,
            timeout=KUBECTL_TIMEOUT_SECONDS,
            check=False,
        )
        if check and done.returncode != 0:
            raise KubectlError(f"kubectl {' '.join(arguments)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def get(self, kind: str, name: str | None = None, namespace: str | None = None) -> dict[str, Any]:
        """An object, or the list of a kind; `kind` as kubectl takes it, such as `deployments.apps`."""
        scope = ["-n", namespace] if namespace else []
        found: dict[str, Any] = json.loads(self.kubectl("get", kind, *([name] if name else []), *scope, "-o", "json"))
        return found

    def exists(self, kind: str, name: str, namespace: str | None = None) -> bool:
        """Whether the object is there."""
        scope = ["-n", namespace] if namespace else []
        return bool(self.kubectl("get", kind, name, *scope, "--ignore-not-found", "-o", "name").strip())

    def apply(
        self,
        *manifests: Manifest,
        namespace: str | None = None,
        kubeconfig: Path | None = None,
        field_manager: str = FIELD_MANAGER,
    ) -> None:
        """Server-side apply of files, folders, YAML text or objects.

        Raises:
            KubectlError: an object was refused; carries the apiserver's message.
        """
        scope = ["-n", namespace] if namespace else []
        self.kubectl(
            "apply", "--server-side", "--force-conflicts", f"--field-manager={field_manager}", *scope, "-f", "-",
            stdin="\n---\n".join(_text(manifest) for manifest in manifests),
            kubeconfig=kubeconfig,
        )  # fmt: skip

    def apply_crds(self, *manifests: Manifest, timeout_seconds: float = 60) -> None:
        """Apply CustomResourceDefinitions and wait until each is Established.

        Raises:
            KubectlError: one was refused or not established in time.
        """
        text = "\n---\n".join(_text(manifest) for manifest in manifests)
        documents = [document for document in yaml.load_all(text, Loader=LOADER) if document]
        names = [item["metadata"]["name"] for item in documents if item["kind"] == "CustomResourceDefinition"]
        if not names:
            raise KubectlError("no CustomResourceDefinition in the given manifests")
        self.apply(text)
        self.kubectl(
            "wait", "--for=condition=Established", f"--timeout={timeout_seconds:g}s",
            *(f"crd/{name}" for name in names),
        )  # fmt: skip

    def apply_gateway_api(self, channel: str = "standard") -> None:
        """Apply the Gateway API's CRDs of a channel, `standard` or `experimental`."""
        self.apply_crds(*self.tools.gateway_api_crds(channel))

    def add_nodes(self, *nodes: GpuNode) -> None:
        """Create fake nodes and wait until they are Ready, which takes a kwok that plays their kubelets."""
        if not nodes:
            return
        self.apply([node.manifest() for node in nodes])
        self.kubectl("wait", "--for=condition=Ready", "--timeout=60s", *(f"node/{node.name}" for node in nodes))

    def create_namespace(self, name: str, labels: dict[str, str] | None = None) -> str:
        """Create a namespace and wait until pods can be created in it; returns `name`."""
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels or {}}})
        wait_until(lambda: self.exists("serviceaccount", "default", name), f"namespace {name}", 30)
        return name

    def delete_namespace(self, name: str, *, wait: bool = False) -> None:
        """Delete a namespace with all it holds."""
        self.kubectl("delete", "namespace", name, "--ignore-not-found", f"--wait={str(wait).lower()}")

    def service_account_kubeconfig(self, namespace: str, name: str, duration: str = "24h") -> Path:
        """A kubeconfig for a service account, which is created if it is missing, by a TokenRequest.

        It may do what RBAC grants it; a fresh one may do nothing. In the audit log it is
        `system:serviceaccount:NAMESPACE:NAME`.
        """
        if not self.exists("serviceaccount", name, namespace):
            self.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}, namespace=namespace)
        token = self.kubectl("create", "token", name, "-n", namespace, f"--duration={duration}").strip()
        return with_token(
            self.kubeconfig,
            self.scratch / f"{namespace}.{name}.kubeconfig",
            user=f"system:serviceaccount:{namespace}:{name}",
            token=token,
            namespace=namespace,
        )

    def grant(self, namespace: str, service_account: str, rules: list[dict[str, Any]], *, name: str = "") -> None:
        """Give a service account these RBAC rules in the whole cluster."""
        role = name or f"{namespace}-{service_account}"
        group = "rbac.authorization.k8s.io"
        self.apply(
            {"apiVersion": f"{group}/v1", "kind": "ClusterRole", "metadata": {"name": role}, "rules": rules},
            {
                "apiVersion": f"{group}/v1",
                "kind": "ClusterRoleBinding",
                "metadata": {"name": role},
                "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
                "subjects": [{"kind": "ServiceAccount", "name": service_account, "namespace": namespace}],
            },
        )


def _text(manifest: Manifest) -> str:
    match manifest:
        case Path() if manifest.is_dir():
            return "\n---\n".join(file.read_text() for file in sorted(manifest.glob("*.yaml")))
        case Path():
            return manifest.read_text()
        case str():
            return manifest
        case dict():
            return yaml.safe_dump(manifest, sort_keys=False)
        case _:
            return yaml.safe_dump_all(manifest, sort_keys=False)
