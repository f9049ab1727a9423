"""Engines, their models and their GPUs, out of what an apiserver and a Prometheus show."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from cli.first.objects import container, deployment, hpa, listed, meta, node, pod, template
from spillway.advise.first.facts import Workload
from spillway.api import Engine
from spillway.cli.first.engines import workload
from spillway.cli.first.gpus import Gpus, gpu_type
from spillway.cli.first.templates import Templated, templated
from spillway.observe.traffic import EngineTotals, Totals, Traffic

PRODUCT = "NVIDIA-H100-80GB-HBM3"
TOTALS = Totals(3600.0, 100.0, 1.0, 1000.0, 200.0, 50.0)


def found(traffic: Traffic | None = None, **items: Any) -> list[Workload | str]:
    """What the workloads of a listing come to."""
    here = listed(**items)
    gpus = Gpus(here.nodes, traffic)
    made = (workload(each, here, gpus, traffic) for each in templated(here))
    return [each for each in made if each is not None]


def the(traffic: Traffic | None = None, **items: Any) -> Workload:
    """The only workload."""
    (only,) = found(traffic, **items)
    assert isinstance(only, Workload), only
    return only


@pytest.mark.parametrize(
    ("image", "args", "engine", "models"),
    [
        ("vllm/vllm-openai:v0.32.0", ["--model=org/llama"], Engine.VLLM, ["org/llama"]),
        ("vllm/vllm-openai", ["--model", "org/llama", "--served-model-name=chat"], Engine.VLLM, ["chat"]),
        ("r.io/vllm", ["--served-model-name", "a", "b", "a", "--port", "1"], Engine.VLLM, ["a", "b"]),
        ("r.io/vllm@sha256:00", ["vllm", "serve", "org/llama", "--port", "1"], Engine.VLLM, ["org/llama"]),
        ("r.io/vllm", ["vllm serve org/llama --max-model-len 8"], Engine.VLLM, ["org/llama"]),
        ("lmsysorg/sglang:v0.5", ["--model-path=org/qwen"], Engine.SGLANG, ["org/qwen"]),
    ],
)
def test_engine_and_models_by_image_and_arguments(
    image: str, args: list[str], engine: Engine, models: list[str]
) -> None:
    made = the(deployments=[deployment("x", container(image, *args))])
    assert (made.engine, [each.name for each in made.models]) == (engine, models)
    assert (made.engine_source, made.models_source) == (f"its image {image.split('@', maxsplit=1)[0]}", "its arguments")
    assert made.gpus_per_replica == 1


def test_metrics_come_before_the_image() -> None:
    rows = {("inference", "serving", "llama"): EngineTotals(Engine.SGLANG, TOTALS, {"ttft_p90": 0.4})}
    made = the(Traffic(engines=rows), deployments=[deployment("serving", container("r.io/mine:1", "--model=other"))])
    assert (made.engine, made.engine_source, made.models_source) == (Engine.SGLANG, "its metrics", "its metrics")
    (served,) = made.models
    assert (served.name, served.latency.ttft_p90, served.latency.itl_p90) == ("llama", 0.4, None)
    assert served.counted is not None
    assert (served.counted.requests, served.counted.source) == (100.0, "SGLang's counters of Deployment/serving")


@pytest.mark.parametrize("image", ["vllm/production-stack-router:1", "ghcr.io/x/vllm-gateway:1", "nginx"])
def test_what_stands_beside_engines_is_none(image: str) -> None:
    assert found(deployments=[deployment("x", container(image, "--model=m", gpus=0))]) == []


def test_what_cannot_be_used_is_told() -> None:
    owned = deployment("owned", ownerReferences=[{"controller": True, "kind": "InferenceService", "name": "i"}])
    mute = deployment("mute", container("vllm/vllm-openai"))
    training = deployment("training", container("pytorch"))
    assert found(deployments=[owned, mute, training]) == [
        "Deployment inference/owned is controlled by InferenceService/i, which would take replicas back",
        "Deployment inference/mute: neither metrics nor arguments name the model that it serves",
        "Deployment inference/training asks for GPUs, and is no engine that Spillway knows (vLLM, SGLang)",
    ]


def test_gpus_by_the_node_under_the_pods() -> None:
    labels = {"nvidia.com__gpu.product": PRODUCT, "node.kubernetes.io__instance-type": "p5.48xlarge"}
    nodes = [
        node("a", **labels),
        node("b", 4, **labels),
        node("l", 2, nvidia_com__gpu_product="NVIDIA-L4"),
        node("c", 0),
    ]
    pods = [pod("vllm-1", "b"), pod("vllm-2", "b", ready=None), pod("else", "l", app="else")]
    made = the(deployments=[deployment()], pods=pods, nodes=nodes)
    assert made.gpu is not None
    assert (made.gpu.type, made.gpu.gpus, made.gpu.provider, made.gpu.spot) == (
        "nvidia-h100-80gb-hbm3", 12, "aws", False,
    )  # fmt: skip
    assert (made.startup_seconds, made.startup_pods) == (90.0, 1)


def test_gpus_by_the_nodes_instance_type() -> None:
    nodes = [node("a", **{"node.kubernetes.io__instance-type": "p5.48xlarge"})]
    made = the(deployments=[deployment()], pods=[pod("vllm-1", "a")], nodes=nodes)
    assert made.gpu is not None
    assert (made.gpu.type, made.gpu.gpus, made.gpu.provider) == ("nvidia-h100-80gb", 8, "aws")
    assert made.gpu.label == "node label node.kubernetes.io/instance-type=p5.48xlarge"


def test_gpus_by_selector_by_dcgm_or_as_the_only_ones() -> None:
    selecting = deployment("x")
    selecting["spec"]["template"]["spec"]["nodeSelector"] = {"nvidia.com/gpu.product": "NVIDIA-L4"}
    made = the(deployments=[selecting])
    assert made.gpu is not None
    assert (made.gpu.type, made.gpu.gpus) == ("nvidia-l4", None)
    seen = Traffic(gpu_models={("inference", "vllm-1"): "NVIDIA H100 80GB HBM3"})
    made = the(seen, deployments=[deployment()], pods=[pod("vllm-1")])
    assert made.gpu is not None
    assert (made.gpu.type, made.gpu.label) == ("nvidia-h100-80gb-hbm3", "DCGM's modelName NVIDIA H100 80GB HBM3")
    made = the(deployments=[deployment(replicas=0)], nodes=[node("a", nvidia_com__gpu_product="NVIDIA-L4")])
    assert made.gpu is not None
    assert made.gpu.type == "nvidia-l4"
    assert the(deployments=[deployment()]).gpu is None


def test_spot_nodes_and_opencost() -> None:
    labels = {"nvidia_com__gpu_product": "NVIDIA-L4", "karpenter.sh__capacity-type": "spot"}
    nodes = [node("a", provider="gce://p/z/a", **labels), node("b", **labels)]
    made = the(Traffic(gpu_usd={"a": 0.4, "b": 0.6}), deployments=[deployment()], nodes=nodes)
    assert made.gpu is not None
    assert (made.gpu.spot, made.gpu.provider, made.gpu.opencost_usd) == (True, "gcp", Decimal("0.5"))
    nodes[1]["metadata"]["labels"].pop("karpenter.sh/capacity-type")
    made = the(deployments=[deployment()], nodes=nodes)
    assert made.gpu is not None
    assert not made.gpu.spot


def test_other_autoscalers() -> None:
    made = the(deployments=[deployment()], hpas=[hpa("other", "vllm", 6), hpa("no", "else")])
    assert (made.autoscaler, made.autoscaler_max) == ("HorizontalPodAutoscaler/other", 6)
    keda = {"metadata": meta("k"), "spec": {"scaleTargetRef": {"name": "vllm"}, "maxReplicaCount": 7}}
    made = the(deployments=[deployment()], scaled_objects=[keda])
    assert (made.autoscaler, made.autoscaler_max) == ("ScaledObject/k", 7)


def test_groups_of_pods() -> None:
    group = {"size": 3, "workerTemplate": template(container("vllm/vllm-openai", "--model=m", gpus=8))}
    lws = {
        "apiVersion": "leaderworkerset.x-k8s.io/v1",
        "metadata": meta("big"),
        "spec": {"replicas": 2, "leaderWorkerTemplate": group},
    }
    owner = {"controller": True, "kind": "LeaderWorkerSet", "name": "big"}
    inner = deployment("big", ownerReferences=[owner])
    made = the(leader_worker_sets=[lws], stateful_sets=[inner])
    assert (made.kind, made.api_version, made.gpus_per_replica, made.replicas) == (
        "LeaderWorkerSet", "leaderworkerset.x-k8s.io/v1", 24, 2,
    )  # fmt: skip


def test_replicas_that_nobody_wrote_are_one_and_no_gpu_is_none() -> None:
    made = the(deployments=[deployment("x", container("vllm/vllm-cpu", "--model=m", gpus=0), replicas=None)])
    assert (made.replicas, made.gpus_per_replica) == (1, None)


def test_types_fit_the_field() -> None:
    assert gpu_type("Tesla V100-SXM2-16GB") == "tesla-v100-sxm2-16gb"
    assert gpu_type("-" * 5) == ""
    assert len(gpu_type("x" * 90)) == 63


def test_a_workload_is_named_with_its_kind() -> None:
    each = Templated("Deployment", deployment(), ((deployment()["spec"]["template"], 1),))
    assert (each.key, each.namespace, each.labels) == ("Deployment/vllm", "inference", {"app": "vllm"})
