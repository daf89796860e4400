"""Cluster files, written: what `load_cluster` reads, with a comment for each block."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import yaml

from swath.cluster.cluster import Cluster, Device, Link
from swath.cluster.profile_file import write_whole

_HEAD = """\
# A cluster, as 'swath cluster init' found it. Everything may be changed by hand.

# The source holds the input and wants the output.
# network: switch (everybody at full rate), shared (one radio channel), star (then hub: NAME).
"""

_DEVICES = """
# gflops: 1e9 FLOP/s on CNNs, of no account where there is a profile (measured times, its path
# relative to this file). memory: what a plan may use. address: where the worker listens.
"""

_LINKS = """
# What a message takes besides the time of both ends; up is from the first to the second.
"""


def write_cluster(cluster: Cluster, path: str | Path) -> None:
    """Write a cluster file, whole or not at all; paths of profiles as they look from there."""
    folder = Path(path).parent
    devices = tuple(
        replace(device, profile=os.path.relpath(device.profile, folder))
        if device.profile
        else device
        for device in cluster.devices
    )
    write_whole(path, cluster_text(replace(cluster, devices=devices)))


def cluster_text(cluster: Cluster) -> str:
    """The content of a cluster file: devices, and the links that were measured or stated."""
    head = {"source": cluster.source, "network": cluster.network}
    if cluster.hub is not None:
        head["hub"] = cluster.hub
    parts = [_HEAD, *(f"{_line({key: value})[1:-1]}\n" for key, value in head.items())]
    parts += [_DEVICES, "devices:\n"]
    parts += [f"  - {_line(_device(device))}\n" for device in cluster.devices]
    links = _links(cluster)
    if links:
        parts += [_LINKS, "links:\n"]
        parts += [f"  {_line({ends: link})[1:-1]}\n" for ends, link in links.items()]
    return "".join(parts)


def _line(value: Mapping[str, Any]) -> str:
    return yaml.safe_dump(
        dict(value), default_flow_style=True, sort_keys=False, width=1 << 30, allow_unicode=True
    ).strip()


def _device(device: Device) -> dict[str, Any]:
    """What differs from a device of which nothing is known."""
    unknown = asdict(Device(device.name))
    entry = {key: value for key, value in asdict(device).items() if value != unknown[key]}
    if device.memory is not None:
        mebibytes, rest = divmod(device.memory, 2**20)
        entry["memory"] = device.memory if rest else f"{mebibytes}MiB"
    if device.gflops is not None:
        entry["gflops"] = float(_figures(device.gflops))
    return {"name": device.name, **entry}


def _links(cluster: Cluster) -> dict[str, dict[str, str]]:
    found = {}
    for (sender, receiver), forth in cluster.links.items():
        if f"{receiver} {sender}" not in found:
            back = cluster.link(receiver, sender)
            found[f"{sender} {receiver}"] = _link(forth, back)
    return found


def _link(forth: Link, back: Link) -> dict[str, str]:
    latency = f"{_figures((forth.latency + back.latency) / 2 * 1e3)}ms"
    up, down = (f"{_figures(link.bandwidth * 8 / 1e6)}Mbps" for link in (forth, back))
    if up == down:
        return {"bandwidth": up, "latency": latency}
    return {"up": up, "down": down, "latency": latency}


def _figures(value: float) -> str:
    """A number of four figures, not in scientific notation."""
    return f"{float(f'{value:.4g}'):.9f}".rstrip("0").rstrip(".")
