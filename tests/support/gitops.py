"""The program that runs Argo CD's and Flux' own libraries, and both tools as field managers on a real apiserver.

Neither controller runs. What they do to an object is done by their code (`spillway_dev/tools/gitops`) and, for Argo CD,
which applies by kubectl's code, by kubectl.
"""

from __future__ import annotations

import json
import subprocess
from typing import Any

from spillway_dev.toolchain import Tools

JSON = dict[str, Any]


class GitOpsError(Exception):
    """The tool failed; carries what it said."""


def ask(tools: Tools, command: str, request: JSON) -> Any:
    """One request to the program."""
    done = subprocess.run(
        [tools.path("gitops"), command],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode != 0:
        raise GitOpsError(done.stderr.strip())
    return json.loads(done.stdout)
