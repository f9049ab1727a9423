"""A small emitter of YAML with comments, for manifests: maps, lists of scalars, lists of maps.

What a cluster says (names, messages) can't break out of a scalar or a comment.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

WIDTH = 110
PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[-./][A-Za-z0-9]+)*")
WORDS = frozenset(("y", "n", "yes", "no", "on", "off", "true", "false", "null"))
"""What YAML 1.1 takes for something else than text."""

UNKNOWN = "not known:"
"""Begins what a person has to put in or to check."""

Scalar = str | int | bool


@dataclass(frozen=True, slots=True)
class Field:
    """One key with its value, and the comments above it."""

    key: str
    value: Value
    notes: tuple[str, ...] = ()


Value = Scalar | tuple[Scalar, ...] | tuple["Field", ...] | tuple[tuple["Field", ...], ...]


def field(key: str, value: Value, *notes: str) -> Field:
    """A field; empty notes are left out."""
    return Field(key, value, tuple(note for note in notes if note))


def document(fields: Sequence[Field], *notes: str) -> str:
    """One YAML document with comments at its head."""
    return "\n".join([*(line for note in notes for line in comment(note, 0)), *_map(fields, 0)]) + "\n"


def comment(text: str, indent: int) -> list[str]:
    """The text as comment lines; line breaks in it are spaces. What is not known begins a line, for grep."""
    prefix = " " * indent + "# "
    words = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    wrapper = textwrap.TextWrapper(
        WIDTH, initial_indent=prefix, subsequent_indent=prefix, break_long_words=False, break_on_hyphens=False
    )
    return [line for part in re.split(rf" (?={UNKNOWN})", words) for line in wrapper.wrap(part)]


def scalar(value: Scalar) -> str:
    """The value as YAML reads it back."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if PLAIN.fullmatch(value) and value.lower() not in WORDS:
        return value
    return '"' + "".join(map(_escaped, value)) + '"'


def _escaped(letter: str) -> str:
    if letter in '"\\':
        return f"\\{letter}"
    if letter.isprintable():
        return letter
    code = ord(letter)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _map(fields: Iterable[Field], indent: int) -> list[str]:
    lines: list[str] = []
    for each in fields:
        lines += [line for note in each.notes for line in comment(note, indent)]
        lines += _field(each, indent)
    return lines


def _field(each: Field, indent: int) -> list[str]:
    head, value = f"{' ' * indent}{scalar(each.key)}:", each.value
    if not isinstance(value, tuple):
        return [f"{head} {scalar(value)}"]
    if not value:
        return [f"{head} []"]
    fields = tuple(one for one in value if isinstance(one, Field))
    if fields:
        short = _flow(fields)
        return [f"{head} {short}"] if short and len(head) + len(short) < WIDTH else [head, *_map(fields, indent + 2)]
    scalars = tuple(one for one in value if isinstance(one, (str, int)))
    if scalars:
        return [f"{head} [{', '.join(map(scalar, scalars))}]"]
    lines = [head]
    for item in value:
        if isinstance(item, tuple):
            lines += _item(item, indent)
    return lines


def _flow(fields: Sequence[Field]) -> str | None:
    """The map on one line; None where one of its values is more than a scalar or has a comment."""
    parts: list[str] = []
    for each in fields:
        if isinstance(each.value, tuple) or each.notes:
            return None
        parts.append(f"{scalar(each.key)}: {scalar(each.value)}")
    return f"{{{', '.join(parts)}}}"


def _item(fields: Sequence[Field], indent: int) -> list[str]:
    """One map of a list; its first key's comments stand above the dash."""
    first, *rest = fields
    lines = [line for note in first.notes for line in comment(note, indent)]
    opened = _map([Field(first.key, first.value)], indent + 2)
    opened[0] = f"{' ' * indent}- {opened[0].lstrip()}"
    return [*lines, *opened, *_map(rest, indent + 2)]
