"""Results that are found again while the array that they were made from is the very same one."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
P = ParamSpec("P")
R = TypeVar("R")


def recalled(
    most: int,
) -> Callable[[Callable[Concatenate[Floats, P], R]], Callable[Concatenate[Floats, P], R]]:
    """Keep the last ``most`` results of a pure function of an array that nobody changes, and of plain values.

    The arrays are kept with their results, so no other one can take their place.
    """

    def decorate(function: Callable[Concatenate[Floats, P], R]) -> Callable[Concatenate[Floats, P], R]:
        kept: OrderedDict[object, tuple[Floats, R]] = OrderedDict()

        def found(array: Floats, /, *args: P.args, **kwargs: P.kwargs) -> R:
            key = (id(array), args, *kwargs.items())
            known = kept.get(key)
            if known is not None:
                return known[1]
            made = function(array, *args, **kwargs)
            kept[key] = array, made
            while len(kept) > most:
                kept.popitem(last=False)
            return made

        return found

    return decorate
