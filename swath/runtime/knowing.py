"""What is known of a cluster that is up: profiles of its devices, links between them, their load.

A profile comes from the file that the cluster names; else from those kept on this machine; else it
is measured now, in a few seconds, and kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from pathlib import Path

from swath.cluster import Cluster, Link
from swath.cluster.profile import DeviceProfile
from swath.cluster.profile_file import check_profile, load_profiles
from swath.errors import ClusterError
from swath.runtime.coordinator import Coordinator
from swath.runtime.install import understanding
from swath.runtime.profiling.asking import Asker
from swath.runtime.profiling.effort import BRIEF
from swath.runtime.profiling.kept import kept_profile
from swath.runtime.profiling.links import link_profiles

Step = Callable[[str], None]
"""Told what is being done."""

MOST_LOAD = 0.8
"""The most that profiles are measured under; a fair scheduler leaves everybody a share."""

LINK_ROUNDS = 15
"""Messages of each size: the fastest of them count, so that a passing disturbance does not."""

LOOK_SECONDS = 0.5
"""How long a device's load is looked at."""


def known_profiles(
    coordinator: Coordinator, cluster: Cluster, step: Step
) -> dict[str, DeviceProfile]:
    """Profiles by device, every worker's at least.

    Raises ClusterError for one that is another device's or does not hold any more, WorkerError and
    FabricError.
    """
    asker = Asker(coordinator)
    profiles = load_profiles(cluster)
    names = [device.name for device in cluster.workers]
    for device in cluster.workers:
        if device.profile is None:
            others = [name for name in names if name != device.name]
            profiles[device.name] = brief_profile(coordinator, [device.name, *others], step)
        else:
            check_worker(asker, profiles[device.name], device.name, device.profile)
    return profiles


def check_worker(asker: Asker, profile: DeviceProfile, worker: str, path: str | Path) -> None:
    """Raises ClusterError unless the profile, which lies at ``path``, is that of the worker's
    machine as it is now."""
    try:
        check_profile(profile, worker, asker.machine(worker))
    except ClusterError as error:
        raise ClusterError(f"{path}: {error}") from None


def brief_profile(coordinator: Coordinator, devices: Sequence[str], step: Step) -> DeviceProfile:
    """The profile of the first of ``devices``: kept, or measured in a few seconds and kept."""
    return kept_profile(
        coordinator,
        devices,
        BRIEF,
        lambda what, done, total: step(f"measuring {what}, this once: {done} of {total}"),
    )


def measured_links(
    coordinator: Coordinator, devices: Sequence[str], step: Step
) -> dict[tuple[str, str], Link]:
    """By sender and receiver: the links between all of these devices."""
    asker = Asker(coordinator)
    links = {}
    for one, other in combinations(devices, 2):
        step(f"measuring the link between {one} and {other}")
        exchanged = asker.exchange(one, other, LINK_ROUNDS)
        for found in link_profiles(one, other, exchanged):
            links[found.sender, found.receiver] = Link(found.bandwidth, found.latency)
    return links


def present_loads(coordinator: Coordinator, devices: Sequence[str]) -> Mapping[str, float]:
    """By device: the share of the CPU that its worker wants which others use just now."""
    for device in devices:
        coordinator.hello(device)
    time.sleep(LOOK_SECONDS)
    loads = {}
    for device in devices:
        said = coordinator.hello(device)
        with understanding(device):
            loads[device] = felt_load(
                float(said["load"]), float(said["cpus"]), int(said["threads"])
            )
    return loads


def felt_load(share: float, cpus: float, threads: int) -> float:
    """What a worker of so many threads feels of it when others use a share of all CPUs: nothing as
    long as enough are free."""
    free = (1 - share) * cpus
    return min(MOST_LOAD, max(0.0, 1 - free / threads))
