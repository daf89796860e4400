"""The kernel's control groups, versions 1 and 2: who may use how much CPU, and how much was used.

A group's name is its path below the root of a hierarchy. In version 1 quotas and accounts live in
two hierarchies, which may be mounted together; every group is made in both. In version 2 there is
one; the controller is switched on for the groups above where it is not, and stays on.
"""

from __future__ import annotations

import abc
import contextlib
import errno
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from swath.errors import ClusterError

PROCESSES = "cgroup.procs"

REMOVE_TIMEOUT = 1.0


class ControlGroups(abc.ABC):
    """One version of them; ``roots``: where its hierarchies are mounted, by their name in
    ``/proc/PID/cgroup``."""

    def __init__(self, roots: Mapping[str, Path]) -> None:
        self.roots = dict(roots)

    @property
    def directories(self) -> list[Path]:
        """The roots, each once."""
        return list(dict.fromkeys(self.roots.values()))

    @abc.abstractmethod
    def make(self, group: str) -> None:
        """Make a group, and the one above it."""

    @abc.abstractmethod
    def limit(self, group: str, quota: int, period: int) -> None:
        """Let a group use ``quota`` microseconds of CPU in every ``period`` microseconds."""

    @abc.abstractmethod
    def unlimit(self, group: str) -> None:
        """Let a group use what there is."""

    @abc.abstractmethod
    def yield_to_others(self, group: str) -> None:
        """Let a group have what nobody else wants; as good as nothing else on old kernels."""

    @abc.abstractmethod
    def used(self, group: str) -> float:
        """Seconds of CPU that a group has used."""

    def remove(self, group: str) -> None:
        """Remove a group and those below it, all without processes."""
        for root in self.directories:
            for path in (*(root / group).glob("*/"), root / group):
                _remove_directory(path)

    def names(self) -> list[str]:
        """The groups right below the roots."""
        found = (path.name for root in self.directories for path in root.glob("*/"))
        return sorted(set(found))

    def move(self, pid: int, group: str) -> None:
        """Move a process, with all its threads. Raises ProcessLookupError where it has ended."""
        for root in self.directories:
            self._write(root / group / PROCESSES, str(pid))

    def places(self, pid: int) -> dict[str, str]:
        """Where a process is: by hierarchy, a path. Raises ProcessLookupError where it has
        ended."""
        try:
            text = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8")
        except FileNotFoundError:
            raise ProcessLookupError(errno.ESRCH, "it has ended", pid) from None
        return parse_places(text, self.roots)

    def put_back(self, pid: int, places: Mapping[str, str]) -> None:
        """Move a process to where `places` said it was."""
        for hierarchy, place in places.items():
            self._write(self.roots[hierarchy] / place.lstrip("/") / PROCESSES, str(pid))

    def processes(self, group: str) -> list[int]:
        """Of a group and those below it."""
        found: set[int] = set()
        for root in self.directories:
            for path in (root / group).rglob(PROCESSES):
                with contextlib.suppress(OSError):  # Removed meanwhile.
                    found.update(int(line) for line in path.read_text().split())
        return sorted(found)

    def _make_directories(self, group: str) -> None:
        for root in self.directories:
            path = root / group
            try:
                path.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise ClusterError(
                    f"{path} cannot be made: {error.strerror}; a lab needs control groups that it "
                    "may write, so run it as root, outside a container or in a privileged one"
                ) from None

    def _make_idle(self, path: Path, weight: str, least: int) -> None:
        """By its weight, a file's name, where the kernel (before Linux 5.15) knows no better."""
        if (path / "cpu.idle").exists():
            self._write(path / "cpu.idle", "1")
        else:
            self._write(path / weight, str(least))

    def _write(self, path: Path, text: str) -> None:
        try:
            path.write_text(text)
        except ProcessLookupError:
            raise
        except OSError as error:
            raise ClusterError(f"{path}: cannot write {text!r}: {error.strerror}") from None


class VersionOne(ControlGroups):
    """``cpu`` keeps quotas, ``cpuacct`` accounts."""

    def make(self, group: str) -> None:
        self._make_directories(group)

    def limit(self, group: str, quota: int, period: int) -> None:
        path = self.roots["cpu"] / group
        # The kernel judges quota and period together at each write: no quota fits any period.
        self.unlimit(group)
        self._write(path / "cpu.cfs_period_us", str(period))
        self._write(path / "cpu.cfs_quota_us", str(quota))

    def unlimit(self, group: str) -> None:
        self._write(self.roots["cpu"] / group / "cpu.cfs_quota_us", "-1")

    def yield_to_others(self, group: str) -> None:
        self._make_idle(self.roots["cpu"] / group, "cpu.shares", 2)

    def used(self, group: str) -> float:
        path = self.roots["cpuacct"] / group / "cpuacct.usage"
        return int(path.read_text()) * 1e-9


class VersionTwo(ControlGroups):
    """Everything in one hierarchy, whose name in ``/proc/PID/cgroup`` is empty."""

    def make(self, group: str) -> None:
        self._make_directories(group)
        root = self.roots[""]
        for path in (root, (root / group).parent):
            switch = path / "cgroup.subtree_control"
            if "cpu" not in _words(switch):
                self._write(switch, "+cpu")

    def limit(self, group: str, quota: int, period: int) -> None:
        self._write(self.roots[""] / group / "cpu.max", f"{quota} {period}")

    def unlimit(self, group: str) -> None:
        self._write(self.roots[""] / group / "cpu.max", "max")

    def yield_to_others(self, group: str) -> None:
        self._make_idle(self.roots[""] / group, "cpu.weight", 1)

    def used(self, group: str) -> float:
        text = (self.roots[""] / group / "cpu.stat").read_text()
        return int(dict(line.split() for line in text.splitlines())["usage_usec"]) * 1e-6


def find_control_groups(mounts: str | None = None) -> ControlGroups:
    """Those of this machine that ration CPU; ``mounts`` is what ``/proc/self/mountinfo`` says.

    Raises ClusterError where there are none.
    """
    if mounts is None:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    first: dict[str, Path] = {}
    second: list[Path] = []
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        place = Path(before.split()[4])
        kind, _, options = after.split(maxsplit=2)
        if kind == "cgroup":
            for controller in ("cpu", "cpuacct"):
                if controller in options.split(","):
                    first.setdefault(controller, place)
        elif kind == "cgroup2" and "cpu" in _words(place / "cgroup.controllers"):
            second.append(place)
    if second:
        return VersionTwo({"": second[0]})
    if len(first) == 2:
        return VersionOne(first)
    raise ClusterError(
        "this machine's control groups do not ration CPU, which a lab needs; mount version 2 with "
        "its cpu controller on /sys/fs/cgroup"
    )


def parse_places(text: str, hierarchies: Mapping[str, object]) -> dict[str, str]:
    """From ``/proc/PID/cgroup``: by hierarchy, the path of the group that a process is in."""
    found = {}
    for line in text.splitlines():
        _, controllers, place = line.split(":", 2)
        for controller in controllers.split(","):
            if controller in hierarchies:
                found[controller] = place
    return found


def _remove_directory(path: Path) -> None:
    """Raises OSError where processes are left in it."""
    deadline = time.monotonic() + REMOVE_TIMEOUT
    while True:
        try:
            path.rmdir()
        except FileNotFoundError:
            return
        except OSError as error:
            # A process that has ended counts for a moment longer.
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.005)
        else:
            return


def _words(path: Path) -> Sequence[str]:
    try:
        return path.read_text().split()
    except OSError:
        return ()
