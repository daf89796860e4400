"""The master of EdgeCI: what it costs to have devices compute rows of a block, through it.

The master holds every map. Before a block it hands each device the rows that this one lacks, and
gathers what it made of the block: everything passes through the master's port.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np

from swath.errors import PlanError
from swath.plan.memory import PACKING_FACTOR, mebibytes
from swath.plan.plan import Plan
from swath.planners.building.assembling import assemble
from swath.planners.building.fitting import fitting
from swath.planners.building.fusing import Segment
from swath.planners.building.gathering import aggregator
from swath.planners.building.layouts import Split
from swath.planners.building.survey import must_be_whole
from swath.planners.methods.edgeci.lanes import lanes_from, lanes_to
from swath.planners.methods.edgeci.row_blocks import Block, RowBlocks
from swath.planners.methods.whole import Whole
from swath.planners.registry import Problem


@dataclass(frozen=True, slots=True)
class Award:
    """Who computes a block: devices by place, top to bottom, and the ``rows`` of each.

    ``seconds``: until the master has all of it.
    """

    devices: tuple[int, ...]
    rows: tuple[int, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Way:
    """How the network is computed up to a cut: total ``seconds``; of each device (by place) the
    rows ``[held_lo, held_hi)`` that it has of the last map, and the bytes that all its blocks fill.
    """

    seconds: float
    held_lo: np.ndarray
    held_hi: np.ndarray
    filled: np.ndarray
    segments: tuple[Segment, ...] = ()


@dataclass(frozen=True, slots=True)
class Bids:
    """What devices take for rows, in seconds: ``own``: computing, messages' CPU time and latencies;
    ``travelling``: of bytes on the network, nobody else sending; ``held_up``: what the master is
    held up by them."""

    own: np.ndarray
    travelling: np.ndarray
    held_up: np.ndarray

    @property
    def seconds(self) -> np.ndarray:
        """What a device bids: until the master has its part, nobody else sending."""
        return np.asarray(self.own + self.travelling)


Awarding = Callable[["Master", Block, Way], Award | None]
"""How a block is shared out; None: no device has room for it."""


class Master:
    """The device that hands out and gathers, and what it knows of all that may bid.

    ``blocks``: of the graph; ``place``: of the master in the cluster's order, ``bidders``: of all
    who may compute, itself included; arrays are by these places.
    """

    def __init__(self, problem: Problem, blocks: RowBlocks, names: Sequence[str]) -> None:
        costs = problem.costs
        self.blocks = blocks
        self.names = tuple(device.name for device in costs.cluster.workers)
        self.name = aggregator(problem, names)
        self.place = self.names.index(self.name)
        self.bidders = tuple(self.names.index(name) for name in names)
        self._from_source = lanes_from(costs.cluster.source, costs)
        self._out, self._back = lanes_from(self.name, costs), lanes_to(self.name, costs)
        self._memory = np.array(
            [np.inf if device.memory is None else device.memory for device in costs.cluster.workers]
        )

    def begin(self) -> Way:
        """Nothing is computed yet, and nobody holds anything."""
        none = np.zeros(len(self.names), dtype=int)
        return Way(0.0, none, none, np.zeros(len(self.names)))

    def bids(
        self, block: Block, devices: np.ndarray, lo: np.ndarray, hi: np.ndarray, way: Way
    ) -> Bids:
        """What devices take for rows ``[lo, hi)``, not empty ones; the arguments broadcast."""
        held = block.kept(lo, hi, way.held_lo[devices], way.held_hi[devices])
        lacking = np.maximum(block.needed(lo, hi) - held, 0)
        made = block.made * (hi - lo)
        out = self._out if block.start else self._from_source
        return Bids(
            block.seconds(devices, lo, hi)
            + out.waiting(devices, lacking)
            + self._back.waiting(devices, made),
            out.travelling(devices, lacking) + self._back.travelling(devices, made),
            out.holding_up(devices, lacking) + self._back.holding_up(devices, made),
        )

    def offered(self, block: Block, way: Way, devices: Sequence[int], rows: Sequence[int]) -> Bids:
        """What devices take for so many rows each, one or more, from top to bottom."""
        hi = np.array(list(accumulate(rows)))
        return self.bids(block, np.array(devices), hi - np.array(rows), hi, way)

    def shared(self, block: Block, way: Way, devices: Sequence[int], rows: Sequence[int]) -> Award:
        """The award of so many rows, top to bottom; who gets none is left out."""
        taking = [index for index, count in enumerate(rows) if count]
        devices, rows = [devices[index] for index in taking], [rows[index] for index in taking]
        bids = self.offered(block, way, devices, rows)
        together = float(bids.own.max()) + float(bids.held_up.sum())
        return Award(tuple(devices), tuple(rows), max(float(bids.seconds.max()), together))

    def alone(self, block: Block, way: Way, devices: Sequence[int]) -> Award | None:
        """The award to whichever of these has room for the whole block and is done first."""
        spare = self._memory - self._needs(block, way, block.rows)
        able = [device for device in devices if spare[device] >= 0]
        if not able:
            return None
        bids = self.bids(block, np.array(able), np.array(0), np.array(block.rows), way)
        seconds = bids.own + np.maximum(bids.travelling, bids.held_up)
        first = int(seconds.argmin())
        return Award((able[first],), (block.rows,), float(seconds[first]))

    def with_room(
        self, block: Block, way: Way, sized: Callable[[Sequence[int]], Sequence[int]]
    ) -> tuple[Sequence[int], Sequence[int]]:
        """Bidders, and the rows of each. ``sized``: the rows of some devices; whoever has no room
        for its own does not bid, and the rest are sized again."""
        devices: Sequence[int] = self.bidders
        while devices:
            rows = sized(devices)
            lacking = [
                device
                for device, count in zip(devices, rows, strict=True)
                if count and self._needs(block, way, count)[device] > self._memory[device]
            ]
            if not lacking:
                return devices, rows
            devices = [device for device in devices if device not in lacking]
        return (), ()

    def after(self, way: Way, block: Block, award: Award) -> Way:
        """A way with one more block, shared out like this."""
        lo, hi, filled = np.zeros_like(way.held_lo), np.zeros_like(way.held_hi), way.filled.copy()
        stop = 0
        for device, rows in zip(award.devices, award.rows, strict=True):
            lo[device], hi[device] = stop, stop + rows
            stop += rows
            filled[device] += _filled(block, rows)
        names = tuple(self.names[device] for device in award.devices)
        split = Split("rows", names, tuple(map(float, award.rows)))
        segments = (*way.segments, Segment(block.start, block.stop, split))
        return Way(way.seconds + award.seconds, lo, hi, filled, segments)

    def no_room(self, block: Block, way: Way) -> PlanError:
        """The error that tells by how much the roomiest device is too small for a block."""
        missing = self._needs(block, way, block.rows) - self._memory
        device = min(self.bidders, key=lambda place: missing[place])
        nodes = self.blocks.graph.nodes
        return PlanError(
            f"no device has room for the layers from {nodes[block.start].name!r} to "
            f"{nodes[block.stop - 1].name!r}; {self.names[device]!r} is nearest and lacks "
            f"{mebibytes(missing[device])}; use more devices or a smaller input"
        )

    def _needs(self, block: Block, way: Way, rows: int) -> np.ndarray:
        """Bytes that each device needs with so many rows of a block more: the weights of all its
        blocks, as stored and as packed, what it receives and sends of them, and this one's maps."""
        return np.asarray(way.filled + _filled(block, rows) + _maps(block, rows))


def planned(name: str, problem: Problem, way_of: Callable[[Master], Way]) -> Plan:
    """The plan of a way through all the network, its maps handed out and gathered by the master."""
    if must_be_whole(problem.graph, problem.costs):
        return replace(Whole().plan(problem), planner=name)
    blocks = RowBlocks(problem.graph, problem.costs)

    def among(names: Sequence[str]) -> Plan:
        master = Master(problem, blocks, names)
        segments = way_of(master).segments
        return assemble(name, problem, blocks.layouts, segments, leader=master.name)

    return fitting(problem, among)


def _filled(block: Block, rows: int) -> float:
    return PACKING_FACTOR * block.weights + _maps(block, rows)


def _maps(block: Block, rows: int) -> float:
    """Bytes that are read and made for so many rows in the middle of a block."""
    lo = (block.rows - rows) // 2
    return float(block.needed(np.array(lo), np.array(lo + rows)) + block.made * rows)
