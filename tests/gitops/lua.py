"""Lua as Argo CD runs it: Lua 5.1 with the libraries `package`, `base` and `table`, no string, math, io or debug.

Argo CD (3.5, util/lua/lua.go) opens these three and an `os` of only `time` and `date`, which is left out here: what
runs without it runs with it. It gives the object as the global `obj`, JSON's null left out, and stops a script after a
second. Its interpreter is gopher-lua; test_interpreters.py runs the same scripts with that.
"""

from __future__ import annotations

from typing import Any

import lupa.lua51

LIMIT_INSTRUCTIONS = 1_000_000
PREPARE = """
function(limit)
  local take = {"string", "math", "io", "os", "debug", "coroutine", "jit", "bit", "python"}
  debug.sethook(function() error("the script takes too long") end, "", limit)
  debug.setmetatable("", nil)  -- else ("x"):upper() would still work
  for _, name in ipairs(take) do
    _G[name] = nil
    package.loaded[name] = nil
    package.preload[name] = nil
  end
end
"""


def run(script: str, obj: Any) -> Any:
    """What the script returns for the object, as JSON would hold it. Raises ``lupa.lua51.LuaError``."""
    runtime: Any = lupa.lua51.LuaRuntime(register_eval=False, unpack_returned_tuples=True)
    runtime.globals()["obj"] = _into(runtime, obj)
    runtime.eval(PREPARE)(LIMIT_INSTRUCTIONS)
    return _out_of(runtime.execute(script))


def act(script: str, obj: Any) -> Any:
    """The object as an action leaves it. Argo CD, too, takes what came as an empty list back for the object it was."""
    return _cleaned(run(script, obj), obj)


def _cleaned(new: Any, old: Any) -> Any:
    if isinstance(new, dict) and isinstance(old, dict):
        return {key: _cleaned(item, old.get(key)) for key, item in new.items()}
    if isinstance(new, list) and isinstance(old, list):
        return [_cleaned(item, before) for item, before in zip(new, [*old, *[None] * len(new)], strict=False)]
    return {} if new == [] and isinstance(old, dict) else new


def _into(runtime: Any, value: Any) -> Any:
    if isinstance(value, dict):
        table = runtime.table()
        for key, item in value.items():
            table[key] = _into(runtime, item)
        return table
    if isinstance(value, list | tuple):
        table = runtime.table()
        for item in value:
            if item is not None:
                table[len(table) + 1] = _into(runtime, item)
        return table
    return value


def _out_of(value: Any) -> Any:
    """Tables with keys 1 to n are lists, as Argo CD's encoder takes them; so is an empty one."""
    if lupa.lua51.lua_type(value) != "table":
        return value
    items = dict(value.items())
    if list(items) == list(range(1, len(items) + 1)):
        return [_out_of(item) for item in items.values()]
    return {key: _out_of(item) for key, item in items.items()}
