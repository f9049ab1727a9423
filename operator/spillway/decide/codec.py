"""Exact JSON for frozen values, driven by their annotations: what is read back is what was written.

Dataclasses and models become objects in field order, mappings keep their order, floats are written so that they read
back bit for bit, numpy arrays carry dtype, shape and memory order. A field that is None by default and by value is
left out. Nothing is registered by hand: a new field or class is covered as soon as its annotation says what it is.
"""

from __future__ import annotations

import json
import types
from collections import abc
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

from spillway.api.common import Model, ObjectMeta
from spillway.decide.codec_leaves import (
    Codec,
    CodecError,
    Json,
    decode_array,
    decode_decimal,
    decode_plain,
    decode_scalar,
    encode_array,
    encode_plain,
    encode_scalar,
    enumeration,
    literal,
    shown,
)

__all__ = ["Codec", "CodecError", "Json", "canonical", "codec_of"]

OMITTED = frozenset({(ObjectMeta, "annotations")})
"""Never written: nothing is decided on them, and kubectl keeps whole manifests there."""
NATURAL: tuple[type, ...] = (str, bool, int, float)


def canonical(document: Json) -> bytes:
    """The one text of a JSON document: ASCII, no spaces, keys in the order given."""
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode("ascii")


@cache
def codec_of(annotation: Any) -> Codec:
    """The codec of an annotation; ``object`` means numbers, texts, None and tuples of such.

    Raises ``CodecError`` for one that says too little (``Any``, a Protocol).
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return codec_of(arguments[0])
    if supertype := getattr(annotation, "__supertype__", None):  # a NewType
        return codec_of(supertype)
    if origin in (Union, types.UnionType):
        return _union(arguments)
    if origin is Literal:
        return literal(arguments)
    if origin is np.ndarray or annotation is np.ndarray:
        return Codec(encode_array, decode_array)
    if isinstance(origin, type):
        return _container(origin, arguments, annotation)
    if isinstance(annotation, type):
        return _simple(annotation)
    raise CodecError(f"values annotated {annotation!r} can't be recorded; annotate what they are")


def _simple(kind: type) -> Codec:
    if is_dataclass(kind) or issubclass(kind, Model):
        return _Structure(kind).codec()
    if issubclass(kind, Enum):
        return enumeration(kind)
    if kind is object:
        return Codec(encode_plain, decode_plain)
    if kind is Decimal:
        return Codec(str, decode_decimal)
    if kind is type(None) or kind in NATURAL:
        return Codec(encode_scalar, lambda document: decode_scalar(document, kind))
    if issubclass(kind, np.generic):
        return Codec(encode_scalar, lambda document: decode_scalar(document, float))
    raise CodecError(f"values annotated {kind.__name__} can't be recorded; annotate what they are")


# Containers.


def _container(origin: type, arguments: tuple[Any, ...], annotation: Any) -> Codec:
    if origin is tuple:
        return _tuple(arguments)
    if origin in (list, abc.Sequence):
        return _items(codec_of(arguments[0]), list if origin is list else tuple)
    if origin in (set, frozenset, abc.Set):
        items = _items(codec_of(arguments[0]), set if origin is set else frozenset)
        return Codec(lambda found: sorted(items.encode(found), key=canonical), items.decode)
    if origin in (dict, abc.Mapping):
        return _mapping(*arguments)
    raise CodecError(f"values annotated {annotation!r} can't be recorded; annotate what they are")


def _items(each: Codec, make: Callable[[list[Any]], Any]) -> Codec:
    return Codec(
        lambda found: [_within(f"[{index}]", each.encode, item) for index, item in enumerate(found)],
        lambda document: make([_within(f"[{i}]", each.decode, item) for i, item in enumerate(_listed(document))]),
    )


def _tuple(arguments: tuple[Any, ...]) -> Codec:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return _items(codec_of(arguments[0]), tuple)
    each = [codec_of(argument) for argument in arguments if argument != ()]

    def encode(found: tuple[Any, ...]) -> Json:
        if len(found) != len(each):
            raise CodecError(f"{len(found)} items where {len(each)} were annotated")
        return [_within(f"[{i}]", codec.encode, item) for i, (codec, item) in enumerate(zip(each, found, strict=True))]

    def decode(document: Json) -> Any:
        items = _listed(document)
        if len(items) != len(each):
            raise CodecError(f"{len(items)} items where {len(each)} were expected")
        return tuple(
            _within(f"[{i}]", codec.decode, item) for i, (codec, item) in enumerate(zip(each, items, strict=True))
        )

    return Codec(encode, decode)


def _mapping(key: Any, value: Any) -> Codec:
    """An object where keys are texts, else a list of pairs; the order is part of the value."""
    values = codec_of(value)
    if key is not str:
        pairs = _items(_tuple((key, value)), dict)
        return Codec(lambda found: pairs.encode(found.items()), pairs.decode)

    def decode(document: Json) -> Any:
        if not isinstance(document, dict):
            raise CodecError(f"{shown(document)} where an object was expected")
        return {name: _within(f"[{name}]", values.decode, item) for name, item in document.items()}

    return Codec(lambda found: {str(k): _within(f"[{k}]", values.encode, item) for k, item in found.items()}, decode)


def _union(members: tuple[Any, ...]) -> Codec:
    """None beside one type; plain JSON scalars; else the member's name stands beside the value."""
    others = tuple(member for member in members if member is not type(None))
    if len(others) == 1:
        one = codec_of(others[0])
    elif all(other in NATURAL for other in others):
        one = _scalars(others)
    else:
        one = _tagged({getattr(get_origin(other) or other, "__name__", str(other)): other for other in others})
    if len(others) == len(members):
        return one
    return Codec(
        lambda value: None if value is None else one.encode(value),
        lambda document: None if document is None else one.decode(document),
    )


