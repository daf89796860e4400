"""The device that offloads and its servers: what their processors, messages and links take.

Arrays have an entry for each server and then one for the source, so that -1 means the source.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from swath.cluster import Cluster, Device, Link
from swath.cluster.cluster import LOOPBACK
from swath.cost import Costs, MessageCost
from swath.errors import PlanError
from swath.graph.geometry import TileGeometry
from swath.planners.building.weighing import slowdown
from swath.planners.registry import Problem

SOURCE = -1


@dataclass(frozen=True, slots=True)
class Messages:
    """CPU of one end of a message, by party: seconds of each, and of each byte. ``within``: both,
    of a message between the source's coordinator and its worker."""

    fixed: np.ndarray
    per_byte: np.ndarray
    within: MessageCost

    def seconds(
        self,
        party: np.ndarray | int,
        nbytes: np.ndarray | int,
        is_within: np.ndarray | bool = False,
    ) -> np.ndarray:
        between = self.fixed[party] + self.per_byte[party] * nbytes
        return np.where(is_within, self.within.fixed + self.within.per_byte * nbytes, between)

    @property
    def least(self) -> float:
        """Seconds of any message of the source."""
        return min(float(self.fixed[SOURCE]), self.within.fixed)

    def writing(self, party: np.ndarray | int, nbytes: np.ndarray) -> np.ndarray:
        """Those of them, the last, in which a sender writes the bytes: they leave meanwhile."""
        return np.asarray(self.per_byte[party] * nbytes)


@dataclass(frozen=True, slots=True)
class Parties:
    """Who takes part, in seconds by the clock, bytes and bytes/s.

    ``computes``: whether the source does. By party: ``pace``: seconds by the clock for one of CPU,
    in the long run; ``tile``: those of a tile besides its operators; ``copy``: of a byte. By sender
    and receiver: ``rates`` and ``latency``. ``out``: what the source sends at most, ``into``: what
    each party receives; ``request``: half of what a request takes the coordinator.
    """

    names: tuple[str, ...]
    computes: bool
    pace: np.ndarray
    tile: np.ndarray
    sending: Messages
    receiving: Messages
    copy: np.ndarray
    rates: np.ndarray
    latency: np.ndarray
    out: float
    into: np.ndarray
    request: float
    is_radio: bool

    @property
    def servers(self) -> int:
        """How many there are."""
        return len(self.names) - 1

    @property
    def uplinks(self) -> np.ndarray:
        """Bytes/s from the source, by receiver, where nothing else is sent."""
        return np.asarray(np.minimum(self.rates[SOURCE], self.out))


def check_servers(problem: Problem) -> None:
    """Raises PlanError where nobody besides the source computes, or nothing gets to a server."""
    costs = problem.costs
    source = costs.cluster.source
    servers = [device.name for device in costs.cluster.workers if device.name != source]
    if not servers:
        raise PlanError(
            f"no device besides the source {source!r} computes, so there is no server to offload "
            "to; add devices that compute, or use --planner whole"
        )
    for server in servers:
        for sender, receiver in ((source, server), (server, source)):
            if not costs.path(sender, receiver).bandwidth > 0:
                raise PlanError(
                    f"nothing gets from {sender!r} to {receiver!r}, for the rate is 0; "
                    f"give that link a bandwidth, or leave {server!r} out of the cluster"
                )


def of_use(costs: Costs, paths: int) -> list[str]:
    """The computing devices, without servers that can be of no use: of those that are alike, no
    more are needed than one for each path and one for what is behind the block."""
    cluster = costs.cluster
    joined: defaultdict[str, set[tuple[str, str, Link]]] = defaultdict(set)
    for (sender, receiver), link in cluster.links.items():
        joined[sender].add(("to", receiver, link))
        joined[receiver].add(("from", sender, link))

    def look(device: Device) -> Hashable:
        name = device.name
        messages = costs.sending(name), costs.receiving(name), costs.copy(name, 1)
        place = name in (cluster.source, cluster.hub) and name, frozenset(joined[name])
        return costs.kind(name), costs.quota(name), device.memory, messages, place

    seen: Counter[Hashable] = Counter()
    names = []
    for device in cluster.workers:
        kind = look(device)
        seen[kind] += 1
        if seen[kind] <= paths + 1:
            names.append(device.name)
    return names


def parties_among(problem: Problem, names: Sequence[str]) -> Parties:
    """The source, which computes if it is among these devices, and the others as servers."""
    costs = problem.costs
    cluster = costs.cluster
    source = cluster.source
    everyone = (*(name for name in names if name != source), source)
    pace = np.array([slowdown(costs, name) for name in everyone])
    nothing = TileGeometry({}, {})
    tile = np.array([costs.tile(name, problem.graph, nothing) for name in everyone]) * pace
    rates = np.full((len(everyone), len(everyone)), np.inf)
    latency = np.full_like(rates, LOOPBACK.latency)
    for row, sender in enumerate(everyone):
        for column, receiver in enumerate(everyone):
            if row != column:
                path = costs.path(sender, receiver)
                rates[row, column], latency[row, column] = path.bandwidth, path.latency
    return Parties(
        names=everyone,
        computes=source in names,
        pace=pace,
        tile=tile,
        sending=_messages(
            [costs.sending(name) for name in everyone], costs.sending(source, source), pace
        ),
        receiving=_messages(
            [costs.receiving(name) for name in everyone], costs.receiving(source, source), pace
        ),
        copy=np.array([costs.copy(name, 1) for name in everyone]) * pace,
        rates=rates,
        latency=latency,
        out=_port(cluster, costs, source, is_out=True),
        into=np.array([_port(cluster, costs, name, is_out=False) for name in everyone]),
        request=costs.request(source) / 2 * float(pace[SOURCE]),
        is_radio=cluster.network == "shared",
    )


def _messages(found: Sequence[MessageCost], within: MessageCost, pace: np.ndarray) -> Messages:
    own = float(pace[SOURCE])
    return Messages(
        np.array([cost.fixed for cost in found]) * pace,
        np.array([cost.per_byte for cost in found]) * pace,
        MessageCost(within.fixed * own, within.per_byte * own),
    )


def _port(cluster: Cluster, costs: Costs, device: str, is_out: bool) -> float:
    """Bytes/s that a device sends or receives at most, whomever it talks to: on a switch as much as
    on its best link, in a star what its own link carries."""
    others = [other.name for other in cluster.devices if other.name != device]
    pairs = [(device, other) if is_out else (other, device) for other in others]
    if cluster.network == "switch":
        return max((costs.path(*pair).bandwidth for pair in pairs), default=np.inf)
    if cluster.network == "star" and cluster.hub is not None and device != cluster.hub:
        pair = (device, cluster.hub) if is_out else (cluster.hub, device)
        return cluster.link(*pair).bandwidth
    return np.inf
