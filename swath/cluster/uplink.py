"""The links on which the source sends, and the same cluster with these quicker or slower.

The rate of the fastest of them stands for all: whoever says that the uplink has another rate says
by what factor.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from swath.cluster.cluster import Cluster, Link
from swath.errors import ClusterError

Ends = tuple[str, str]
"""Sender, receiver."""


def uplinks(cluster: Cluster) -> list[Ends]:
    """The links on which the source sends: to its hub alone in a star."""
    source, hub = cluster.source, cluster.hub if cluster.network == "star" else None
    if hub not in (None, source):
        return [(source, str(hub))]
    return [(source, device.name) for device in cluster.devices if device.name != source]


def uplink(cluster: Cluster) -> Ends:
    """The fastest link on which the source sends to a device that computes, or its link to the hub
    of a star. Raises ClusterError where nobody but the source computes."""
    source = cluster.source
    computing = {device.name for device in cluster.workers} - {source}
    if not computing:
        raise ClusterError(
            f"no device but the source {source!r} computes, so no link matters; add a device"
        )
    found = uplinks(cluster)
    if len(found) > 1:
        found = [ends for ends in found if ends[1] in computing]
    return max(found, key=lambda ends: cluster.link(*ends).bandwidth)


def uplink_rate(cluster: Cluster) -> float:
    """Bytes/s of the source's `uplink`."""
    return cluster.link(*uplink(cluster)).bandwidth


def with_uplink_rate(cluster: Cluster, rate: float) -> Cluster:
    """The cluster whose `uplink` carries so many bytes/s, the source's other ones in proportion.

    What comes back and what others send goes as it did; where all share one radio channel all of it
    changes. Links that change are steady, whatever their channels were.
    """
    return _changed(cluster, uplinks(cluster), rate / uplink_rate(cluster))


def with_channel_rate(cluster: Cluster, rate: float) -> Cluster:
    """As `with_uplink_rate`, and what comes back to the source changes too: one channel joins it to
    the others, as a radio does."""
    up = uplinks(cluster)
    down = [(receiver, sender) for sender, receiver in up]
    return _changed(cluster, up + down, rate / uplink_rate(cluster))


def _changed(cluster: Cluster, ends: Iterable[Ends], factor: float) -> Cluster:
    def changed(link: Link) -> Link:
        return replace(link, bandwidth=factor * link.bandwidth, channel=None)

    if cluster.network == "shared":
        links = {pair: changed(link) for pair, link in cluster.links.items()}
        return replace(cluster, default_link=changed(cluster.default_link), links=links)
    own = {pair: changed(cluster.link(*pair)) for pair in ends}
    return replace(cluster, links={**cluster.links, **own})
