"""What labs leave: who owns a lab, taking one down, and what those left whose owner has ended.

A lab's name, ``swath-`` and eight hexadecimal digits, begins the names of all that it makes: its
network namespaces, its control groups, and a file under ``/run/swath`` that says which process
owns it, made first and removed last. So a lab can be taken down by whoever knows its name.
"""

from __future__ import annotations

import os
import re
import secrets
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from swath.errors import ClusterError
from swath.runtime.lab.control_groups import ControlGroups, find_control_groups
from swath.runtime.lab.namespaces import NAMESPACES, processes_inside, remove_namespaces
from swath.runtime.lab.rights import require_rights

OWNERS = Path("/run/swath")

END_TIMEOUT = 5.0
"""Seconds for killed processes to be gone."""

_NAME = re.compile(r"(swath-[0-9a-f]{8})(-.+)?")


@dataclass(frozen=True, slots=True)
class Remains:
    """What is left of a lab: names of network namespaces and of control groups, and the processes
    that still run in any of them."""

    lab: str
    namespaces: tuple[str, ...]
    control_groups: tuple[str, ...]
    processes: tuple[int, ...]

    def names(self) -> list[str]:
        """What there is, for a person."""
        return [
            *(f"process {pid}" for pid in self.processes),
            *(f"network namespace {namespace}" for namespace in self.namespaces),
            *(f"control group {group}" for group in self.control_groups),
        ]


def claim_name() -> str:
    """A new lab's name, owned by this process."""
    OWNERS.mkdir(exist_ok=True)
    name = f"swath-{secrets.token_hex(4)}"
    unfinished = OWNERS / f".{name}"  # Nobody must find a name without an owner.
    unfinished.write_text(f"{os.getpid()} {_started(os.getpid())}\n")
    unfinished.rename(OWNERS / name)
    return name


def remains() -> list[Remains]:
    """Of every lab whose owner has ended without cleaning up. Needs root."""
    require_rights()
    groups = find_control_groups()
    names = [path.name for folder in (NAMESPACES, OWNERS) for path in folder.glob("swath-*")]
    labs = {match[1] for name in (*names, *groups.names()) if (match := _NAME.fullmatch(name))}
    return [_left(lab, groups) for lab in sorted(labs) if not _is_owned(lab)]


def clean_up() -> list[str]:
    """Remove all `remains`, end the processes that run in them, and say what is gone. Needs
    root."""
    found = remains()
    for left in found:
        take_down(left.lab)
    return [name for left in found for name in left.names()]


def take_down(lab: str) -> None:
    """End what runs in a lab, but this process, and remove all that the lab made.

    Raises ClusterError where something resists.
    """
    groups = find_control_groups()
    _end_processes(lab, groups)
    left = _left(lab, groups)
    remove_namespaces(left.namespaces)
    try:
        for group in left.control_groups:
            groups.remove(group)
    except OSError as error:
        raise ClusterError(
            f"control group {error.filename or lab} cannot be removed: {error.strerror}; "
            "try 'swath lab clean'"
        ) from None
    (OWNERS / lab).unlink(missing_ok=True)


def _left(lab: str, groups: ControlGroups) -> Remains:
    paths = NAMESPACES.glob(f"{lab}*")
    namespaces = tuple(sorted(path.name for path in paths if _is_of(lab, path.name)))
    rationing = tuple(name for name in groups.names() if _is_of(lab, name))
    inside = set(processes_inside(namespaces)).union(*map(groups.processes, rationing))
    return Remains(lab, namespaces, rationing, tuple(sorted(inside - {os.getpid()})))


def _is_of(lab: str, name: str) -> bool:
    match = _NAME.fullmatch(name)
    return match is not None and match[1] == lab


def _end_processes(lab: str, groups: ControlGroups) -> None:
    deadline = time.monotonic() + END_TIMEOUT
    while processes := _left(lab, groups).processes:
        if time.monotonic() > deadline:
            raise ClusterError(f"processes {processes} of the lab {lab} do not end when killed")
        for pid in processes:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.01)


def _is_owned(lab: str) -> bool:
    try:
        pid, started = (OWNERS / lab).read_text().split()
        return _started(int(pid)) == started
    except (OSError, ValueError):
        return False


def _started(pid: int) -> str:
    """When a process started, in ticks since this machine did: with its number, it is one of a
    kind. Raises OSError where there is none."""
    # The name of its program, in brackets, may hold anything.
    state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    if state == "Z":  # It has ended, and whoever started it has not looked yet.
        raise ProcessLookupError
    return rest[18]
