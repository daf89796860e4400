"""A live cluster as a cluster file describes it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from swath.cluster import Cluster, Device, Link
from swath.cluster.profile_file import LINKS_FILE, load_links, load_profile, profile_path
from swath.runtime.coordinator import Coordinator
from swath.runtime.install import understanding
from swath.runtime.knowing import Step, brief_profile, check_worker, measured_links
from swath.runtime.profiling.asking import Asker
from swath.runtime.profiling.measure import gflops


def describe_cluster(
    coordinator: Coordinator,
    devices: Sequence[str],
    profiles: Path | None,
    endpoints: Collection[str],
    step: Step,
) -> Cluster:
    """The devices and the links between them; the first is the source.

    ``profiles``: the folder in which they lie, with what was measured of links; whatever it lacks
    is measured now.
    ``endpoints``: where this side connected to. Raises ClusterError for a profile that is another
    device's or does not hold any more.
    """
    found = []
    for device in devices:
        step(f"asking {device}")
        others = [other for other in devices if other != device]
        found.append(_device(coordinator, [device, *others], profiles, endpoints, step))
    known = {} if profiles is None else _known_links(profiles / LINKS_FILE)
    links = {}
    for pair in combinations(devices, 2):
        ends = (pair, (pair[1], pair[0]))
        if not set(ends) <= set(known):
            known.update(measured_links(coordinator, pair, step))
        links.update({end: known[end] for end in ends})
    return Cluster(tuple(found), source=devices[0], links=links)


def _device(
    coordinator: Coordinator,
    devices: Sequence[str],
    profiles: Path | None,
    endpoints: Collection[str],
    step: Step,
) -> Device:
    """The first of ``devices``."""
    device = devices[0]
    said = coordinator.hello(device)
    path = None if profiles is None else profile_path(profiles, device)
    if path is not None and path.exists():
        profile = load_profile(path)
        check_worker(Asker(coordinator), profile, device, path)
    else:
        path = None
        profile = brief_profile(coordinator, devices, step)
    with understanding(device):
        return Device(
            device,
            gflops=gflops(profile),
            memory=int(said["memory_bytes"]) >> 20 << 20,  # Whole MiB read better.
            address=_address(said, endpoints),
            profile=None if path is None else str(path),
        )


def _address(said: Mapping[str, Any], endpoints: Collection[str]) -> str | None:
    """The endpoint at which a worker listens, if it is one of those that we connected to: data is
    taken on the port after it."""
    for place in said["address"]["places"]:
        kind, _, where = str(place).partition(":")
        host, _, port = where.rpartition(":")
        endpoint = f"tcp/{host}:{int(port) - 1}" if kind == "tcp" else None
        if endpoint in endpoints:
            return endpoint
    return None


def _known_links(path: Path) -> dict[tuple[str, str], Link]:
    if not path.exists():
        return {}
    return {
        (link.sender, link.receiver): Link(link.bandwidth, link.latency)
        for link in load_links(path)
    }
