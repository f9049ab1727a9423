"""Where credentials for a cluster come from: a kubeconfig, or the service account of the pod."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml
from kubernetes.aio import client as k8s
from kubernetes.aio import config as k8s_config
from kubernetes.aio.config import kube_config

UNSUPPORTED = ("as-uid", "as-groups", "as-user-extra")
"""Fields of a kubeconfig's user that say more of whom to act as than its name."""


class CredentialsError(Exception):
    """There are none, or they can't be used; the message is one line, without anything of the file."""


async def load(
    kubeconfig: str | None, context: str | None, *, pod_first: bool
) -> tuple[k8s.Configuration, dict[str, str]]:
    """The client's configuration, and the headers that say as whom to act.

    What is named wins: ``kubeconfig``, ``context``, ``$KUBECONFIG``. With ``pod_first`` the pod's service account comes
    before the default kubeconfig, as an operator wants it; otherwise after it, as kubectl does. Raises
    CredentialsError.
    """
    configuration = k8s.Configuration()
    # None is the only value for "never": with 0 the library repeats a GET answered by 5xx for ever.
    configuration.retries = None
    named = kubeconfig is not None or context is not None or bool(os.environ.get("KUBECONFIG"))
    try:
        if not named and (pod_first or not default_kubeconfig().is_file()) and _from_pod(configuration):
            return configuration, {}
        await k8s_config.load_kube_config(  # type: ignore[no-untyped-call]
            config_file=kubeconfig, context=context, client_configuration=configuration
        )
        return configuration, _acting_as(kubeconfig, context)
    except (k8s_config.ConfigException, OSError) as error:
        raise CredentialsError(f"no usable kubeconfig: {error}; set KUBECONFIG") from error
    except (yaml.YAMLError, TypeError, ValueError, KeyError) as error:
        # What the library raises on text that is no kubeconfig; it may quote the file, so it is not shown.
        raise CredentialsError(
            f"no usable kubeconfig: {kubeconfig or 'the default one'} is no kubeconfig; set KUBECONFIG"
        ) from error


def default_kubeconfig() -> Path:
    """``~/.kube/config``."""
    return Path.home() / ".kube" / "config"


def _from_pod(configuration: k8s.Configuration) -> bool:
    try:
        k8s_config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except k8s_config.ConfigException:
        return False
    return True


def _acting_as(kubeconfig: str | None, context: str | None) -> dict[str, str]:
    """Headers for a kubeconfig whose user acts as another, which the library leaves out."""
    user = _user(kubeconfig or kube_config.KUBE_CONFIG_DEFAULT_LOCATION, context)
    for field in UNSUPPORTED:
        if user.get(field):
            raise CredentialsError(
                f"the kubeconfig's user has {field}, which is not supported; use credentials of its own, or only `as`"
            )
    return {"Impersonate-User": str(user["as"])} if user.get("as") else {}


def _user(path: str, context: str | None) -> dict[str, Any]:
    config = kube_config.KubeConfigMerger(path).config  # type: ignore[no-untyped-call]
    name = context or config["current-context"]
    chosen = config["contexts"].get_with_name(name)["context"].safe_get("user")
    found = config["users"].get_with_name(chosen, safe=True) if chosen else None
    value = found.value.get("user") if found is not None else None
    return value if isinstance(value, dict) else {}
