"""`python -m spillway_dev.upstreams`: one upstream until SIGTERM."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import click

from spillway.simulate.replica import ReplicaProfile
from spillway_dev.fleet.engine_metrics import EngineMetrics
from spillway_dev.upstreams.egress import EgressMetrics
from spillway_dev.upstreams.engine import BatchEngine
from spillway_dev.upstreams.server import Behaviour, UpstreamServer


@click.command()
@click.option("--name", required=True, help="Told in the response header x-served-by.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Loopback address to listen on.")
@click.option("--port", required=True, type=click.IntRange(1, 65535))
@click.option("--token-seconds", type=click.FloatRange(0), default=0.0, show_default=True, help="Pause before a token.")
@click.option("--limit", type=click.IntRange(0), help="Requests in flight above which it refuses (no limit).")
@click.option("--refuse-status", type=click.Choice(["429", "503"]), default="503", show_default=True)
@click.option("--engine", help="As JSON: profile (of ReplicaProfile), model, namespace, pod. It serves by iterations.")
@click.option("--egress", help="As JSON: model, team. Its answers are counted under LiteLLM's names.")
def main(
    name: str,
    host: str,
    port: int,
    token_seconds: float,
    limit: int | None,
    refuse_status: str,
    engine: str | None,
    egress: str | None,
) -> None:
    """Answer /v1/chat/completions as OpenAI's API does, streams included, without any model."""
    behaviour = Behaviour(token_seconds=token_seconds, limit=limit, refuse_status=int(refuse_status))
    try:
        server = UpstreamServer(
            name,
            behaviour,
            None if engine is None else _engine(json.loads(engine)),
            None if egress is None else EgressMetrics(**json.loads(egress)),
        )
    except (ValueError, TypeError, KeyError) as error:
        raise click.ClickException(f"upstream {name}: --engine or --egress: {error}") from error
    try:
        asyncio.run(server.run(host, port))
    except OSError as error:
        raise click.ClickException(f"{host}:{port}: {error.strerror}") from error


def _engine(settings: dict[str, Any]) -> BatchEngine:
    metrics = EngineMetrics(settings["model"], settings["namespace"], settings["pod"])
    return BatchEngine(ReplicaProfile(**settings["profile"]), metrics)


if __name__ == "__main__":
    sys.exit(main(prog_name="python -m spillway_dev.upstreams"))
