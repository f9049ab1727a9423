"""Writes `examples/gitops/argocd/argocd-cm.yaml` from the Lua files beside it: `python -m spillway_dev.argocd`."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parents[2] / "examples" / "gitops" / "argocd"
TARGET = FOLDER / "argocd-cm.yaml"
GROUP = "spillway.dev"
HEAD = """\
# Written by `python -m spillway_dev.argocd` from health/ and actions/. Add it to what your argocd-cm holds:
#   kubectl patch configmap argocd-cm -n argocd --patch-file argocd-cm.yaml
apiVersion: v1
kind: ConfigMap
metadata:
  name: argocd-cm
  namespace: argocd
  labels:
    app.kubernetes.io/part-of: argocd
data:
"""


def render(folder: Path = FOLDER) -> str:
    """The ConfigMap with every health script and every kind's actions, as `argocd-cm` wants them."""
    parts = [HEAD]
    for script in sorted((folder / "health").glob("*.lua")):
        parts.append(_entry(f"resource.customizations.health.{GROUP}_{script.stem}", script.read_text()))
    for kind in sorted(path for path in (folder / "actions").iterdir() if path.is_dir()):
        parts.append(_entry(f"resource.customizations.actions.{GROUP}_{kind.name}", _actions(kind)))
    return "".join(parts)


def _actions(folder: Path) -> str:
    lines = ["discovery.lua: |\n", _indented((folder / "discovery.lua").read_text(), 2), "definitions:\n"]
    for script in sorted(folder.glob("*.lua")):
        if script.stem != "discovery":
            lines += [f"- name: {script.stem}\n", "  action.lua: |\n", _indented(script.read_text(), 4)]
    return "".join(lines)


def _entry(key: str, text: str) -> str:
    return f"  {key}: |\n{_indented(text, 4)}"


def _indented(text: str, by: int) -> str:
    return "".join(f"{' ' * by}{line}" if line.strip() else line for line in text.splitlines(keepends=True))


if __name__ == "__main__":
    TARGET.write_text(render())
