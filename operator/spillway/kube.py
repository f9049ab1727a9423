"""The one place that talks to the Kubernetes API: raw JSON over the official asyncio client, with time limits.

Objects are plain dictionaries, validated by the project's own models where they are read. Errors carry the
apiserver's own message; response bodies never reach status or events.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote

import aiohttp
from kubernetes.aio import client as k8s
from kubernetes.aio import config as k8s_config

from spillway import credentials

FIELD_MANAGER = "spillway-controller"
PAGE_SIZE = 500

JSON = dict[str, Any]
Items = list[JSON]


class KubeError(Exception):
    """The apiserver refused or could not be asked. ``status`` is 0 when there was no answer."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message

    @property
    def not_found(self) -> bool:
        """The object, or its whole kind, does not exist."""
        return self.status == 404

    @property
    def conflict(self) -> bool:
        """Somebody else wrote first."""
        return self.status == 409

    @property
    def forbidden(self) -> bool:
        """The credentials lack the permission."""
        return self.status in (401, 403)


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind as the API serves it."""

    api_version: str
    plural: str
    namespaced: bool = True

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """The URL path of the collection, of one object, or of its subresource."""
        parts = ["api" if "/" not in self.api_version else "apis", self.api_version]
        if namespace and self.namespaced:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        parts += [quote(part, safe="") for part in (name, subresource) if part]
        return "/" + "/".join(parts)


CLASSES = Resource("spillway.dev/v1alpha1", "workloadclasses")
LANES = Resource("spillway.dev/v1alpha1", "capacitylanes")
PLANS = Resource("spillway.dev/v1alpha1", "capacityplans")
LANE_CHANGES = Resource("spillway.dev/v1alpha1", "lanechanges")
PODS = Resource("v1", "pods")
NODES = Resource("v1", "nodes", namespaced=False)
NAMESPACES = Resource("v1", "namespaces", namespaced=False)
CONFIG_MAPS = Resource("v1", "configmaps")
REPLICA_SETS = Resource("apps/v1", "replicasets")
DEPLOYMENTS = Resource("apps/v1", "deployments")
STATEFUL_SETS = Resource("apps/v1", "statefulsets")
LEADER_WORKER_SETS = Resource("leaderworkerset.x-k8s.io/v1", "leaderworkersets")
SERVICES = Resource("v1", "services")
HPAS = Resource("autoscaling/v2", "horizontalpodautoscalers")
SCALED_OBJECTS = Resource("keda.sh/v1alpha1", "scaledobjects")
HTTP_ROUTES = Resource("gateway.networking.k8s.io/v1", "httproutes")
BACKENDS = Resource("gateway.envoyproxy.io/v1alpha1", "backends")
TRAFFIC_POLICIES = Resource("gateway.envoyproxy.io/v1alpha1", "backendtrafficpolicies")
AI_GATEWAY_ROUTES = Resource("aigateway.envoyproxy.io/v1beta1", "aigatewayroutes")
AI_SERVICE_BACKENDS = Resource("aigateway.envoyproxy.io/v1beta1", "aiservicebackends")
EVENTS = Resource("events.k8s.io/v1", "events")
ACCESS_REVIEWS = Resource("authorization.k8s.io/v1", "selfsubjectaccessreviews", namespaced=False)
SELF_REVIEWS = Resource("authentication.k8s.io/v1", "selfsubjectreviews", namespaced=False)
ADMISSION_POLICIES = Resource("admissionregistration.k8s.io/v1", "validatingadmissionpolicies", namespaced=False)
ADMISSION_BINDINGS = Resource("admissionregistration.k8s.io/v1", "validatingadmissionpolicybindings", namespaced=False)
CRDS = Resource("apiextensions.k8s.io/v1", "customresourcedefinitions", namespaced=False)


def _error_from(status: int, body: bytes) -> KubeError:
    try:
        document = json.loads(body)
        reason, message = str(document.get("reason", "")), str(document.get("message", ""))
    except (ValueError, AttributeError):
        reason, message = "", ""
    return KubeError(status, reason or f"HTTP{status}", message or f"the apiserver answered HTTP {status}")


class Kube:
    """An authenticated client. Use ``async with await Kube.connect(...) as kube``."""

    def __init__(self, api_client: Any, *, timeout_seconds: float = 15.0, headers: Mapping[str, str] | None = None):
        self._client = api_client
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds, connect=min(10.0, timeout_seconds))
        self._headers = dict(headers or {})
        self._plurals: dict[tuple[str, str], Resource | None] = {}

    @classmethod
    async def connect(
        cls,
        kubeconfig: str | None = None,
        context: str | None = None,
        *,
        impersonate: str | None = None,
        pod_first: bool = True,
        timeout_seconds: float = 15.0,
    ) -> Kube:
        """A client for whom the credentials are (see ``credentials.load``), or who is impersonated."""
        try:
            configuration, headers = await credentials.load(kubeconfig, context, pod_first=pod_first)
        except credentials.CredentialsError as error:
            raise KubeError(0, "NoCredentials", str(error)) from error
        if impersonate:
            headers = {"Impersonate-User": impersonate}
        return cls(k8s.ApiClient(configuration), timeout_seconds=timeout_seconds, headers=headers)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> JSON:
        """One request; the decoded JSON answer. Raises ``KubeError``."""
        headers = {"Accept": "application/json", "Content-Type": content_type, **self._headers}
        try:
            method, url, headers, body, _ = await self._client.param_serialize(
                method=method,
                resource_path=path,
                query_params=list((query or {}).items()),
                header_params=headers,
                body=body,
                auth_settings=["BearerToken"],
            )
            response = await self._client.call_api(
                method, url, header_params=headers, body=body, _request_timeout=self._timeout
            )
            data = await response.read()
        except k8s_config.ConfigException as error:
            raise KubeError(0, "NoCredentials", f"the credentials can't be read: {error}") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            detail = "timed out" if isinstance(error, TimeoutError) else type(error).__name__
            host = self._client.configuration.host
            raise KubeError(0, "Unreachable", f"the apiserver at {host} did not answer: {detail}") from error
        if response.status >= 400:
            raise _error_from(response.status, data)
        try:
            decoded = json.loads(data) if data else {}
        except ValueError as error:
            raise KubeError(0, "NotJSON", "what answers at the apiserver's address is no apiserver") from error
        return decoded if isinstance(decoded, dict) else {"items": decoded}

    async def get(self, resource: Resource, namespace: str | None, name: str, subresource: str | None = None) -> JSON:
        """One object."""
        return await self.request("GET", resource.path(namespace, name, subresource))

    async def find(self, resource: Resource, namespace: str | None, name: str) -> JSON | None:
        """One object, or None when it (or its kind) does not exist."""
        try:
            return await self.get(resource, namespace, name)
        except KubeError as error:
            if error.not_found:
                return None
            raise

    async def list(
        self, resource: Resource, namespace: str | None = None, *, label_selector: str | None = None
    ) -> Items:
        """Every object, page by page."""
        items: Items = []
        query: dict[str, str] = {"limit": str(PAGE_SIZE)}
        if label_selector:
            query["labelSelector"] = label_selector
        while True:
            page = await self.request("GET", resource.path(namespace), query=query)
            items += page.get("items") or []
            token = (page.get("metadata") or {}).get("continue")
            if not token:
                return items
            query["continue"] = token

    async def list_in(self, resource: Resource, namespaces: Sequence[str]) -> Items:
        """Objects of these namespaces, or of the whole cluster when none are named."""
        if not namespaces or not resource.namespaced:
            return await self.list(resource)
        return [item for namespace in dict.fromkeys(namespaces) for item in await self.list(resource, namespace)]

    async def create(self, resource: Resource, namespace: str | None, body: JSON) -> JSON:
        """Create an object under Spillway's field manager."""
        query = {"fieldManager": FIELD_MANAGER}
        return await self.request("POST", resource.path(namespace), query=query, body=body)

    async def delete(self, resource: Resource, namespace: str | None, name: str, uid: str) -> None:
        """Delete that very object; one made anew under its name since is a conflict."""
        body = {"preconditions": {"uid": uid}}
        await self.request("DELETE", resource.path(namespace, name), body=body)

    async def apply(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        body: JSON,
        *,
        subresource: str | None = None,
        force: bool = True,
        field_manager: str = FIELD_MANAGER,
    ) -> JSON:
        """Server-side apply. A ``metadata.resourceVersion`` in the body is a precondition."""
        return await self.request(
            "PATCH",
            resource.path(namespace, name, subresource),
            query={"fieldManager": field_manager, "force": "true" if force else "false"},
            body=body,
            content_type="application/apply-patch+yaml",
        )

    async def merge_patch(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        body: JSON,
        *,
        subresource: str | None = None,
        field_manager: str = FIELD_MANAGER,
        dry_run: bool = False,
    ) -> JSON:
        """JSON merge patch. A ``metadata.uid`` in the body is a precondition."""
        return await self.request(
            "PATCH",
            resource.path(namespace, name, subresource),
            query={"fieldManager": field_manager} | ({"dryRun": "All"} if dry_run else {}),
            body=body,
            content_type="application/merge-patch+json",
        )

    async def json_patch(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        operations: Items,
        *,
        field_manager: str = FIELD_MANAGER,
        dry_run: bool = False,
    ) -> JSON:
        """JSON Patch, with ``test`` operations as preconditions; a failed one is a conflict.

        ``dry_run``: the apiserver admits and validates it, and stores nothing.
        """
        try:
            return await self.request(
                "PATCH",
                resource.path(namespace, name),
                query={"fieldManager": field_manager} | ({"dryRun": "All"} if dry_run else {}),
                body=operations,
                content_type="application/json-patch+json",
            )
        except KubeError as error:
            # The apiserver tells a failed test from an invalid object only by naming no field.
            if error.status == 422 and "error in our request" in error.message:
                raise KubeError(409, "Conflict", "it changed since it was read") from error
            raise

    async def whoami(self) -> str:
        """The user name that the apiserver knows these credentials by (SelfSubjectReview)."""
        body = {"apiVersion": SELF_REVIEWS.api_version, "kind": "SelfSubjectReview"}
        answer = await self.request("POST", SELF_REVIEWS.path(), body=body)
        name = ((answer.get("status") or {}).get("userInfo") or {}).get("username")
        if not name:
            raise KubeError(0, "NoUser", "the apiserver does not say which user these credentials are")
        return str(name)

    async def resource_for(self, api_version: str, kind: str) -> Resource | None:
        """How the API serves a kind (discovery, remembered once found); None when it does not."""
        key = (api_version, kind)
        if self._plurals.get(key) is None:
            prefix = "/api/" if "/" not in api_version else "/apis/"
            try:
                document = await self.request("GET", prefix + api_version)
            except KubeError as error:
                if error.not_found:
                    return None
                raise
            for entry in document.get("resources") or []:
                if entry.get("kind") == kind and "/" not in entry["name"]:
                    self._plurals[key] = Resource(api_version, entry["name"], bool(entry.get("namespaced")))
        return self._plurals.get(key)

    async def allowed(
        self, verb: str, resource: Resource, namespace: str | None = None, subresource: str | None = None
    ) -> bool:
        """Whether these credentials may do this (SelfSubjectAccessReview)."""
        group = resource.api_version.split("/")[0] if "/" in resource.api_version else ""
        attributes = {"verb": verb, "group": group, "resource": resource.plural}
        if namespace:
            attributes["namespace"] = namespace
        if subresource:
            attributes["subresource"] = subresource
        body = {
            "apiVersion": ACCESS_REVIEWS.api_version,
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        answer = await self.request("POST", ACCESS_REVIEWS.path(), body=body)
        return bool((answer.get("status") or {}).get("allowed"))
