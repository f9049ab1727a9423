"""An apiserver with the CRDs, asked over one kept connection."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from kubernetes import client, config

from spillway.api import GROUP, VERSION
from spillway.api.crd import KINDS
from spillway_dev.cluster import Cluster

from .constraints import CRDS
from .manifests import VARIANTS, Manifest, edited

PLURALS = {kind.kind: kind.plural for kind in KINDS}


@dataclass(frozen=True)
class Answer:
    """What the apiserver said."""

    code: int
    body: dict[str, Any]

    @property
    def accepted(self) -> bool:
        """Whether the write went (or would have gone) through."""
        return self.code in (200, 201)

    @property
    def causes(self) -> list[tuple[str, str]]:
        """Field and message of each refusal; without the note that rules were skipped for an invalid object."""
        found = self.body.get("details", {}).get("causes", [])
        return [
            (cause["field"], cause["message"])
            for cause in found
            if "some validation rules were not checked" not in cause["message"]
        ]


class Api:
    """Writes of custom resources into one namespace, as dry runs unless said otherwise."""

    def __init__(self, connection: client.ApiClient, namespace: str) -> None:
        self._connection = connection
        self.namespace = namespace

    def request(self, method: str, path: str, body: Any = None, query: dict[str, str] | None = None) -> Answer:
        """One request with a JSON body; every answer is returned, none raised."""
        response = self._connection.call_api(
            *self._connection.param_serialize(
                method,
                path,
                query_params=list((query or {}).items()),
                header_params={"Content-Type": "application/json", "Accept": "application/json"},
                body=body,
                auth_settings=["BearerToken"],
            ),
            _request_timeout=30,
        )
        return Answer(response.status, json.loads(response.read()))

    def _path(self, manifest: Manifest, *parts: str) -> str:
        plural = PLURALS[manifest["kind"]]
        return "/".join([f"/apis/{GROUP}/{VERSION}/namespaces/{self.namespace}/{plural}", *parts])

    def create(self, manifest: Manifest, *, dry_run: bool = True) -> Answer:
        """POST; unknown fields are refused, as kubectl does."""
        query = {"fieldValidation": "Strict"} | ({"dryRun": "All"} if dry_run else {})
        return self.request("POST", self._path(manifest), manifest, query)

    def update(self, live: Manifest, manifest: Manifest) -> Answer:
        """Dry-run PUT of the manifest's spec over a live object."""
        name = live["metadata"]["name"]
        body = manifest | {"metadata": live["metadata"]}
        return self.request("PUT", self._path(live, name), body, {"dryRun": "All"})

    def update_status(self, live: Manifest, status: Any, *, dry_run: bool = True) -> Answer:
        """PUT of a status on a live object's status subresource."""
        query = {"fieldValidation": "Strict"} | ({"dryRun": "All"} if dry_run else {})
        path = self._path(live, live["metadata"]["name"], "status")
        return self.request("PUT", path, live | {"status": status}, query)

    def create_live(self, manifest: Manifest, name: str) -> Manifest:
        """Create for real; returns the object as stored."""
        answer = self.create(edited(manifest, {"metadata.name": name}), dry_run=False)
        assert answer.accepted, answer.body
        return answer.body


@pytest.fixture(scope="session")
def api(cluster: Cluster) -> Iterator[Api]:
    """The custom resources of a real apiserver, in a namespace of their own."""
    cluster.apply_crds(CRDS)
    name = cluster.create_namespace(f"test-api-{uuid.uuid4().hex[:8]}")
    with config.new_client_from_config(str(cluster.kubeconfig)) as connection:
        yield Api(connection, name)
    cluster.delete_namespace(name)


@pytest.fixture(scope="session")
def live(api: Api) -> dict[str, Manifest]:
    """One stored object of each kind, to update in dry runs."""
    return {kind: api.create_live(variants[0], "live") for kind, variants in VARIANTS.items()}
