"""Options that every command shares, and the connection that they describe."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from kubernetes.aio import config as k8s_config

from spillway.cli.output import Form
from spillway.kube import Kube, KubeError

Command = Callable[..., Any]

IN_CLUSTER_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


@dataclass(frozen=True, slots=True)
class Connection:
    """Which cluster, as whom, and in which namespaces."""

    kubeconfig: str | None
    context: str | None
    namespace: str | None
    all_namespaces: bool
    impersonate: str | None = None

    async def connect(self) -> Kube:
        """An authenticated client. Raises ``KubeError``."""
        return await Kube.connect(self.kubeconfig, self.context, impersonate=self.impersonate, pod_first=False)

    def namespaces(self) -> tuple[str, ...]:
        """The namespaces that are meant; none means all."""
        if self.all_namespaces:
            return ()
        return (self.namespace or current_namespace(self.kubeconfig, self.context),)


def current_namespace(kubeconfig: str | None, context: str | None) -> str:
    """The namespace of the kubeconfig's context, else of the pod, else "default"."""
    try:
        contexts, active = k8s_config.list_kube_config_contexts(config_file=kubeconfig)
    except (k8s_config.ConfigException, OSError):
        if kubeconfig is None and IN_CLUSTER_NAMESPACE.is_file():
            return IN_CLUSTER_NAMESPACE.read_text(encoding="utf-8").strip()
        return "default"
    chosen = next((each for each in contexts if each["name"] == context), active) if context else active
    return str(chosen["context"].get("namespace") or "default")


def said(error: KubeError) -> str:
    """What went wrong, with the way out where nobody answered."""
    hint = "; check --context and `kubectl cluster-info`" if error.reason == "Unreachable" else ""
    return f"{error.message}{hint}"


def cluster_options(command: Command) -> Command:
    """``--kubeconfig`` and ``--context``; the command gets ``connection``."""

    @functools.wraps(command)
    def connected(
        *arguments: Any,
        kubeconfig: str | None,
        context: str | None,
        namespace: str | None = None,
        all_namespaces: bool = False,
        **options: Any,
    ) -> Any:
        return command(*arguments, connection=Connection(kubeconfig, context, namespace, all_namespaces), **options)

    decorated = click.option("--context", metavar="NAME", help="Context of the kubeconfig.")(connected)
    return click.option(
        "--kubeconfig",
        metavar="FILE",
        type=click.Path(exists=True, dir_okay=False),
        help="Kubeconfig. Default: $KUBECONFIG, ~/.kube/config, the pod's service account.",
    )(decorated)


def namespace_options(command: Command) -> Command:
    """``-n`` and ``-A``, above ``cluster_options``."""
    decorated = click.option("-A", "--all-namespaces", is_flag=True, help="All namespaces.")(command)
    return click.option(
        "-n", "--namespace", metavar="NAME", help="Namespace. Default: the context's.", shell_complete=_namespaces
    )(decorated)


def _namespaces(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    from spillway.cli.view.completion import namespace_names  # noqa: PLC0415 - keep --help quick

    return namespace_names(ctx, parameter, incomplete)


def output_options(command: Command) -> Command:
    """``-o`` and ``--no-color``; the command gets ``form``."""

    @functools.wraps(command)
    def formed(*arguments: Any, output: str, no_color: bool, **options: Any) -> Any:
        return command(*arguments, form=Form(output == "json", no_color), **options)

    decorated = click.option("--no-color", is_flag=True, help="No colours; so does the variable NO_COLOR.")(formed)
    return click.option(
        "-o",
        "--output",
        type=click.Choice(["table", "json"]),
        default="table",
        show_default=True,
        help="Form of the output.",
    )(decorated)
