"""Costs of devices that were never profiled: FLOPs over speed, bytes over bandwidth."""

from __future__ import annotations

from dataclasses import dataclass

from swath.cluster.cluster import Cluster
from swath.graph.geometry import TileGeometry
from swath.graph.graph import Graph
from swath.ops import Demand, Operator

DEFAULT_GFLOPS = 20.0
"""One core of a current small computer, within a factor of a few."""

TILE_OVERHEAD = 60e-6
"""Seconds: starting a session, and the copies and reordering at its edges."""

FLOPS_PER_BYTE = 20.0
"""How many FLOPs a core does while it moves one byte (of maps or weights) from or to memory."""


@dataclass(frozen=True)
class Costs:
    """What planners ask. All times in seconds."""

    cluster: Cluster
    overhead: float = TILE_OVERHEAD

    def speed(self, device: str) -> float:
        """FLOP/s of a device."""
        return (self.cluster.device(device).gflops or DEFAULT_GFLOPS) * 1e9

    def operator(self, device: str, op: Operator, flops: int, demand: Demand) -> float:
        """One operator inside a tile: its FLOPs, and the bytes that it reads and writes."""
        moved = sum(
            region.size * tensor.itemsize
            for region, tensor in zip(
                (*demand.outputs, *demand.inputs), (*op.outputs, *op.inputs), strict=True
            )
            if region is not None and tensor is not None
        )
        return (flops + FLOPS_PER_BYTE * moved) / self.speed(device)

    def tile(self, device: str, graph: Graph, geometry: TileGeometry) -> float:
        """One tile, alone on its device."""
        return self.overhead + sum(
            self.operator(
                device,
                graph.operators[position],
                graph.rules[position].flops(graph.operators[position], demand.outputs),
                demand,
            )
            for position, demand in geometry.demands.items()
        )

    def fetch(self, receiver: str, nbytes: int) -> float:
        """Bytes that a device needs from its neighbours, over its slowest link to one of them."""
        if nbytes == 0:
            return 0.0
        return max(
            (
                self.cluster.link(other.name, receiver).seconds(nbytes)
                for other in self.cluster.workers
                if other.name != receiver
            ),
            default=0.0,
        )


def nominal_costs(cluster: Cluster) -> Costs:
    """Costs from a cluster file's ``gflops`` and links alone."""
    return Costs(cluster)
