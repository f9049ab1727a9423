"""Exact JSON for what has no parts: numbers, texts, enums, arrays."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any

import numpy as np

Json = Any
"""What ``json.loads`` gives."""

NONFINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


class CodecError(ValueError):
    """A value that can't be written or read; ``path`` says where."""

    def __init__(self, problem: str, path: str = "") -> None:
        self.problem, self.path = problem, path
        super().__init__(f"{path.lstrip('.')}: {problem}" if path else problem)

    def under(self, step: str) -> CodecError:
        """The same, seen from one level up: ``step`` is ".field" or "[index]"."""
        return CodecError(self.problem, step + self.path)


@dataclass(frozen=True, slots=True)
class Codec:
    """Both ways for one type. Both raise ``CodecError``."""

    encode: Callable[[Any], Json]
    decode: Callable[[Json], Any]


def encode_scalar(value: Any) -> Json:
    """Numbers, texts, None; a numpy scalar with its dtype, what isn't finite as text."""
    if isinstance(value, np.generic):
        return {"dtype": value.dtype.str, "value": encode_scalar(value.item())}
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if value is None or isinstance(value, bool | int | str):
        return value
    raise CodecError(f"{type(value).__name__} where a number or a text was annotated")


def decode_scalar(document: Json, kind: type) -> Any:
    """The other way; ``kind`` is what was annotated. An int stays one where a float was annotated."""
    if isinstance(document, dict) and document.keys() == {"dtype", "value"}:
        dtype = _dtype(document["dtype"])
        return dtype.type(decode_scalar(document["value"], float if dtype.kind == "f" else kind))
    if kind in (float, int) and document in NONFINITE and isinstance(document, str):
        return NONFINITE[document]
    if kind in (float, int, bool) and isinstance(document, bool | int | float):
        return document
    if isinstance(document, kind):
        return document
    raise CodecError(f"{shown(document)} where {'null' if kind is type(None) else kind.__name__} was expected")


def decode_decimal(document: Json) -> Decimal:
    """With the digits that it had."""
    try:
        return Decimal(document)
    except (InvalidOperation, TypeError, ValueError) as error:
        raise CodecError(f"{shown(document)} is no decimal number") from error


def encode_plain(value: Any) -> Json:
    """Scalars and tuples of such, however deep."""
    if isinstance(value, tuple):
        return [encode_plain(item) for item in value]
    scalar = encode_scalar(value)
    return {"float": scalar} if isinstance(value, float) and isinstance(scalar, str) else scalar


def decode_plain(document: Json) -> Any:
    """The other way."""
    if isinstance(document, list):
        return tuple(decode_plain(item) for item in document)
    if isinstance(document, dict):
        return decode_scalar(document.get("float", document), float)
    return document


def enumeration(kind: type[Enum]) -> Codec:
    """By value where all values are texts, else by name."""
    values = {member.value: member for member in kind}
    if all(isinstance(value, str) for value in values):
        return Codec(lambda member: kind(member).value, _chooser(kind.__name__, values))
    return Codec(lambda member: kind(member).name, _chooser(kind.__name__, dict(kind.__members__)))


def literal(values: tuple[Any, ...]) -> Codec:
    """One of the values."""
    return Codec(encode_scalar, _chooser("Literal", {value: value for value in values}))


def _chooser(name: str, members: Mapping[Any, Any]) -> Callable[[Json], Any]:
    def choose(document: Json) -> Any:
        if isinstance(document, str | int) and document in members:
            return members[document]
        raise CodecError(f"{shown(document)} is no value of {name}")

    return choose


def _dtype(text: Json) -> np.dtype[Any]:
    try:
        dtype = np.dtype(str(text))
    except TypeError as error:
        raise CodecError(f"{shown(text)} is no dtype") from error
    if dtype.kind not in "biufc":
        raise CodecError(f"arrays of dtype {dtype} can't be recorded")
    return dtype


def encode_array(array: Any) -> Json:
    """Dtype, shape, order in memory, and the bytes."""
    if not isinstance(array, np.ndarray):
        raise CodecError(f"{type(array).__name__} where an array was annotated")
    _dtype(array.dtype.str)
    # Sums depend on the order in memory.
    order = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
    return {
        "dtype": array.dtype.str,
        "shape": list(array.shape),
        **({"order": order} if order == "F" else {}),
        "base64": base64.b64encode(array.tobytes(order=order)).decode("ascii"),  # type: ignore[arg-type]
    }


def decode_array(document: Json) -> Any:
    """The other way: writable and contiguous."""
    if not isinstance(document, dict):
        raise CodecError(f"{shown(document)} where an array was expected")
    try:
        flat = np.frombuffer(base64.b64decode(document["base64"], validate=True), dtype=_dtype(document["dtype"]))
        return flat.copy().reshape(tuple(document["shape"]), order=document.get("order", "C"))
    except (KeyError, TypeError, ValueError) as error:
        raise CodecError(f"not an array: {error}") from error


def shown(document: Json) -> str:
    """For a message."""
    text = json.dumps(document)
    return text if len(text) <= 40 else f"{text[:37]}..."
