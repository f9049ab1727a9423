"""Compilation of the simulator's inner loops, with types kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile to machine code on first use; the code is kept on disk next to the source."""
    return njit(cache=True, error_model="numpy")(function)  # type: ignore[no-any-return]


def inlined(function: Function) -> Function:
    """As `compiled`, and inlined into whoever calls it: for what runs once an event."""
    return njit(cache=True, error_model="numpy", forceinline=True)(function)  # type: ignore[no-any-return]
