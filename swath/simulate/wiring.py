"""What of a cluster's network a message crosses."""

from __future__ import annotations

from swath.cluster import Cluster, Link
from swath.simulate.channels import draw_rates
from swath.simulate.events import Events
from swath.simulate.network import Network, Resource, Switched
from swath.simulate.radio import Radio


def make_network(cluster: Cluster, events: Events) -> Network:
    """What carries messages in a cluster of this kind."""
    return Radio(events) if cluster.network == "shared" else Switched(events)


class Wiring:
    """The resources of a cluster's network, each made when it is first asked for."""

    def __init__(self, cluster: Cluster, seed: int) -> None:
        self._cluster = cluster
        self._seed = seed
        self._links: dict[tuple[str, str], Resource] = {}
        self._ports = _Ports(cluster)

    def path(self, sender: str, receiver: str) -> tuple[list[Resource], float]:
        """(what a message to another device crosses, its latency)."""
        cluster = self._cluster
        if cluster.network == "star":
            links = cluster.path(sender, receiver)
            hops = [sender, receiver] if len(links) == 1 else [sender, str(cluster.hub), receiver]
            return [
                self._link(link, near, far)
                for link, near, far in zip(links, hops, hops[1:], strict=False)
            ], sum(link.latency for link in links)
        link = cluster.link(sender, receiver)
        if cluster.network == "shared":
            return [self._link(link, sender, receiver)], link.latency
        out, into, rate = self._ports[sender, "out"], self._ports[receiver, "in"], link.bandwidth
        if link.channel is None and rate >= out.capacity and rate >= into.capacity:
            return [out, into], link.latency  # The ports alone limit it.
        return [out, into, self._link(link, sender, receiver)], link.latency

    def _link(self, link: Link, sender: str, receiver: str) -> Resource:
        key = (sender, receiver)
        if key not in self._links:
            rates = None
            if link.channel is not None:
                name = f"link {sender} {receiver}"
                rates = draw_rates(link.channel, link.bandwidth, self._seed, name)
            self._links[key] = Resource(link.bandwidth, rates, link.burst)
        return self._links[key]


class _Ports(dict[tuple[str, str], Resource]):
    """What each device sends and receives through, by device and direction."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__()
        self._best = _best_links(cluster)

    def __missing__(self, key: tuple[str, str]) -> Resource:
        best = self._best[key]
        self[key] = port = Resource(_peak(best), None, best.burst)
        return port


def _best_links(cluster: Cluster) -> dict[tuple[str, str], Link]:
    """By device and direction, the link with the highest rate, at its best: its port has that rate,
    and that burst."""
    candidates: dict[tuple[str, str], list[Link]] = {}
    for (sender, receiver), link in cluster.links.items():
        for port in ((sender, "out"), (receiver, "in")):
            candidates.setdefault(port, []).append(link)
    for device in cluster.devices:
        for port in ((device.name, "out"), (device.name, "in")):
            links = candidates.setdefault(port, [])
            if len(links) < len(cluster.devices) - 1:
                links.append(cluster.default_link)
    return {port: max(links, key=_peak) for port, links in candidates.items() if links}


def _peak(link: Link) -> float:
    return link.bandwidth if link.channel is None else link.channel.peak(link.bandwidth)
