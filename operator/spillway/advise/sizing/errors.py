"""What sizing refuses, and how it names what was meant instead."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class SizingError(ValueError):
    """The question can't be answered: one line that names the input and the way out."""


def normal(name: str) -> str:
    """A name without case, separators and owner: "meta-llama/Llama-3.1-8B" becomes "llama318b"."""
    return "".join(sign for sign in name.rsplit("/", 1)[-1].lower() if sign.isalnum())


def nearest(wanted: str, names: Iterable[str], count: int = 3) -> list[str]:
    """The names most like the one wanted, best first."""
    by_normal = {normal(name): name for name in names}
    key = normal(wanted)
    found = get_close_matches(key, by_normal, n=count, cutoff=0.4)
    found += [each for each in by_normal if key and (key in each or each in key) and each not in found]
    return [by_normal[each] for each in found[:count]]
