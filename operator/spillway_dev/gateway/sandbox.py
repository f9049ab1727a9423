"""A view of this machine's files with a `/certs` of our own, for one program; the machine is untouched.

Envoy Gateway reads its certificates from `/certs`, which can't be configured.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from spillway_dev.processes import ProcessError

# A new root on a tmpfs: every entry of / is bound into it, so that /certs can be added without making it on the disk.
_SCRIPT = """
set -e
root=$1 certs=$2
shift 2
mount -t tmpfs -o mode=755 spillway "$root"
for entry in /* /.[!.]*; do
  name=${entry#/}
  [ "$name" != certs ] || continue
  if [ -L "$entry" ]; then cp -P "$entry" "$root/$name"
  elif [ -d "$entry" ]; then mkdir "$root/$name"; mount --rbind "$entry" "$root/$name"
  elif [ -e "$entry" ]; then : >"$root/$name"; mount --bind "$entry" "$root/$name"
  fi
done
mkdir "$root/certs"
mount --bind "$certs" "$root/certs"
exec chroot "$root" "$@"
"""


def require_sandbox() -> None:
    """See that this user may have a mount namespace.

    Raises:
        ProcessError: it may not; says what would help.
    """
    if shutil.which("unshare") is None:
        raise ProcessError("Envoy Gateway: no program unshare here; it runs on Linux with util-linux only")
    asked = subprocess.run([*_unshare(), "true"], capture_output=True, text=True, check=False)
    if asked.returncode != 0:
        raise ProcessError(
            f"Envoy Gateway: needs a mount namespace ({asked.stderr.strip()}): run as root, or allow unprivileged "
            "user namespaces (on Ubuntu: sysctl kernel.apparmor_restrict_unprivileged_userns=0)"
        )


def sandboxed(command: Sequence[str], *, root: Path, certs: Path) -> list[str]:
    """The command line that runs `command` with `certs` as /certs.

    `root` is an empty folder to build the view in. The program keeps the process id of the command line.
    """
    return [*_unshare(), "/bin/sh", "-c", _SCRIPT, "sandbox", str(root), str(certs), *command]


def _unshare() -> list[str]:
    return ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
