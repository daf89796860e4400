"""Cluster files: YAML that a person writes, checked here once and frozen into a `Cluster`."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from swath.cluster.channel import Channel, parse_channel
from swath.cluster.cluster import Cluster, Device, Link, Watts
from swath.cluster.described import Strict, checked, read_yaml
from swath.cluster.quantities import parse_bandwidth, parse_latency, parse_memory
from swath.errors import ClusterError


def _above_zero(refusal: str) -> AfterValidator:
    """Refuses what is not more than 0, in these words."""

    def check(value: float) -> float:
        if value <= 0:
            raise ValueError(f"{value:g} {refusal}")
        return value

    return AfterValidator(check)


_Speed = Annotated[
    float,
    _above_zero("is no speed; give more, or instead 'compute: false' where it computes nothing"),
]
_Memory = Annotated[int, BeforeValidator(parse_memory), Field(gt=0)]
_Bandwidth = Annotated[
    float,
    BeforeValidator(parse_bandwidth),
    _above_zero("carries nothing; give a rate above it, or leave the device out"),
]
_Latency = Annotated[float, BeforeValidator(parse_latency), Field(ge=0)]


class _WattsEntry(Strict):
    idle: float = Field(ge=0)
    busy: float = Field(ge=0)


class _DeviceEntry(Strict):
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    gflops: _Speed | None = None
    memory: _Memory | None = None
    cores: float | None = Field(default=None, gt=0)
    compute: bool = True
    address: str | None = None
    profile: str | None = None
    watts: _WattsEntry | None = None


class _LinkEntry(Strict):
    bandwidth: _Bandwidth | None = None
    up: _Bandwidth | None = None
    down: _Bandwidth | None = None
    latency: _Latency = 0.0
    channel: str | None = None


class _ClusterEntry(Strict):
    source: str
    network: Literal["switch", "shared", "star"] = "switch"
    hub: str | None = None
    devices: list[_DeviceEntry] = Field(min_length=1)
    links: dict[str, _LinkEntry] = Field(default_factory=dict)


def load_cluster(path: str | Path) -> Cluster:
    """Read a cluster file. Raises ClusterError in one line that names the file and the key."""
    path = Path(path)
    data = read_yaml(path, "a cluster file", ClusterError)
    return parse_cluster(data, str(path), path.parent)


def parse_cluster(data: Any, origin: str = "cluster", folder: Path = Path()) -> Cluster:
    """The cluster that a cluster file's content describes; ``origin`` names it in errors, paths in
    it are relative to ``folder``."""
    if not isinstance(data, dict):
        raise ClusterError(f"{origin}: not a cluster file; it needs 'source' and 'devices'")
    try:
        return _freeze(checked(_ClusterEntry, data, {"devices": "device"}), folder)
    except ValueError as error:
        raise ClusterError(f"{origin}: {error}") from None


def _freeze(entry: _ClusterEntry, folder: Path) -> Cluster:
    devices = tuple(
        Device(
            device.name, device.gflops, device.memory, device.cores, device.compute,
            device.address,
            None if device.profile is None else str(folder / device.profile),
            None if device.watts is None else Watts(device.watts.idle, device.watts.busy),
        )
        for device in entry.devices
    )  # fmt: skip
    names = [device.name for device in devices]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"devices: {name!r} is there twice; give each its own name")
    if entry.source not in names:
        raise ValueError(f"source: {entry.source!r} is no device; name one of {', '.join(names)}")
    if not any(device.compute for device in devices):
        raise ValueError("devices: none of them computes; drop 'compute: false' somewhere")
    if entry.network == "star" and entry.hub not in names:
        raise ValueError("hub: a star needs 'hub: NAME', the device in its middle")
    if entry.network != "star" and entry.hub is not None:
        raise ValueError(f"hub: a {entry.network} network has none; drop it")
    default, links = _links(entry, names, folder)
    return Cluster(devices, entry.source, entry.network, default, links, entry.hub)


def _links(
    entry: _ClusterEntry, names: list[str], folder: Path
) -> tuple[Link, dict[tuple[str, str], Link]]:
    default = Link(bandwidth=125e6, latency=1e-3)
    links: dict[tuple[str, str], Link] = {}
    for key, link in entry.links.items():
        forth, back = _directions(key, link, folder)
        if key == "default":
            if forth != back:
                raise ValueError("links.default: has no direction; give bandwidth, not up and down")
            default = forth
            continue
        ends = key.split()
        if len(ends) != 2 or ends[0] == ends[1]:
            raise ValueError(f"links: {key!r} must be 'default' or two device names")
        for end in ends:
            if end not in names:
                raise ValueError(f"links: {key!r} names {end!r}, which is no device")
        if entry.network == "star" and entry.hub not in ends:
            raise ValueError(f"links: {key!r} does not end at the hub {entry.hub!r} of the star")
        if (ends[0], ends[1]) in links:
            raise ValueError(f"links: {key!r} is there twice, once the other way round; drop one")
        links[ends[0], ends[1]] = forth
        links[ends[1], ends[0]] = back
    if links and "default" not in entry.links:
        _check_joined(entry, names, links)
    return default, links


def _check_joined(
    entry: _ClusterEntry, names: list[str], links: dict[tuple[str, str], Link]
) -> None:
    """Where no default joins the rest, every two that talk directly must have a link."""
    for first, second in itertools.combinations(names, 2):
        if entry.network == "star" and entry.hub not in (first, second):
            continue
        if (first, second) not in links:
            alone = next(
                (name for name in (second, first) if not any(name in ends for ends in links)), None
            )
            what = f"{first!r} and {second!r} are" if alone is None else f"device {alone!r} is"
            raise ValueError(
                f"links: {what} not connected; add '{first} {second}', or 'default' for all others"
            )


def _directions(key: str, entry: _LinkEntry, folder: Path) -> tuple[Link, Link]:
    forth, back = entry.up or entry.bandwidth, entry.down or entry.bandwidth
    if forth is None or back is None:
        raise ValueError(f"links: {key!r} needs 'bandwidth', or both 'up' and 'down'")
    channel: Channel | None = None
    if entry.channel is not None:
        try:
            channel = parse_channel(entry.channel, folder)
        except ClusterError as error:
            raise ValueError(f"links: {key!r}: {error}") from None
    return Link(forth, entry.latency, channel), Link(back, entry.latency, channel)
