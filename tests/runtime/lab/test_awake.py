"""Cores that a lab keeps awake: by processes that are in nobody's way, and end with their owner."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from swath.runtime.lab.control_groups import find_control_groups
from swath.runtime.lab.lab import Lab
from tests.runtime.lab.clusters import cluster
from tests.runtime.lab.conftest import needs_root

pytestmark = [needs_root, pytest.mark.usefixtures("no_lab_left")]

# Says how many seconds of CPU it had, and a process that is awake on the same core.
_WORK = """
import os, sys, time
core, pid = map(int, sys.argv[1:])
os.sched_setaffinity(0, {core})
def used(pid):
    with open(f"/proc/{pid}/schedstat") as file:
        return int(file.read().split()[0]) * 1e-9
before = used(os.getpid()), used(pid)
end = time.perf_counter() + 1
while time.perf_counter() < end:
    pass
print(used(os.getpid()) - before[0], used(pid) - before[1])
"""


def test_what_stays_awake_takes_only_what_nobody_wants(eventually):
    with Lab(cluster("a b", {})) as lab:
        awake = find_control_groups().processes(f"{lab.name}-awake")
        cores = sorted(os.sched_getaffinity(0))
        eventually(lambda: [os.sched_getaffinity(pid) for pid in awake] == [{n} for n in cores])
        eventually(lambda: all(os.sched_getscheduler(pid) == os.SCHED_IDLE for pid in awake))
        for core, pid in zip(cores, awake, strict=True):
            eventually(lambda pid=pid: _used(pid) > 0.1, timeout=60.0)  # Others may be busy.
            command = [sys.executable, "-I", "-S", "-c", _WORK, str(core), str(pid)]
            worked, left = map(float, subprocess.check_output(command).split())
            assert left < 0.05 * worked
    assert not [pid for pid in awake if Path(f"/proc/{pid}").exists()]


def _used(pid: int) -> float:
    """Seconds of CPU."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) * 1e-9
