"""Choices among millions of requests."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Selection = NDArray[np.bool_] | slice


def chosen(which: NDArray[np.bool_]) -> Selection:
    """The same choice, as a slice where it is all or a stretch of them: arrays are not copied then."""
    number = int(np.count_nonzero(which))
    first = int(np.argmax(which)) if number else 0
    return slice(first, first + number) if which[first : first + number].all() else which
