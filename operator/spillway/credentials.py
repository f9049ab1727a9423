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


WAY_OUT = "name another by --kubeconfig or $KUBECONFIG"


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
    if not named and (pod_first or not default_kubeconfig().is_file()) and _from_pod(configuration):
        return configuration, {}
    files = _files(kubeconfig)
    try:
        await k8s_config.load_kube_config(config_file=files, context=context, client_configuration=configuration)
        return configuration, _acting_as(files, context)
    except (k8s_config.ConfigException, OSError) as error:
        raise CredentialsError(_unusable(files, context, error)) from error
    except (yaml.YAMLError, TypeError, ValueError, KeyError, AttributeError) as error:
        # What the library raises on text that is no kubeconfig; it may quote the file, so it is not shown.
        raise CredentialsError(f"no usable kubeconfig: {files} is no kubeconfig; {WAY_OUT}") from error


def _files(kubeconfig: str | None) -> str:
    """Paths, as $KUBECONFIG has them. Raises CredentialsError where none of them is there."""
    files, origin = str(default_kubeconfig()), "the default, as neither --kubeconfig nor $KUBECONFIG names one"
    if kubeconfig is not None:
        files, origin = kubeconfig, "--kubeconfig"
    elif os.environ.get("KUBECONFIG"):
        files, origin = os.environ["KUBECONFIG"], "$KUBECONFIG"
    if not any(Path(each).expanduser().exists() for each in files.split(os.pathsep) if each):
        raise CredentialsError(f"there is no kubeconfig {files} ({origin}); {WAY_OUT}")
    return files


def _unusable(files: str, context: str | None, error: Exception) -> str:
    try:
        config = kube_config.KubeConfigMerger(files).config.value
        known, current = [str(each["name"]) for each in config["contexts"]], config.get("current-context")
    except (k8s_config.ConfigException, yaml.YAMLError, OSError, TypeError, ValueError, KeyError, AttributeError):
        known, current = [], None
    wanted = context or current
    if known and wanted not in known:
        missing = f"there is no context {wanted} in" if wanted else "there is no current-context in"
        return f"{missing} kubeconfig {files}: --context takes {', '.join(known)}"
    return f"no usable kubeconfig: {files}: {error}; {WAY_OUT}"


def default_kubeconfig() -> Path:
    """``~/.kube/config``."""
    return Path.home() / ".kube" / "config"


def _from_pod(configuration: k8s.Configuration) -> bool:
    try:
        k8s_config.load_incluster_config(client_configuration=configuration)
    except k8s_config.ConfigException:
        return False
    return True


def _acting_as(files: str, context: str | None) -> dict[str, str]:
    """Headers for a kubeconfig whose user acts as another, which the library leaves out."""
    user = _user(files, context)
    for field in UNSUPPORTED:
        if user.get(field):
            raise CredentialsError(
                f"the user in kubeconfig {files} has {field}, which is not supported; use credentials of its own, or "
                "only `as`"
            )
    return {"Impersonate-User": str(user["as"])} if user.get("as") else {}


def _user(files: str, context: str | None) -> dict[str, Any]:
    config = kube_config.KubeConfigMerger(files).config
    name = context or config["current-context"]
    chosen = config["contexts"].get_with_name(name)["context"].safe_get("user")
    found = config["users"].get_with_name(chosen, safe=True) if chosen else None
    value = found.value.get("user") if found is not None else None
    return value if isinstance(value, dict) else {}
