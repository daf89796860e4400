"""A live cluster as a cluster file describes it."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from swath.cluster import Cluster, Device, Link
from swath.cluster.profile import LinkProfile
from swath.cluster.profile_file import (
    LINKS_FILE,
    check_profile,
    load_links,
    load_profile,
    profile_path,
)
from swath.errors import ClusterError
from swath.runtime.coordinator import Coordinator
from swath.runtime.install import understanding
from swath.runtime.probe import probe_model
from swath.runtime.profiling.asking import Asker
from swath.runtime.profiling.effort import QUICK
from swath.runtime.profiling.links import link_profiles
from swath.runtime.profiling.measure import gflops

Step = Callable[[str], None]
"""Told what is being done."""


def describe_cluster(
    coordinator: Coordinator,
    devices: Sequence[str],
    target: Path,
    profiles: Path | None,
    endpoints: Collection[str],
    step: Step,
) -> Cluster:
    """The devices and the links between them; the first is the source.

    ``target``: the cluster file, which profiles' paths are relative to. ``profiles``: the folder
    in which they lie, with what was measured of links; whatever it lacks is measured now.
    ``endpoints``: where this side connected to. Raises ClusterError for a profile that is another
    device's or does not hold any more.
    """
    asker = Asker(coordinator)
    found = []
    for device in devices:
        step(f"asking {device}")
        found.append(_device(asker, device, target, profiles, endpoints))
    links = {} if profiles is None else _measured(profiles / LINKS_FILE)
    for one, other in combinations(devices, 2):
        if not {(one, other), (other, one)} <= set(links):
            step(f"measuring the link between {one} and {other}")
            exchanged = asker.exchange(one, other, QUICK.rounds)
            links.update(_by_ends(link_profiles(one, other, exchanged)))
    known = {ends: link for ends, link in links.items() if set(ends) <= set(devices)}
    return Cluster(tuple(found), source=devices[0], links=known)


def _device(
    asker: Asker,
    device: str,
    target: Path,
    profiles: Path | None,
    endpoints: Collection[str],
) -> Device:
    said = asker.coordinator.hello(device)
    path = None if profiles is None else profile_path(profiles, device)
    if path is not None and path.exists():
        profile = load_profile(path)
        try:
            check_profile(profile, device, asker.machine(device))
        except ClusterError as error:
            raise ClusterError(f"{path}: {error}") from None
        speed = gflops(profile)
        relative = os.path.relpath(path, target.parent)
    else:
        model, flops = probe_model()
        speed = flops / asker.coordinator.time_model(device, model) / 1e9
        relative = None
    with understanding(device):
        return Device(
            device,
            gflops=speed,
            memory=int(said["memory_bytes"]) >> 20 << 20,  # Whole MiB read better.
            address=_address(said, endpoints),
            profile=relative,
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


def _measured(path: Path) -> dict[tuple[str, str], Link]:
    return _by_ends(load_links(path)) if path.exists() else {}


def _by_ends(links: Sequence[LinkProfile]) -> dict[tuple[str, str], Link]:
    return {(link.sender, link.receiver): Link(link.bandwidth, link.latency) for link in links}
