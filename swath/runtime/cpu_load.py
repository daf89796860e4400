"""How much of a device's CPU others use now.

In a lab, a container or a Kubernetes pod the system's own figure is the sum over everybody, so a
device with a control group is told by its group: CPU time used there against what its quota
allows. Everything else is told by the system (psutil). This process's own use is taken off, and
what is left is smoothed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

import psutil

from swath.runtime.own_groups import CGROUP_ROOT, OWN_CGROUP, group_paths, upwards, words

HORIZON = 0.3
"""Seconds over which the figure is smoothed: what happened longer ago hardly counts."""


@dataclass(frozen=True, slots=True)
class Group:
    """A control group that limits the CPU: CPU seconds used by all in it, and CPUs allowed."""

    used: Callable[[], float]
    cpus: float


def own_group(root: Path = CGROUP_ROOT, membership: Path = OWN_CGROUP) -> Group | None:
    """This process's control group, or the nearest above it that limits the CPU; None where none
    does. Version 2 has ``cpu.max`` and ``cpu.stat``, version 1 ``cpu.cfs_quota_us`` and
    ``cpuacct.usage``."""
    paths = group_paths(membership)
    for folder in upwards(root, paths.get("")):
        cpus = _ratio(*words(folder / "cpu.max")[:2])
        if cpus is not None and (folder / "cpu.stat").exists():
            return Group(partial(_unified_seconds, folder / "cpu.stat"), cpus)
    accounting = paths.get("cpuacct")
    for controller in ("cpu", "cpu,cpuacct"):
        for folder in upwards(root / controller, paths.get("cpu")):
            quota = words(folder / "cpu.cfs_quota_us") + words(folder / "cpu.cfs_period_us")
            cpus = _ratio(*quota)
            usage = _usage_file(root, folder, root / controller, accounting)
            if cpus is not None and usage is not None:
                return Group(partial(_accounted_seconds, usage), cpus)
    return None


def _usage_file(root: Path, folder: Path, base: Path, accounting: str | None) -> Path | None:
    """Where version 1 counts a group's CPU time: beside its quota, or in a tree of its own."""
    beside = folder / "cpuacct.usage"
    if beside.exists():
        return beside
    if accounting is None:
        return None
    apart = root / "cpuacct" / folder.relative_to(base) / "cpuacct.usage"
    return apart if apart.exists() else None


def _ratio(quota: str = "", period: str = "") -> float | None:
    """CPUs that a quota allows; None where there is none ("max" or -1)."""
    try:
        cpus = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):
        return None
    return cpus if cpus > 0 else None


def _unified_seconds(stat: Path) -> float:
    for line in stat.read_text(encoding="ascii").splitlines():
        name, value = line.split()
        if name == "usage_usec":
            return int(value) * 1e-6
    return 0.0


def _accounted_seconds(usage: Path) -> float:
    return int(usage.read_text(encoding="ascii")) * 1e-9


def _system_seconds() -> float:
    """CPU seconds that all CPUs were busy since the machine started."""
    times = psutil.cpu_times()
    # Guests' time is within user and nice; idle and waiting for devices is not busy.
    return float(times.user + times.nice + times.system + times.irq + times.softirq + times.steal)


@dataclass(slots=True)
class CpuLoad:
    """Share of a device's CPU that others use: ask again and again, it is smoothed over time.

    ``used``: CPU seconds of everybody on the device, ``own``: of this process, ``clock``: seconds;
    ``cpus``: how many CPUs the device has.
    """

    used: Callable[[], float]
    cpus: float
    own: Callable[[], float] = time.process_time
    clock: Callable[[], float] = time.monotonic
    share: float = 0.0
    _last: tuple[float, float, float] | None = None

    @classmethod
    def of_this_device(cls, root: Path = CGROUP_ROOT, membership: Path = OWN_CGROUP) -> Self:
        """By this process's control group where that limits the CPU, else by the system."""
        group = own_group(root, membership)
        if group is not None:
            return cls(group.used, group.cpus)
        return cls(_system_seconds, float(psutil.cpu_count() or 1))

    def sample(self) -> float:
        """Look now; returns the smoothed share, 0 to 1. The first look only notes the counters."""
        now = (self.clock(), self.used(), self.own())
        if self._last is None:
            self._last = now
            return self.share
        passed, used, own = (new - old for new, old in zip(now, self._last, strict=True))
        if passed <= 0:
            return self.share
        latest = min(1.0, max(0.0, (used - own) / (passed * self.cpus)))
        weight = 1 - math.exp(-passed / HORIZON)
        self.share += weight * (latest - self.share)
        self._last = now
        return self.share
