"""Devices, the links between them, and both together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from swath.cluster.channel import Channel
from swath.errors import ClusterError

Network = Literal["switch", "shared", "star"]


@dataclass(frozen=True, slots=True)
class Watts:
    """Power of a device while idle and while computing."""

    idle: float
    busy: float


@dataclass(frozen=True, slots=True)
class Device:
    """One computer. ``gflops``: 1e9 FLOP/s on one CNN; ``memory``: bytes, None for no limit;
    ``cores``: the share of CPU it has in the lab; ``compute`` False: it may hold the input but
    computes nothing; ``address``: where its worker listens; ``profile``: path of its measured
    times."""

    name: str
    gflops: float | None = None
    memory: int | None = None
    cores: float | None = None
    compute: bool = True
    address: str | None = None
    profile: str | None = None
    watts: Watts | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """One direction between two devices: ``bandwidth`` in bytes/s, ``latency`` in seconds.

    ``channel``: how its rate varies with time; None: it is always ``bandwidth``. ``burst``: bytes
    that pass at once after a pause, where a token bucket limits the rate (as it does in a lab).
    """

    bandwidth: float
    latency: float
    channel: Channel | None = None
    burst: float = 0.0

    def seconds(self, nbytes: int) -> float:
        """Time of one message when nobody else uses the link."""
        return self.latency + nbytes / self.bandwidth


LOOPBACK = Link(bandwidth=2e9, latency=100e-6)
"""Between processes of one machine; the order of magnitude of what a fabric reaches there."""


@dataclass(frozen=True)
class Cluster:
    """Devices and what joins them.

    ``source`` holds the input and wants the output. ``links`` maps (sender, receiver) to what
    differs from ``default_link``. ``hub`` is the middle of a star.
    """

    devices: tuple[Device, ...]
    source: str
    network: Network = "switch"
    default_link: Link = LOOPBACK
    links: Mapping[tuple[str, str], Link] = field(default_factory=dict)
    hub: str | None = None

    @cached_property
    def by_name(self) -> Mapping[str, Device]:
        return {device.name: device for device in self.devices}

    @property
    def workers(self) -> tuple[Device, ...]:
        """The devices that compute."""
        return tuple(device for device in self.devices if device.compute)

    def device(self, name: str) -> Device:
        """The device of this name; raises ClusterError where there is none."""
        if name not in self.by_name:
            known = ", ".join(self.by_name)
            raise ClusterError(f"device {name!r} is not in the cluster; it has {known}")
        return self.by_name[name]

    def link(self, sender: str, receiver: str) -> Link:
        return self.links.get((sender, receiver), self.default_link)

    def path(self, sender: str, receiver: str) -> tuple[Link, ...]:
        """The links that a message crosses: two on the way through the hub of a star."""
        if self.network != "star" or self.hub is None or self.hub in (sender, receiver):
            return (self.link(sender, receiver),)
        return self.link(sender, self.hub), self.link(self.hub, receiver)


def local_cluster(names: Sequence[str], gflops: float | None = None) -> Cluster:
    """Equal workers on this machine; the first is the source."""
    return Cluster(tuple(Device(name, gflops=gflops) for name in names), source=names[0])
