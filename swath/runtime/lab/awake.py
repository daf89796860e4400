"""Cores that do not fall asleep while a lab is up.

A core with nothing to do sleeps, and a virtual machine's core that sleeps is woken by its host,
which on a busy host takes tens of milliseconds: a link that lets a burst through every millisecond
then carries a fraction of its rate, and every message is late. So one process per core asks for
the time that nobody else wants, and gives it back at once when somebody does.
"""

from __future__ import annotations

import os
import subprocess
import sys

from swath.runtime.lab.control_groups import ControlGroups

# Asking the kernel each time leaves a core's other thread most of the core, and ends it when its
# owner has ended.
_STAY_AWAKE = """
import os, sys
core, owner = map(int, sys.argv[1:])
os.sched_setaffinity(0, {core})
os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
parent = os.getppid
while parent() == owner:
    pass
"""


class Awake:
    """Processes, in a control group of this name that is made for them, that keep the cores of
    this process awake until they are ended."""

    def __init__(self, groups: ControlGroups, group: str) -> None:
        groups.make(group)
        groups.yield_to_others(group)
        self._processes: list[subprocess.Popen[bytes]] = []
        try:
            for core in sorted(os.sched_getaffinity(0)):
                words = [str(core), str(os.getpid())]
                command = [sys.executable, "-I", "-S", "-c", _STAY_AWAKE, *words]
                self._processes.append(subprocess.Popen(command, process_group=0))
                groups.move(self._processes[-1].pid, group)
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """Let the cores sleep. Safe to call twice."""
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()
