"""`python -m spillway_dev.upstreams`: one upstream until SIGTERM."""

from __future__ import annotations

import asyncio
import sys

import click

from spillway_dev.upstreams.server import Behaviour, UpstreamServer


@click.command()
@click.option("--name", required=True, help="Told in the response header x-served-by.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Loopback address to listen on.")
@click.option("--port", required=True, type=click.IntRange(1, 65535))
@click.option("--token-seconds", type=click.FloatRange(0), default=0.0, show_default=True, help="Pause before a token.")
@click.option("--limit", type=click.IntRange(0), help="Requests in flight above which it refuses (no limit).")
@click.option("--refuse-status", type=click.Choice(["429", "503"]), default="503", show_default=True)
def main(name: str, host: str, port: int, token_seconds: float, limit: int | None, refuse_status: str) -> None:
    """Answer /v1/chat/completions as OpenAI's API does, streams included, without any model."""
    behaviour = Behaviour(token_seconds=token_seconds, limit=limit, refuse_status=int(refuse_status))
    try:
        asyncio.run(UpstreamServer(name, behaviour).run(host, port))
    except OSError as error:
        raise click.ClickException(f"{host}:{port}: {error.strerror}") from error


if __name__ == "__main__":
    sys.exit(main(prog_name="python -m spillway_dev.upstreams"))
