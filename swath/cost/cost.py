"""Costs of devices that were never profiled: FLOPs over speed, bytes over bandwidth."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from math import exp

from swath.cluster.cluster import Cluster, Link
from swath.cost.features import bytes_of
from swath.graph.geometry import TileGeometry
from swath.graph.graph import Graph
from swath.ops import Demand, whole_of

DEFAULT_GFLOPS = 20.0
"""One core of a current small computer, within a factor of a few."""

TILE_OVERHEAD = 60e-6
"""Seconds: starting a session, and the copies and reordering at its edges."""

FLOPS_PER_BYTE = 20.0
"""How many FLOPs a core does while it moves one byte (of maps or weights) from or to memory."""


MESSAGE_SECONDS = 60e-6
"""CPU time of one end of a message, at `DEFAULT_GFLOPS`: system calls, waking up, bookkeeping."""

MESSAGE_SECONDS_PER_BYTE = 0.3e-9
"""CPU time of one end per byte of a message, at `DEFAULT_GFLOPS`: copies on the way."""

COPY_SECONDS_PER_BYTE = 0.15e-9
"""CPU time per byte that is copied within a device, at `DEFAULT_GFLOPS`."""

REQUEST_SECONDS = 200e-6
"""CPU time of the coordinator per request besides its messages, at `DEFAULT_GFLOPS`."""


@dataclass(frozen=True, slots=True)
class MessageCost:
    """CPU seconds that one end spends on a message: ``fixed + per_byte * nbytes``."""

    fixed: float
    per_byte: float

    def seconds(self, nbytes: int) -> float:
        return self.fixed + self.per_byte * nbytes


@dataclass(frozen=True, slots=True)
class Quota:
    """How the kernel rations a device's CPU: ``share`` of a core, granted as ``share * period``
    seconds every ``period`` seconds, accounted every ``tick`` seconds. A device without a quota
    has its CPU for itself.
    """

    share: float
    period: float
    tick: float


@dataclass(frozen=True, slots=True)
class Cooling:
    """What a pause costs: the caches have gone cold when a device goes on.

    ``waited``: seconds of CPU more after a long wait for something, paid bit by bit in the work
    that follows. ``half``: the wait after which it is half as much; ``warm``: seconds of work in
    which most of it (all but 1/e) is paid. ``refill``: seconds that every byte of maps takes more
    where a quota stops the device over and over. ``fresh``: seconds that the first tile of a
    request takes more, for between two requests the coordinator has had the caches.
    """

    waited: float
    half: float
    warm: float
    refill: float = 0.0
    fresh: float = 0.0

    def after_waiting(self, pause: float) -> float:
        """Seconds of CPU that waiting for so many seconds costs, at most."""
        return self.waited * pause / (pause + self.half) if pause > 0 else 0.0

    def paid(self, work: float) -> float:
        """The share of that which so many seconds of work pay."""
        return 1.0 - exp(-work / self.warm)


NO_COOLING = Cooling(0.0, 1.0, 1.0)


@dataclass(frozen=True)
class Costs:
    """What planners and the simulator ask. All times in seconds of the device's own CPU."""

    cluster: Cluster
    overhead: float = TILE_OVERHEAD

    def sending(self, device: str, receiver: str | None = None) -> MessageCost:
        """What a message costs its sender's CPU. ``receiver``: the device that it goes to; the same
        one: from its coordinator to its worker or back; None: any other."""
        return self._message(device)

    def receiving(self, device: str, sender: str | None = None) -> MessageCost:
        """What a message costs its receiver's CPU; ``sender`` likewise."""
        return self._message(device)

    def _message(self, device: str) -> MessageCost:
        slowness = self._slowness(device)
        return MessageCost(MESSAGE_SECONDS * slowness, MESSAGE_SECONDS_PER_BYTE * slowness)

    def copy(self, device: str, nbytes: int) -> float:
        """Copying bytes within a device: halos put together, parts cut out."""
        return nbytes * COPY_SECONDS_PER_BYTE * self._slowness(device)

    def request(self, device: str) -> float:
        """A request's fixed cost for the coordinator, where it runs on this device."""
        return REQUEST_SECONDS * self._slowness(device)

    def cooling(self, device: str) -> Cooling:
        """What a device loses by pausing."""
        return NO_COOLING

    def quota(self, device: str) -> Quota | None:
        """The device's ration of CPU, if the kernel keeps it to one; times are of its CPU then,
        not of the clock."""
        return None

    def kind(self, device: str) -> Hashable:
        """Equal for devices on which every tile takes equal time."""
        return self.speed(device)

    def _slowness(self, device: str) -> float:
        return DEFAULT_GFLOPS * 1e9 / self.speed(device)

    def speed(self, device: str) -> float:
        """FLOP/s of a device."""
        return (self.cluster.device(device).gflops or DEFAULT_GFLOPS) * 1e9

    def sustained(self, device: str) -> float:
        """FLOP/s of a device by the clock: what its quota lets it keep up."""
        quota = self.quota(device)
        return self.speed(device) * (quota.share if quota else 1.0)

    def node(self, device: str, graph: Graph, position: int, demand: Demand) -> float:
        """One node's part inside a tile that holds its neighbours too: its FLOPs, and the bytes
        that it reads and writes."""
        op = graph.operators[position]
        flops = graph.rules[position].flops(op, demand.outputs)
        moved = bytes_of((*demand.outputs, *demand.inputs), (*op.outputs, *op.inputs))
        return (flops + FLOPS_PER_BYTE * moved) / self.speed(device)

    def least(self, device: str, graph: Graph, position: int, covered: float) -> float:
        """Seconds that a device takes for one node at the very least, in however many parts that
        make its outputs once. ``covered``: the share of its inputs that they read."""
        op, rule = graph.operators[position], graph.rules[position]
        whole = rule.demand(op, whole_of(op))
        moved = bytes_of(whole.outputs, op.outputs) + covered * bytes_of(whole.inputs, op.inputs)
        return (rule.flops(op, whole.outputs) + FLOPS_PER_BYTE * moved) / self.speed(device)

    def tile(self, device: str, graph: Graph, geometry: TileGeometry) -> float:
        """One tile, alone on its device."""
        return self.overhead + sum(
            self.node(device, graph, position, demand)
            for position, demand in geometry.demands.items()
        )

    def fetch(self, receiver: str, nbytes: int) -> float:
        """Bytes that a device needs from its neighbours, on its slowest path from one of them."""
        if nbytes == 0:
            return 0.0
        others = (other.name for other in self.cluster.workers if other.name != receiver)
        return max((self.transfer(other, receiver, nbytes) for other in others), default=0.0)

    def transfer(self, sender: str, receiver: str, nbytes: int) -> float:
        """Bytes from one device to another, nobody else sending; nothing within one."""
        if sender == receiver:
            return 0.0
        return self.path(sender, receiver).seconds(nbytes)

    def path(self, sender: str, receiver: str) -> Link:
        """All links from one device to another as one."""
        links = self.cluster.path(sender, receiver)
        return Link(min(link.bandwidth for link in links), sum(link.latency for link in links))


def nominal_costs(cluster: Cluster) -> Costs:
    """Costs from a cluster file's ``gflops`` and links alone."""
    return Costs(cluster)
