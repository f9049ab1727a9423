"""Compilation of the simulator's inner loops, with types kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile to machine code on first use; the code is kept on disk next to the source."""
    return _compiled(function, {"error_model": "numpy"})


def inlined(function: Function) -> Function:
    """As `compiled`, and inlined into whoever calls it: for what runs once an event."""
    return _compiled(function, {"error_model": "numpy", "forceinline": True})


def _compiled(function: Function, options: dict[str, Any]) -> Function:
    try:
        return cast(Function, njit(cache=True, **options)(function))
    except RuntimeError:  # no folder to keep code in can be written: compile anew in each process
        return cast(Function, njit(**options)(function))


def forget_stale_code() -> None:
    """Drop compiled code that is older than any source file here: callers hold copies of what they call."""
    folder = Path(__file__).parent
    newest = max(source.stat().st_mtime for source in folder.glob("*.py"))
    for index in (folder / "__pycache__").glob("*.nbi"):
        try:
            if index.stat().st_mtime < newest:
                index.unlink()
        except OSError:
            continue  # another process has just done it, or the folder is read-only


forget_stale_code()
