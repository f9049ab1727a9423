"""Everything that Prometheus scrapes, by the exporter that it would come from in a cluster."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

from spillway_dev.fleet.cluster import ClusterState
from spillway_dev.fleet.config import SelfHostedLane
from spillway_dev.fleet.histogram import Family, Line, labels
from spillway_dev.fleet.model import FleetModel, FleetPod

GPU_RESOURCE = "nvidia_com_gpu"
MEMORY_USED_SHARE = 0.9
"""vLLM's default --gpu-memory-utilization: the KV cache is allocated at the start, used or not."""


class GpuSampler:
    """Busy shares between the last two calls of `sample`, as DCGM averages over its sampling interval."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[float, float]] = {}
        self.busy: dict[str, float] = {}
        """Share of time inside iterations, 0 to 1, by pod uid."""

    def sample(self, fleet: FleetModel) -> None:
        """Take a sample; call about once a second."""
        now_s = fleet.now_s
        seen: dict[str, tuple[float, float]] = {}
        self.busy = {}
        for _, engine in fleet.engines():
            uid, busy_s = engine.pod.view.uid, engine.replica.busy_s(now_s)
            before_s, before_busy_s = self._last.get(uid, (now_s, busy_s))
            if now_s > before_s:
                self.busy[uid] = min(1.0, (busy_s - before_busy_s) / (now_s - before_s))
            seen[uid] = (now_s, busy_s)
        self._last = seen


def engines(fleet: FleetModel) -> Iterator[Family]:
    """vLLM's /metrics of every pod."""
    for _, engine in fleet.engines():
        if engine.pod.metrics is not None:
            yield from engine.pod.metrics.families(engine.replica)


def dcgm(fleet: FleetModel, sampler: GpuSampler) -> Iterator[Family]:
    """The DCGM exporter's default fields of every GPU that a pod holds."""
    util: list[Line] = []
    active: list[Line] = []
    used: list[Line] = []
    free: list[Line] = []
    for state in fleet.lanes.values():
        for pod in state.pods.values():
            busy = sampler.busy.get(pod.view.uid, 0.0)
            memory = state.lane.gpu_memory_mib
            resident = round(memory * MEMORY_USED_SHARE) if pod.replica is not None else 0
            for gpu in range(state.lane.gpus_per_replica):
                base = _gpu_labels(state.lane, pod, gpu)
                util.append((f"DCGM_FI_DEV_GPU_UTIL{{{base}}}", round(busy * 100)))
                active.append((f"DCGM_FI_PROF_GR_ENGINE_ACTIVE{{{base}}}", busy))
                used.append((f"DCGM_FI_DEV_FB_USED{{{base}}}", resident))
                free.append((f"DCGM_FI_DEV_FB_FREE{{{base}}}", memory - resident))
    yield Family("DCGM_FI_DEV_GPU_UTIL", "gauge", "GPU utilization (in %).", util)
    active_help = "Ratio of time the graphics engine is active."
    yield Family("DCGM_FI_PROF_GR_ENGINE_ACTIVE", "gauge", active_help, active)
    yield Family("DCGM_FI_DEV_FB_USED", "gauge", "Framebuffer memory used (in MiB).", used)
    yield Family("DCGM_FI_DEV_FB_FREE", "gauge", "Framebuffer memory free (in MiB).", free)


def _gpu_labels(lane: SelfHostedLane, pod: FleetPod, gpu: int) -> str:
    identity = uuid.uuid5(uuid.NAMESPACE_OID, f"{pod.view.uid}/{gpu}")
    return labels(
        gpu=str(gpu),
        UUID=f"GPU-{identity}",
        device=f"nvidia{gpu}",
        modelName=lane.gpu_model_name,
        Hostname=pod.view.node,
        exported_namespace=lane.namespace,
        exported_pod=pod.view.pod,
        exported_container="vllm",
    )


def kube_state(fleet: FleetModel, cluster: ClusterState) -> Iterator[Family]:
    """kube-state-metrics' series of the lanes' Deployments, their pods' GPU requests and the nodes' GPUs."""
    wanted: list[Line] = []
    ready: list[Line] = []
    requests: list[Line] = []
    for name, view in cluster.lanes.items():
        lane = fleet.lanes[name].lane
        base = labels(namespace=lane.namespace, deployment=lane.deployment)
        if view.replicas is not None:
            wanted.append((f"kube_deployment_spec_replicas{{{base}}}", view.replicas))
            count = sum(pod.ready for pod in view.pods)
            ready.append((f"kube_deployment_status_replicas_ready{{{base}}}", count))
        for pod in view.pods:
            series = labels(
                namespace=lane.namespace,
                pod=pod.pod,
                container="vllm",
                node=pod.node,
                resource=GPU_RESOURCE,
                unit="integer",
            )
            requests.append((f"kube_pod_container_resource_requests{{{series}}}", lane.gpus_per_replica))
    nodes: list[Line] = [
        (f"kube_node_status_allocatable{{{labels(node=node, resource=GPU_RESOURCE, unit='integer')}}}", gpus)
        for node, gpus in cluster.gpus.items()
    ]
    yield Family("kube_deployment_spec_replicas", "gauge", "Number of desired pods for a deployment.", wanted)
    ready_help = "The number of ready replicas per deployment."
    yield Family("kube_deployment_status_replicas_ready", "gauge", ready_help, ready)
    requests_help = "The number of requested request resource by a container."
    yield Family("kube_pod_container_resource_requests", "gauge", requests_help, requests)
    nodes_help = "The allocatable for different resources of a node that are available for scheduling."
    yield Family("kube_node_status_allocatable", "gauge", nodes_help, nodes)
