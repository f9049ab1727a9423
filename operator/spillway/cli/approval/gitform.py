"""A change as Git wants it: a kustomize patch, and the lines of a plain manifest."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import jsonpointer
import yaml

from spillway.act.approval.patches import Operations, applied
from spillway.act.approval.sound import Key
from spillway.api.common import API_VERSION

JSON = dict[str, Any]
WIDTH = 100


def to_yaml(document: Any) -> str:
    """YAML in the order that it is given in."""
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=WIDTH)


def target(key: Key) -> JSON:
    """The object as a kustomize patch selects it.

    Without its namespace: where that is set by kustomize's own `namespace:`, a selector with it would match nothing.
    """
    group, _, version = API_VERSION.partition("/")
    return {"group": group, "version": version, "kind": key[0], "name": key[2]}


def git_steps(steps: Operations) -> Operations:
    """The patch for manifests in Git.

    Live objects have defaults that manifests lack, so a value is set whether it is there or not, and what was there is
    not tested: review shows it. Items of lists are tested all the same, for their place may be another's.
    """
    return [
        {**step, "op": "add"} if step["op"] == "replace" and not _item(step["path"]) else step
        for step in steps
        if step["op"] != "test" or _item(step["path"])
    ]


def _item(pointer: str) -> bool:
    """Whether it points at an item of a list."""
    return any(part == "-" or part.isdecimal() for part in pointer.split("/"))


def kustomize_patch(key: Key, steps: Operations) -> str:
    """An entry of `patches:` in a kustomization.yaml."""
    entry = {"target": target(key), "patch": _Block(to_yaml(steps))}
    return yaml.dump({"patches": [entry]}, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=WIDTH)


def snippet(key: Key, item: JSON, steps: Operations) -> str:
    """The object's manifest with what changes alone; lists as a whole. Removed fields stand in a comment.

    Raises PatchError where the patch can't be made.
    """
    after = applied(item, steps)
    meta = {"name": key[2], "namespace": key[1]}
    shown: JSON = {"apiVersion": API_VERSION, "kind": key[0], "metadata": meta}
    gone: list[str] = []
    for path in dict.fromkeys(_field(after, step["path"]) for step in steps if step["op"] != "test"):
        if _has(after, path):
            _put(shown, path, _get(after, path))
        else:
            gone.append(".".join(path))
    return to_yaml(shown) + "".join(f"# remove {field}\n" for field in gone)


def _field(item: JSON, pointer: str) -> tuple[str, ...]:
    """The path as far as it goes through mappings: of a list, the list."""
    found: list[str] = []
    place: Any = item
    for part in pointer.removeprefix("/").split("/"):
        if not isinstance(place, dict):
            break
        key = jsonpointer.unescape(part)
        found.append(key)
        place = place.get(key)
    return tuple(found)


def _has(item: Any, path: Sequence[str]) -> bool:
    for part in path:
        if not isinstance(item, dict) or part not in item:
            return False
        item = item[part]
    return True


def _get(item: Any, path: Sequence[str]) -> Any:
    for part in path:
        item = item[part]
    return copy.deepcopy(item)


def _put(item: JSON, path: Sequence[str], value: Any) -> None:
    for part in path[:-1]:
        item = item.setdefault(part, {})
    item[path[-1]] = value


class _Block(str):
    """Text that YAML shows as a block."""

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    """Knows blocks."""


_Dumper.add_representer(
    _Block, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style="|")
)
