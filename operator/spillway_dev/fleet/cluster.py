"""What the cluster says, read a few times a second: the pods of each lane's Deployment and the routes' weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio import client as kube
from kubernetes.aio import config as kube_config

from spillway_dev.fleet.config import FleetConfig, FleetError, RouteRule, SelfHostedLane
from spillway_dev.fleet.model import ReplicaView

TIMEOUT_SECONDS = 3.0
NOT_FOUND = 404


class ClusterError(FleetError):
    """The apiserver could not be read; the state before still holds."""


@dataclass(frozen=True, slots=True)
class LaneView:
    """A lane's Deployment and pods. `replicas` is spec.replicas, None where there is no Deployment."""

    replicas: int | None
    pods: tuple[ReplicaView, ...]


@dataclass(frozen=True, slots=True)
class ClusterState:
    """One reading: lanes by name, weights by class (None: no such rule), allocatable GPUs by node."""

    lanes: Mapping[str, LaneView]
    weights: Mapping[str, Mapping[str, int] | None]
    gpus: Mapping[str, int]


class ClusterReader:
    """Plain reads of raw JSON: typed models of a dozen pods several times a second would cost a core's tenth."""

    def __init__(self, config: FleetConfig, api: Any) -> None:
        self._config = config
        self._api = api

    @classmethod
    async def connect(cls, config: FleetConfig, kubeconfig: Path) -> ClusterReader:
        """A reader for the cluster of `kubeconfig`.

        Raises FleetError where the file can't be used.
        """
        new_client: Any = kube_config.new_client_from_config
        try:
            api = await new_client(config_file=str(kubeconfig), persist_config=False)
        except (OSError, kube_config.config_exception.ConfigException) as error:
            raise FleetError(f"kubeconfig {kubeconfig}: {error}") from error
        return cls(config, api)

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def read(self) -> ClusterState:
        """The state now.

        Raises ClusterError where the apiserver does not answer.
        """
        lanes = {lane.name: await self._lane(lane) for lane in self._config.lanes}
        weights = {traffic.name: await self._weights(traffic.route) for traffic in self._config.classes}
        nodes = await self._get("/api/v1/nodes", resourceVersion="0") or {}
        return ClusterState(lanes, weights, _allocatable(nodes))

    async def _lane(self, lane: SelfHostedLane) -> LaneView:
        path = f"/apis/apps/v1/namespaces/{lane.namespace}/deployments/{lane.deployment}"
        deployment = await self._get(path)
        if deployment is None:
            return LaneView(None, ())
        spec = deployment["spec"]
        selector = ",".join(f"{key}={value}" for key, value in sorted(spec["selector"]["matchLabels"].items()))
        pods = await self._get(f"/api/v1/namespaces/{lane.namespace}/pods", labelSelector=selector, resourceVersion="0")
        views = tuple(_view(pod) for pod in (pods or {}).get("items", []))
        return LaneView(spec.get("replicas", 1), views)

    async def _weights(self, rule: RouteRule) -> dict[str, int] | None:
        path = f"/apis/gateway.networking.k8s.io/v1/namespaces/{rule.namespace}/httproutes/{rule.name}"
        route = await self._get(path)
        rules = (route or {}).get("spec", {}).get("rules", [])
        if rule.rule_index >= len(rules):
            return None
        refs = rules[rule.rule_index].get("backendRefs", [])
        return {ref["name"]: ref.get("weight", 1) for ref in refs}

    async def _get(self, path: str, **query: str) -> Any:
        """The object at `path`, None where there is none."""
        url = f"{path}?{urlencode(query)}" if query else path
        try:
            request = await self._api.param_serialize(
                "GET", url, header_params={"Accept": "application/json"}, auth_settings=["BearerToken"]
            )
            answer = await self._api.call_api(*request, _request_timeout=TIMEOUT_SECONDS)
            body = await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError, kube.ApiException) as error:
            raise ClusterError(f"apiserver: GET {path}: {str(error) or type(error).__name__}") from error
        if answer.status == NOT_FOUND:
            return None
        if answer.status >= 300:
            raise ClusterError(f"apiserver: GET {path}: status {answer.status}")
        return json.loads(body)


def _view(pod: Mapping[str, Any]) -> ReplicaView:
    meta, status = pod["metadata"], pod.get("status", {})
    ready = any(
        condition["type"] == "Ready" and condition["status"] == "True" for condition in status.get("conditions", [])
    )
    return ReplicaView(
        uid=meta["uid"],
        pod=meta["name"],
        node=pod.get("spec", {}).get("nodeName", ""),
        ready=ready,
        terminating="deletionTimestamp" in meta,
    )


def _allocatable(nodes: Mapping[str, Any]) -> dict[str, int]:
    return {
        node["metadata"]["name"]: int(node.get("status", {}).get("allocatable", {}).get("nvidia.com/gpu", "0"))
        for node in nodes.get("items", [])
    }
