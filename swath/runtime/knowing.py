"""What is known of a cluster that is up: profiles of its devices, links between them, and what the
devices are at just now.

A profile comes from the file that the cluster names; else from those kept on this machine; else it
is measured now, in a few seconds, and kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
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

PRESENT_ROUNDS = 4
"""The same, where a file tells of the links and what they are like just now is asked."""

LINKS_SECONDS = 10.0
"""How long links are measured that a file tells of: of so many devices that this does not do, some
links are taken as the file has them."""

LOOK_SECONDS = 0.5
"""How long a device's load is looked at."""

LOAD_STEP = 0.05
"""A load is known no better than this; told in such steps, devices that are equal stay equal."""


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
    links = {}
    for one, other in combinations(devices, 2):
        links.update(_measured_link(coordinator, one, other, LINK_ROUNDS, step))
    return links


def _measured_link(
    coordinator: Coordinator, one: str, other: str, rounds: int, step: Step
) -> dict[tuple[str, str], Link]:
    """Both directions. ``one`` may be without a worker: then it is where this coordinator is."""
    step(f"measuring the link between {one} and {other}")
    asker = Asker(coordinator)
    if one in coordinator.workers():
        exchanged = asker.exchange(one, other, rounds)
    else:
        exchanged = asker.exchange_here(other, rounds)
    return {
        (found.sender, found.receiver): Link(found.bandwidth, found.latency)
        for found in link_profiles(one, other, exchanged)
    }


def present_links(coordinator: Coordinator, cluster: Cluster, step: Step) -> Cluster:
    """The cluster with its links as they are now, the source's first, as far as the time goes."""
    others = [device.name for device in cluster.workers if device.name != cluster.source]
    hub = cluster.hub if cluster.network == "star" else None
    deadline = time.monotonic() + LINKS_SECONDS
    links = dict(cluster.links)
    for one, other in combinations([cluster.source, *others], 2):
        if hub is not None and hub not in (one, other):
            continue  # What they say to each other goes through the hub.
        if time.monotonic() > deadline:
            break
        links.update(_measured_link(coordinator, one, other, PRESENT_ROUNDS, step))
    return replace(cluster, links=links)


@dataclass(frozen=True, slots=True)
class Present:
    """What a device is at just now. ``load``: share of the CPU that its worker wants which others
    use; ``free_memory``: bytes that a plan could have."""

    device: str
    load: float
    free_memory: int


def present_state(
    coordinator: Coordinator, devices: Sequence[str], step: Step
) -> tuple[Present, ...]:
    """What these devices are at now. Raises WorkerError and FabricError."""
    step("looking at load and free memory")
    for device in devices:
        coordinator.hello(device)
    time.sleep(LOOK_SECONDS)
    return tuple(_present(coordinator, device) for device in devices)


def _present(coordinator: Coordinator, device: str) -> Present:
    said = coordinator.hello(device)
    with understanding(device):
        load = felt_load(float(said["load"]), float(said["cpus"]), int(said["threads"]))
        steps = round(load / LOAD_STEP)
        return Present(device, round(steps * LOAD_STEP, 2), int(said["free_memory_bytes"]))


def as_it_is(cluster: Cluster, present: Iterable[Present]) -> Cluster:
    """The cluster with no more memory on each device than is free there now."""
    free = {state.device: state.free_memory for state in present}
    devices = tuple(
        replace(device, memory=min(free[device.name], device.memory or free[device.name]))
        if device.name in free
        else device
        for device in cluster.devices
    )
    return replace(cluster, devices=devices)


def felt_load(share: float, cpus: float, threads: int) -> float:
    """What a worker of so many threads feels of it when others use a share of all CPUs: nothing as
    long as enough are free."""
    free = (1 - share) * cpus
    return min(MOST_LOAD, max(0.0, 1 - free / threads))
