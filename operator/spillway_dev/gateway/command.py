"""The command `gateway` of `python -m spillway_dev`."""

from __future__ import annotations

import signal
import threading

import click

from spillway_dev.cluster import KubectlError
from spillway_dev.commands import CRDS, WATCH_SECONDS
from spillway_dev.controlplane import ControlPlane, ControlPlaneOptions
from spillway_dev.gateway.manifests import GATEWAY, NAMESPACE
from spillway_dev.gateway.stack import EnvoyGatewayStack
from spillway_dev.processes import ProcessError
from spillway_dev.toolchain import ToolchainError, find_tools


@click.command()
def gateway() -> None:
    """Run a control plane with the project's CRDs and a real Envoy Gateway until Ctrl-C."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        with ControlPlane(find_tools(), ControlPlaneOptions()) as control_plane:
            control_plane.apply_crds(CRDS)
            with EnvoyGatewayStack(control_plane, lambda: click.echo("another gateway runs: waiting for it")) as stack:
                _explain(control_plane, stack)
                while not stop.wait(WATCH_SECONDS):
                    stack.require()
                    for process in control_plane.processes.values():
                        process.require()
    except (ToolchainError, ProcessError, KubectlError, TimeoutError) as error:
        raise click.ClickException(str(error)) from error
    click.echo("stopped; nothing is left running")


def _explain(control_plane: ControlPlane, stack: EnvoyGatewayStack) -> None:
    click.echo(
        f"gateway ready after {control_plane.start_seconds + stack.start_seconds:.1f} s: Envoy listens at {stack.url}\n"
        f"routes name the parent {NAMESPACE}/{GATEWAY}; Envoy's counters: {stack.envoy_admin_url}/stats/prometheus\n"
        "Envoy knows no names: give Backends loopback addresses\n"
        "in another terminal:\n"
        f"  export KUBECONFIG={control_plane.kubeconfig}\n"
        f"  export PATH={control_plane.tools.bin}:$PATH\n"
        f"  python -m spillway_dev.upstreams --name gpu --port 9001    # an upstream for a Backend\n"
        f"logs: {stack.folder} (removed at the end)\n"
        "Ctrl-C stops it"
    )
