"""The commands `tools` and `up` of `python -m spillway_dev`."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import click

from spillway_dev.cluster import KubectlError
from spillway_dev.controlplane import ControlPlane, ControlPlaneOptions
from spillway_dev.nodes import GpuNode
from spillway_dev.processes import ProcessError
from spillway_dev.toolchain import ToolchainError, Tools, ensure_tools, find_tools
from spillway_dev.toolchain_progress import build_progress

CRDS = Path(__file__).resolve().parents[2] / "crds"
WATCH_SECONDS = 1.0


@click.command()
@click.option("--path", is_flag=True, help="Only print the folder with the programs; build nothing.")
def tools(path: bool) -> None:
    """Build the pinned development tools into the cache folder (10 to 20 minutes, once)."""
    try:
        if path:
            click.echo(find_tools().bin)
            return
    except ToolchainError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"development tools: {_build().bin}")


@click.command()
@click.option("--nodes", type=click.IntRange(0, 250), default=4, show_default=True, help="Fake nodes of 8 GPUs each.")
@click.option(
    "--startup", type=click.FloatRange(0), default=5.0, show_default=True, help="Seconds from Running to Ready."
)
def up(nodes: int, startup: float) -> None:
    """Run a control plane with the project's CRDs until Ctrl-C."""
    built = _build()
    options = ControlPlaneOptions(
        nodes=tuple(GpuNode(f"gpu-{index}") for index in range(nodes)), pod_startup_seconds=startup
    )
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        with ControlPlane(built, options) as control_plane:
            control_plane.apply_gateway_api()
            if any(CRDS.glob("*.yaml")):
                control_plane.apply_crds(CRDS)
            _explain(control_plane)
            while not stop.wait(WATCH_SECONDS):
                for process in control_plane.processes.values():
                    process.require()
    except (ProcessError, KubectlError, TimeoutError) as error:
        raise click.ClickException(str(error)) from error
    click.echo("stopped; nothing is left running")


def _build() -> Tools:
    # A build that is told to end tidies up as it does for Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return ensure_tools(build_progress())
    except ToolchainError as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        raise click.ClickException("interrupted; finished tools stay, a second run goes on from there") from None


def _explain(control_plane: ControlPlane) -> None:
    click.echo(
        f"control plane ready after {control_plane.start_seconds:.1f} s at {control_plane.server}\n"
        "in another terminal:\n"
        f"  export KUBECONFIG={control_plane.kubeconfig}\n"
        f"  export PATH={control_plane.tools.bin}:$PATH\n"
        "  kubectl get nodes\n"
        f"logs and audit.jsonl: {control_plane.folder} (removed at the end)\n"
        "Ctrl-C stops it"
    )
