"""Which traffic of a lab is shaped where, as data: from the links of a cluster to ports and lanes.

A port is a place that traffic must pass: what a device sends, what it is sent, or, in a network
that is one radio channel, everything. All that passes shares the port's rate. A lane is the part of
it that goes to one receiver or comes from one sender, where that part has a queue, a smaller rate
or a latency of its own.

- switch: what a device sends passes at the fastest rate of its links that way, and slower links are
  lanes of it; so does what a device is sent.
- star: what a spoke sends and what it is sent pass at the rates of its own link, and so everything
  between two spokes passes both. The hub itself is not limited.
- shared: everything passes one port.

Where several senders meet, each has a lane: they share the rate evenly, whoever came first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from swath.cluster import Cluster, Link
from swath.errors import ClusterError

MTU = 1500

FRAME = MTU + 14
"""Bytes of a full packet as rates count them: with Ethernet's header."""

PAYLOAD = MTU - 52
"""Bytes of them that TCP carries: less the headers of IP and TCP, and TCP's timestamps."""

BURST_SECONDS = 1e-3
"""How long a port may exceed its rate after it idled; a small message feels the rate."""

UNIT_SECONDS = BURST_SECONDS / 2
"""Of a rate, how much the kernel may hand on as one. As much as a burst would leave no room for
being late: a whole burst cost 5 % of 1 Gbit/s, half of one nothing."""

LARGEST_UNIT = 65535 // FRAME
"""Packets that the kernel hands on as one, at most."""

Place = Literal["sends", "is sent", "channel"]


def burst(rate: float) -> int:
    """Bytes that pass at once, at a rate in bytes/s."""
    return max(2 * MTU + 28, round(rate * BURST_SECONDS))


@dataclass(frozen=True, slots=True)
class Lane:
    """Traffic to or from ``peer``, within a port: ``rate`` in bytes/s, ``latency`` in seconds."""

    peer: str
    rate: float
    latency: float


@dataclass(frozen=True, slots=True)
class Port:
    """All that ``device`` sends or is sent, or all there is (``device`` is empty then). ``rate`` in
    bytes/s; ``latency`` in seconds, of what is in no lane. Lanes go by the other device; those of
    a channel by the sender."""

    place: Place
    device: str
    rate: float
    latency: float
    lanes: tuple[Lane, ...]


def ports(cluster: Cluster, delays: bool) -> tuple[Port, ...]:
    """What is to be shaped. Latencies are 0 unless ``delays``: whether this kernel can delay.

    Raises ClusterError for links that a lab cannot imitate.
    """
    for ends, link in (("default", cluster.default_link), *cluster.links.items()):
        if link.channel is not None:
            raise ClusterError(
                f"link {' '.join(ends) if isinstance(ends, tuple) else ends}: a lab cannot imitate "
                "a channel that varies; drop its 'channel', or simulate"
            )
    if len(cluster.devices) < 2:
        return ()
    if cluster.network == "shared":
        return (_channel(cluster, delays),)
    if cluster.network == "star" and cluster.hub is not None:
        return _spokes(cluster, cluster.hub, delays)
    names = [device.name for device in cluster.devices]
    made = []
    for name in names:
        others = [other for other in names if other != name]
        made.append(_sending(name, {other: cluster.link(name, other) for other in others}, delays))
        fastest = max(cluster.link(other, name).bandwidth for other in others)
        made.append(Port("is sent", name, fastest, 0.0, _evenly(others, fastest, 0.0)))
    return tuple(made)


def packets_per_unit(device: str, made: Sequence[Port]) -> int:
    """How many packets the kernel may hand on as one of what this device sends, by the slowest
    rate that it may meet whole: 64 KB at once would take 26 ms of a link of 20 Mbit/s."""
    rates = [
        rate
        for port in made
        if port.place == "channel" or (port.place == "sends" and port.device == device)
        for rate in (port.rate, *(lane.rate for lane in port.lanes))
    ]
    fitting = min(rates, default=float("inf")) * UNIT_SECONDS / FRAME
    return int(max(1, min(LARGEST_UNIT, fitting)))


def _sending(name: str, links: dict[str, Link], delays: bool) -> Port:
    fastest = max(link.bandwidth for link in links.values())
    latencies = {other: link.latency if delays else 0.0 for other, link in links.items()}
    usual = min(latencies.values())
    return Port(
        "sends", name, fastest, usual,
        tuple(
            Lane(other, link.bandwidth, latencies[other])
            for other, link in links.items()
            if link.bandwidth < fastest or latencies[other] != usual
        ),
    )  # fmt: skip


def _evenly(senders: Sequence[str], rate: float, latency: float) -> tuple[Lane, ...]:
    """A lane for each sender, where there are several."""
    return tuple(Lane(sender, rate, latency) for sender in senders) if len(senders) > 1 else ()


def _channel(cluster: Cluster, delays: bool) -> Port:
    names = [device.name for device in cluster.devices]
    pairs = [(a, b) for a in names for b in names if a != b]
    common = cluster.link(*pairs[0])
    for pair in pairs:
        if cluster.link(*pair) != common:
            raise ClusterError(
                f"link {' '.join(pair)} differs from {' '.join(pairs[0])}, but in a lab a shared "
                "channel has one bandwidth and latency; give links.default alone"
            )
    latency = common.latency if delays else 0.0
    lanes = _evenly(names, common.bandwidth, latency)
    return Port("channel", "", common.bandwidth, latency, lanes)


def _spokes(cluster: Cluster, hub: str, delays: bool) -> tuple[Port, ...]:
    names = [device.name for device in cluster.devices]
    made = []
    for name in names:
        if name == hub:
            continue
        up, down = cluster.link(name, hub), cluster.link(hub, name)
        latency = down.latency if delays else 0.0
        senders = [other for other in names if other != name]
        made.append(_sending(name, {hub: up}, delays))
        lanes = _evenly(senders, down.bandwidth, latency)
        made.append(Port("is sent", name, down.bandwidth, latency, lanes))
    return tuple(made)
