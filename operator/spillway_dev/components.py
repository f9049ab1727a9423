"""Command lines of the control plane's programs."""

from __future__ import annotations

from pathlib import Path

from spillway_dev.toolchain import Tools

CONTROLLERS = (
    "deployment-controller",
    "replicaset-controller",
    "statefulset-controller",
    "daemonset-controller",
    "job-controller",
    "horizontal-pod-autoscaler-controller",
    "disruption-controller",
    "endpointslice-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "serviceaccount-controller",
)
NODE_CONTROLLERS = ("node-lifecycle-controller", "pod-garbage-collector-controller")
"""What every real cluster watches its nodes with; they need heartbeats."""


def etcd(tools: Tools, folder: Path, client_port: int, peer_port: int) -> list[str]:
    """etcd that forgets everything on a crash, which is all right for a throw-away cluster."""
    client, peer = f"http://127.0.0.1:{client_port}", f"http://127.0.0.1:{peer_port}"
    return [
        tools.path("etcd"),
        f"--data-dir={folder / 'etcd'}",
        "--unsafe-no-fsync",
        "--log-level=warn",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
    ]


def apiserver(tools: Tools, folder: Path, etcd_port: int, secure_port: int, *, watch_nodes: bool) -> list[str]:
    """The apiserver, with RBAC, token users, service account tokens and a complete audit log."""
    certificate, key = folder / "cert.pem", folder / "key.pem"
    return [
        tools.path("kube-apiserver"),
        f"--etcd-servers=http://127.0.0.1:{etcd_port}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--secure-port={secure_port}",
        f"--tls-cert-file={certificate}",
        f"--tls-private-key-file={key}",
        "--authorization-mode=RBAC",
        f"--token-auth-file={folder / 'tokens.csv'}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-signing-key-file={key}",
        f"--service-account-key-file={certificate}",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--allow-privileged=true",
        # A Service for the apiserver itself may not point to a loopback address.
        "--endpoint-reconciler-type=none",
        # Nodes would keep a not-ready taint: the controller that takes it away needs kubelets' heartbeats.
        *([] if watch_nodes else ["--disable-admission-plugins=TaintNodesByCondition"]),
        f"--audit-policy-file={folder / 'audit-policy.yaml'}",
        f"--audit-log-path={folder / 'audit.jsonl'}",
        "--audit-log-mode=blocking",
        "--audit-log-maxsize=2000",
        "--profiling=false",
    ]


def controller_manager(tools: Tools, folder: Path, hpa_sync_seconds: float, *, watch_nodes: bool) -> list[str]:
    """The controllers that workloads need, each under its own service account."""
    controllers = CONTROLLERS + (NODE_CONTROLLERS if watch_nodes else ())
    return [
        tools.path("kube-controller-manager"),
        f"--kubeconfig={folder / 'kube-controller-manager.kubeconfig'}",
        f"--controllers={','.join(controllers)}",
        "--use-service-account-credentials=true",
        "--leader-elect=false",
        "--secure-port=0",
        f"--horizontal-pod-autoscaler-sync-period={round(hpa_sync_seconds * 1000)}ms",
        # A slow metrics API keeps a worker busy, and must not delay other autoscalers.
        "--concurrent-horizontal-pod-autoscaler-syncs=20",
        "--horizontal-pod-autoscaler-initial-readiness-delay=0s",
        "--horizontal-pod-autoscaler-cpu-initialization-period=0s",
        "--kube-api-qps=100",
        "--kube-api-burst=200",
        "--profiling=false",
    ]


def scheduler(tools: Tools, folder: Path) -> list[str]:
    """The scheduler, so that GPU requests bind to nodes and too many of them stay Pending."""
    return [
        tools.path("kube-scheduler"),
        f"--kubeconfig={folder / 'kube-scheduler.kubeconfig'}",
        "--leader-elect=false",
        "--secure-port=0",
        "--kube-api-qps=100",
        "--kube-api-burst=200",
        "--profiling=false",
    ]


def kwok(tools: Tools, kubeconfig: Path, config: Path, *, selector: str = "", lease_seconds: int = 0) -> list[str]:
    """kwok plays the kubelets of all nodes, or of those with the labels of `selector`.

    `lease_seconds` is how long a heartbeat of a node holds; 0 for none, where nobody watches the nodes.
    """
    return [
        tools.path("kwok"),
        f"--kubeconfig={kubeconfig}",
        f"--config={config}",
        f"--manage-nodes-with-label-selector={selector}" if selector else "--manage-all-nodes=true",
        f"--node-lease-duration-seconds={lease_seconds}",
        "--cidr=10.64.0.0/16",
        "--node-ip=10.63.0.1",
    ]
