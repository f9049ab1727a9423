"""An interruption (Ctrl-C) carries what it leaves: written, not written, or not known."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from spillway.kube import KubeError

INTERRUPTIONS = (asyncio.CancelledError, KeyboardInterrupt)


@contextmanager
def noting(said: Callable[[], str]) -> Iterator[None]:
    """Adds a note to an interruption of what is within, and lets it go on."""
    try:
        yield
    except INTERRUPTIONS as error:
        error.add_note(said())
        raise


async def checkpoint() -> None:
    """Where an interruption that has come already takes effect: before a write rather than in it."""
    await asyncio.sleep(0)


def unanswered(error: KubeError) -> bool:
    """Whether a write may have been made all the same: it was sent, and no answer of the apiserver's own came back."""
    return (error.status == 0 and error.reason != "NoCredentials") or error.status >= 500
