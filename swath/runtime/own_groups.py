"""The control groups that this process is in, of version 1 and 2: where their files lie."""

from __future__ import annotations

from pathlib import Path

CGROUP_ROOT = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")


def group_paths(membership: Path = OWN_CGROUP) -> dict[str, str]:
    """This process's group by controller; "" stands for version 2, which has one for all."""
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    paths = {}
    for line in lines:
        _, controllers, path = line.split(":", 2)
        paths.update(dict.fromkeys(controllers.split(","), path.strip("/")))
    return paths


def upwards(root: Path, path: str | None) -> list[Path]:
    """The folder of a group and those above it, up to the root; inside a container the group's
    path may not be visible, and the root is the group."""
    if path is None:
        return []
    folder = root / path
    found = [folder, *(parent for parent in folder.parents if parent.is_relative_to(root))]
    return [each for each in found if each.is_dir()]


def words(path: Path) -> list[str]:
    """What a file says; nothing where there is none."""
    try:
        return path.read_text(encoding="ascii").split()
    except OSError:
        return []
