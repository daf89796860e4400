"""Profiles that are kept on this machine: measured once, then used until something changes.

For whoever runs a model without having profiled its devices: equal machines have equal profiles, so
they are kept by machine, engine and threads, not by name. What is kept is only ever as good as the
effort it was measured with: a better one takes its place.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from swath.cluster.profile import DeviceProfile, Machine
from swath.cluster.profile_file import load_profile, save_profile
from swath.errors import ClusterError
from swath.runtime.coordinator import Coordinator
from swath.runtime.profiling.asking import Asker
from swath.runtime.profiling.effort import EFFORTS, Effort
from swath.runtime.profiling.measure import Progress, profile_device


def kept_profile(
    coordinator: Coordinator,
    devices: Sequence[str],
    effort: Effort,
    progress: Progress,
    surroundings: str = "",
) -> DeviceProfile:
    """The profile of the first of ``devices``: the one kept for its machine, or else measured with
    ``effort`` (its messages: to the second) and kept.

    ``surroundings``: a word for what else the figures depend on, such as a lab.
    """
    device = devices[0]
    machine = Asker(coordinator).machine(device)
    path = kept_path(machine, surroundings)
    found = _find(path, machine, effort)
    if found is None:
        with tempfile.TemporaryDirectory() as folder:
            found = profile_device(
                Asker(coordinator), devices, Path(folder), effort, progress, device
            ).profile
        keep(found, surroundings)
    return replace(found, device=device)


def keep(profile: DeviceProfile, surroundings: str = "") -> None:
    """Keep a profile for its machine, unless one of more effort is kept."""
    path = kept_path(profile.machine, surroundings)
    better = EFFORTS[_rank(profile.kind) + 1 :]
    if not better or _find(path, profile.machine, better[0]) is None:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_profile(profile, path)


def kept_path(machine: Machine, surroundings: str = "") -> Path:
    """Where the profile of a machine is kept; XDG_CACHE_HOME says under which folder."""
    words = (
        machine.cpu, machine.architecture, f"{machine.cores}-cores", machine.engine,
        f"{machine.threads}-threads", surroundings,
    )  # fmt: skip
    name = "-".join(re.sub(r"[^A-Za-z0-9.]+", "-", word).strip("-") for word in words if word)
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "swath" / "profiles" / f"{name}.json"


def _find(path: Path, machine: Machine, effort: Effort) -> DeviceProfile | None:
    """What is kept there, if it is of no less effort and says the pace; a damaged or stale file
    counts for none."""
    try:
        found = load_profile(path)
    except ClusterError:
        return None
    is_enough = found.pace is not None and _rank(found.kind) >= _rank(effort.kind)
    return found if is_enough and found.machine == machine else None


def _rank(kind: str) -> int:
    """How much effort a kind of profile takes: its place in `EFFORTS`, -1 for one not known."""
    kinds = [effort.kind for effort in EFFORTS]
    return kinds.index(kind) if kind in kinds else -1
