"""Where and how the workers of one machine are scheduled.

Left alone, the scheduler puts a woken worker on the core of another and needs milliseconds to see
that a core idles, as long as a small model takes: so workers stay on cores of their own. And a
worker on the coordinator's core is woken by each 32 KB of its input, takes the core, finds that
nothing more has come yet, and gives it back: a MobileNetV2 took 8.0 ms instead of 6.4 in the one
process out of four that met there. So workers do not preempt whoever wakes them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path


def assign_cores(workers: int, threads: int) -> list[set[int]]:
    """Logical CPUs of each worker; empty sets (anywhere) where there are fewer than threads."""
    available = sorted(os.sched_getaffinity(0))
    if workers * threads > len(available):
        return [set() for _ in range(workers)]
    chosen = one_per_core_first(available, _siblings)
    return [set(chosen[i * threads : (i + 1) * threads]) for i in range(workers)]


def settle(pid: int, cores: set[int]) -> None:
    """Keep a process, just started, on these cores (anywhere, if none), and from taking a core from
    the one who wakes it. Raises ProcessLookupError where it has ended."""
    if cores:
        os.sched_setaffinity(pid, cores)
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(pid, os.SCHED_BATCH, os.sched_param(0))


def keep_on(pid: int, cores: Iterable[int]) -> None:
    """Keep a process with all its threads, and what they start from now on, on these cores. Raises
    ProcessLookupError where it has ended."""
    os.sched_setaffinity(pid, cores)
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(ProcessLookupError):  # This thread alone has.
            os.sched_setaffinity(int(thread.name), cores)


def one_per_core_first(cpus: Sequence[int], siblings: Callable[[int], frozenset[int]]) -> list[int]:
    """Logical CPUs, the last ones first (most programs are found on the first), and of each
    physical core one before any core's second."""
    first: list[int] = []
    rest: list[int] = []
    seen: set[int] = set()
    for cpu in reversed(cpus):
        (rest if cpu in seen else first).append(cpu)
        seen |= siblings(cpu)
    return first + rest


def _siblings(cpu: int) -> frozenset[int]:
    """The logical CPUs of the same physical core, itself included."""
    path = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
    try:
        return parse_cpu_list(path.read_text())
    except (OSError, ValueError):
        return frozenset({cpu})


def parse_cpu_list(text: str) -> frozenset[int]:
    """Linux's ``0-3,8`` as a set; raises ValueError for anything else."""
    cpus: set[int] = set()
    for item in text.strip().split(","):
        lo, _, hi = item.partition("-")
        cpus.update(range(int(lo), int(hi or lo) + 1))
    return frozenset(cpus)
