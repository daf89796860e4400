"""How much memory a device has free now.

The system's own figure, or what a control group still allows where that is less, as in a container
or a Kubernetes pod: what lies there only as a cache of files can be taken back and counts as free.
"""

from __future__ import annotations

from pathlib import Path

import psutil

from swath.runtime.own_groups import CGROUP_ROOT, OWN_CGROUP, group_paths, upwards, words

_FILES = {
    "": ("memory.max", "memory.current", "inactive_file"),
    "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}
"""By controller ("" is version 2): the limit, the use, and the word for the cache in the use."""


def free_memory(root: Path = CGROUP_ROOT, membership: Path = OWN_CGROUP) -> int:
    """Bytes that this process can still take, as far as the system and its groups are asked."""
    paths = group_paths(membership)
    rooms = [
        room
        for controller, files in _FILES.items()
        for folder in upwards(root / controller, paths.get(controller))
        if (room := _room(folder, *files)) is not None
    ]
    return max(0, min([int(psutil.virtual_memory().available), *rooms]))


def _room(folder: Path, limit: str, use: str, cache: str) -> int | None:
    """What a group still allows; None where it has no limit ("max", or no such file)."""
    allowed, used = words(folder / limit), words(folder / use)
    if not allowed or not used or not allowed[0].isdigit():
        return None
    stat = words(folder / "memory.stat")
    cached = dict(zip(stat[::2], stat[1::2], strict=False)).get(cache, "0")
    return int(allowed[0]) - int(used[0]) + int(cached)
