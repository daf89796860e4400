"""Channels given apart from the cluster file: for all links, for those up or down, or for a pair's.

The text of a channel is that of `swath.cluster.channel.parse_channel`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from swath.cluster.channel import Channel, parse_channel
from swath.cluster.cluster import Cluster
from swath.cluster.uplink import uplinks
from swath.errors import ClusterError

_TEXT = re.compile(r"\s*(?:([^:()]*?)\s*:)?\s*(.*)", re.DOTALL)


def with_channels(cluster: Cluster, texts: Iterable[str], folder: Path = Path()) -> Cluster:
    """The cluster whose links vary as ``texts`` say, one after the other: each ``SPEC`` (of every
    link), ``up: SPEC`` (from the source), ``down: SPEC`` (to the source) or ``A B: SPEC`` (between
    these two). Recordings lie in ``folder``. Raises ClusterError for what is not understood."""
    for text in texts:
        match = _TEXT.fullmatch(text)
        assert match is not None
        cluster = _with_channel(cluster, match[1], parse_channel(match[2], folder))
    return cluster


def _with_channel(cluster: Cluster, where: str | None, channel: Channel | None) -> Cluster:
    if where is None:
        return replace(
            cluster,
            default_link=replace(cluster.default_link, channel=channel),
            links={ends: replace(link, channel=channel) for ends, link in cluster.links.items()},
        )
    changed = {
        ends: replace(cluster.link(*ends), channel=channel) for ends in _ends(cluster, where)
    }
    return replace(cluster, links={**cluster.links, **changed})


def _ends(cluster: Cluster, where: str) -> list[tuple[str, str]]:
    """(sender, receiver) of the links that ``where`` means."""
    if where in ("up", "down"):
        up = uplinks(cluster)
        return up if where == "up" else [(receiver, sender) for sender, receiver in up]
    source, hub = cluster.source, cluster.hub if cluster.network == "star" else None
    names = where.split()
    if len(names) != 2 or names[0] == names[1]:
        raise ClusterError(
            f"channel of {where!r}: that names no link; write up, down or two devices before ':', "
            f"e.g. '{source} OTHER: rayleigh(snr=10dB)'"
        )
    for name in names:
        cluster.device(name)
    if hub is not None and hub not in names:
        raise ClusterError(
            f"channel of {where!r}: these have no link; all end at the hub {hub!r} of the star"
        )
    one, other = names
    return [(one, other), (other, one)]
