"""What a kubelet asks of the apiserver for its pods, as raw JSON: typed models several times a second would cost."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests
from kubernetes import client, config

TIMEOUT_SECONDS = 10.0
MERGE_BY_KEY = "application/strategic-merge-patch+json"
GONE = (404, 409)
"""The pod is not there any more, or is another one of the same name."""

JSON = dict[str, Any]


class PodApi:
    """Pods of one namespace and label selector, by uid."""

    def __init__(self, kubeconfig: Path, namespace: str, selector: str) -> None:
        cluster: Any = client.Configuration()
        load: Any = config.load_kube_config
        load(str(kubeconfig), client_configuration=cluster)
        self._pods = f"{cluster.host}/api/v1/namespaces/{namespace}/pods"
        self._selector = selector
        self._names: dict[str, str] = {}
        self._session = requests.Session()
        # Else REQUESTS_CA_BUNDLE would win over the cluster's own authority.
        self._session.trust_env = False
        self._session.verify = cluster.ssl_ca_cert if cluster.verify_ssl else False
        if cluster.cert_file:
            self._session.cert = (cluster.cert_file, cluster.key_file)
        self._session.headers.update({auth["key"]: auth["value"] for auth in cluster.auth_settings().values()})

    def close(self) -> None:
        """Give connections back."""
        self._session.close()

    def pods(self) -> dict[str, JSON]:
        """All pods now, by uid.

        Raises:
            requests.RequestException: the apiserver does not answer.
        """
        answer = self._session.get(self._pods, params={"labelSelector": self._selector}, timeout=TIMEOUT_SECONDS)
        answer.raise_for_status()
        found = {pod["metadata"]["uid"]: pod for pod in answer.json()["items"]}
        self._names = {uid: pod["metadata"]["name"] for uid, pod in found.items()}
        return found

    def set_ready(self, uid: str) -> bool:
        """Have the pod be Ready; returns whether it is.

        Raises:
            requests.RequestException: the apiserver does not answer.
        """
        now = datetime.now(UTC).isoformat(timespec="seconds")
        conditions = [
            {"type": kind, "status": "True", "reason": "", "message": "", "lastTransitionTime": now}
            for kind in ("Ready", "ContainersReady")
        ]
        answer = self._session.patch(
            f"{self._pods}/{self._names[uid]}/status",
            json={"metadata": {"uid": uid}, "status": {"conditions": conditions}},
            headers={"Content-Type": MERGE_BY_KEY},
            timeout=TIMEOUT_SECONDS,
        )
        return self._done(answer)

    def delete_now(self, uid: str) -> bool:
        """Take the pod out of the apiserver, as a kubelet does when its containers have ended.

        Raises:
            requests.RequestException: the apiserver does not answer.
        """
        if uid not in self._names:
            return True
        body = {"gracePeriodSeconds": 0, "preconditions": {"uid": uid}}
        answer = self._session.delete(f"{self._pods}/{self._names[uid]}", json=body, timeout=TIMEOUT_SECONDS)
        return self._done(answer)

    def _done(self, answer: requests.Response) -> bool:
        if answer.status_code in GONE:
            return False
        answer.raise_for_status()
        return True
