"""Whether this process may make a lab."""

from __future__ import annotations

import os
from pathlib import Path

from swath.errors import ClusterError
from swath.runtime.lab.commands import PROGRAMS, find_program

_CAPABILITIES = {12: "CAP_NET_ADMIN", 21: "CAP_SYS_ADMIN"}
"""For interfaces and their queues; for namespaces and control groups."""


def require_rights() -> None:
    """Raises ClusterError that says what is missing."""
    if not Path("/proc/self/ns/net").exists():
        raise ClusterError("a lab needs Linux with network namespaces; run it on such a machine")
    if os.geteuid() != 0:
        raise ClusterError(
            "a lab needs root, for network namespaces and CPU quotas; try 'sudo swath lab run ...'"
        )
    status = Path("/proc/self/status").read_text()
    held = next(line for line in status.splitlines() if line.startswith("CapEff:")).split()[1]
    for number, name in _CAPABILITIES.items():
        if not int(held, 16) >> number & 1:
            raise ClusterError(
                f"a lab needs {name}, which root lacks here; run it outside the container, or give "
                "the container '--privileged'"
            )
    for program in PROGRAMS:
        find_program(program)