def _scalars(kinds: tuple[type, ...]) -> Codec:
    def decode(document: Json) -> Any:
        for kind in kinds:
            if isinstance(document, kind):
                return document
        return decode_scalar(document, kinds[-1])

    if str in kinds and float in kinds:
        raise CodecError("a text or a float can't be told apart; annotate one of them")
    return Codec(encode_scalar, decode)


def _tagged(members: Mapping[str, Any]) -> Codec:
    codecs = {name: codec_of(member) for name, member in members.items()}

    def encode(value: Any) -> Json:
        name = type(value).__name__
        if name not in codecs:
            raise CodecError(f"{name} where one of {', '.join(codecs)} was annotated")
        return {"type": name, "value": codecs[name].encode(value)}

    def decode(document: Json) -> Any:
        if not isinstance(document, dict) or document.get("type") not in codecs:
            raise CodecError(f"{shown(document)} is none of {', '.join(codecs)}")
        return codecs[document["type"]].decode(document.get("value"))

    return Codec(encode, decode)


# Dataclasses and models.


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    codec: Codec
    optional: bool
    """Has a default."""
    none_by_default: bool


class _Structure:
    """Fields are looked up at first use: a class may hold its own kind."""

    def __init__(self, kind: type) -> None:
        self._kind = kind
        self._found: tuple[_Member, ...] | None = None

    def codec(self) -> Codec:
        return Codec(self.encode, self.decode)

    def _members(self) -> tuple[_Member, ...]:
        if self._found is None:
            hints = get_type_hints(self._kind)
            self._found = tuple(
                _Member(name, _within(f".{name}", codec_of, hints[name]), default is not MISSING, default is None)
                for name, default in _defaults(self._kind).items()
                if (self._kind, name) not in OMITTED
            )
        return self._found

    def encode(self, value: Any) -> Json:
        if type(value) is not self._kind:
            raise CodecError(f"{type(value).__name__} where {self._kind.__name__} was annotated")
        return {
            member.name: _within(f".{member.name}", member.codec.encode, found)
            for member in self._members()
            if (found := getattr(value, member.name)) is not None or not member.none_by_default
        }

    def decode(self, document: Json) -> Any:
        if not isinstance(document, dict):
            raise CodecError(f"{shown(document)} where {self._kind.__name__} was expected")
        members = self._members()
        if unknown := document.keys() - {member.name for member in members}:
            raise CodecError(f"{self._kind.__name__} of this release has no field {min(unknown)}")
        if lacking := [m.name for m in members if not m.optional and m.name not in document]:
            raise CodecError(f"{self._kind.__name__} lacks its field {lacking[0]}")
        values = {
            member.name: _within(f".{member.name}", member.codec.decode, document[member.name])
            for member in members
            if member.name in document
        }
        if issubclass(self._kind, Model):
            # As it was: a manifest that the apiserver once took is not judged anew.
            return self._kind.model_construct(**values)
        return self._kind(**values)


def _defaults(kind: Any) -> dict[str, Any]:
    """Default by field; MISSING where there is none. A default that is made anew counts as one."""
    if issubclass(kind, Model):
        return {
            name: MISSING if field.is_required() else field.default if field.default_factory is None else ()
            for name, field in kind.model_fields.items()
        }
    return {
        field.name: field.default if field.default_factory is MISSING else () for field in fields(kind) if field.init
    }


def _within(step: str, work: Callable[[Any], Any], value: Any) -> Any:
    try:
        return work(value)
    except CodecError as error:
        raise error.under(step) from error


def _listed(document: Json) -> list[Any]:
    if not isinstance(document, list):
        raise CodecError(f"{shown(document)} where a list was expected")
    return document
