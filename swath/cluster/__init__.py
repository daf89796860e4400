"""Devices, links and cluster files: what is known of the machines before anything runs on them.

May import nothing of Swath but errors.
"""

from typing import TYPE_CHECKING, Any

from swath.cluster.channel import Channel, parse_channel
from swath.cluster.cluster import Cluster, Device, Link, Watts, local_cluster
from swath.cluster.quantities import parse_bandwidth, parse_latency, parse_memory

if TYPE_CHECKING:
    from swath.cluster.file import load_cluster

__all__ = [
    "Channel",
    "Cluster",
    "Device",
    "Link",
    "Watts",
    "load_cluster",
    "local_cluster",
    "parse_bandwidth",
    "parse_channel",
    "parse_latency",
    "parse_memory",
]


def __getattr__(name: str) -> Any:
    """What reads cluster files is imported when it is asked for: workers never do."""
    if name == "load_cluster":
        from swath.cluster.file import load_cluster

        return load_cluster
    raise AttributeError(f"module 'swath.cluster' has no attribute {name!r}")
