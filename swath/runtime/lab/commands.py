"""What the lab has other programs do: ``ip``, ``tc`` and ``bridge`` of iproute2, many lines at a
time."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence

from swath.errors import ClusterError

PROGRAMS = ("ip", "tc", "bridge", "nsenter")

PATH = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"
"""Where root's programs are, also when a user's PATH does not say so."""

_FAILED_LINE = re.compile(r"^Command failed -:(\d+)$", re.MULTILINE)


def find_program(name: str) -> str:
    """Path of a program; raises ClusterError where there is none."""
    path = shutil.which(name, path=PATH)
    if path is None:
        package = "util-linux" if name == "nsenter" else "iproute2"
        raise ClusterError(f"a lab needs '{name}', which is not here; 'apt install {package}'")
    return path


def batch(program: str, lines: Sequence[str], namespace: str | None = None) -> None:
    """Let ``ip``, ``tc`` or ``bridge`` do these lines, inside a network namespace if one is named.

    Raises ClusterError that names the first line that failed and what the program said of it.
    """
    if not lines:
        return
    command = [find_program(program), *(["-n", namespace] if namespace else []), "-batch", "-"]
    # A process group of its own: Ctrl-C must not end it half way.
    done = subprocess.run(
        command, input="\n".join(lines) + "\n", capture_output=True, text=True, process_group=0
    )
    if done.returncode == 0:
        return
    failed = _FAILED_LINE.search(done.stderr)
    what = f"{program} {lines[int(failed[1]) - 1]}" if failed else program
    said = " ".join(_FAILED_LINE.sub("", done.stderr).split())
    raise ClusterError(f"'{what}' failed: {said or f'status {done.returncode}'}")
