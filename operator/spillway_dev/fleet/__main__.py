"""`python -m spillway_dev.fleet --config FILE --kubeconfig FILE --port N --starts-at UNIX_SECONDS`."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from pathlib import Path

import click

from spillway_dev.fleet.config import FleetError, load_config
from spillway_dev.fleet.server import FleetServer, ServerOptions, serve


@click.command()
@click.option("--config", "config_file", type=click.Path(path_type=Path), required=True, help="The fleet's truth.")
@click.option("--kubeconfig", type=click.Path(path_type=Path), required=True, help="The cluster with the pods.")
@click.option("--port", type=int, required=True, help="Port on 127.0.0.1 for /metrics/*, /score, /healthz.")
@click.option("--starts-at", type=float, required=True, help="Unix time at which the scored day starts.")
@click.option("--seed", type=int, help="Seed of requests and service. Default: the configuration's.")
@click.option("--day-seconds", type=float, help="Seconds that a day takes. Default: the configuration's.")
@click.option("--repeat", is_flag=True, help="Start the day again when it is over; only the first one is scored.")
def main(
    config_file: Path,
    kubeconfig: Path,
    port: int,
    starts_at: float,
    seed: int | None,
    day_seconds: float | None,
    repeat: bool,
) -> None:
    """Stand for the vLLM replicas that the cluster says are Ready."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    try:
        config = load_config(config_file).adjusted(seed, day_seconds)
        server = FleetServer(config, ServerOptions(kubeconfig, port, starts_at, repeat=repeat))
        asyncio.run(_run(server))
    except* FleetError as errors:
        raise click.ClickException(str(errors.exceptions[0])) from None
    except* OSError as errors:
        raise click.ClickException(f"port {port}: {errors.exceptions[0]}") from None


async def _run(server: FleetServer) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await serve(server, stop)


if __name__ == "__main__":
    sys.exit(main(prog_name="python -m spillway_dev.fleet"))
