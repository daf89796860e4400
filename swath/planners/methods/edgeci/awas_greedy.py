"""AWAS read as a procurement auction: chunks of rows to the lowest bid.

Chen, Luo, Fang, Xiong: EdgeCI: Distributed Workload Assignment and Model Partitioning for CNN
Inference on Edge Clusters (ACM TOIT 24, 2024).

Another reading of the abstract, and reconstruction as a whole: the master puts up one chunk of a
fixed block's rows after the other, each device bids the time at which it would be done with what it
has won already and the chunk, and the lowest bid wins. What each has won lies together, in the
cluster's order. Who bids, what a bid counts and what the blocks are is told in
`swath.planners.methods.edgeci.awas`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from swath.plan.plan import Plan
from swath.planners.methods.edgeci.awas import over_fixed_blocks
from swath.planners.methods.edgeci.master import Award, Master, Way, planned
from swath.planners.methods.edgeci.row_blocks import Block
from swath.planners.registry import Problem

CHUNKS = 8
"""Of a block for each device, where it has so many rows."""


class AwasGreedy:
    """No options."""

    def plan(self, problem: Problem) -> Plan:
        return planned("awas-greedy", problem, lambda master: over_fixed_blocks(master, procured))


def procured(master: Master, block: Block, way: Way) -> Award | None:
    """Each chunk of rows to the lowest bid; where nobody has room for a part, the block to one."""
    if block.rows > 1:
        devices, rows = master.with_room(block, way, partial(_won, master, block, way))
        if devices:
            return master.shared(block, way, devices, rows)
    return master.alone(block, way, master.bidders)


def _won(master: Master, block: Block, way: Way, devices: Sequence[int]) -> Sequence[int]:
    """The rows that each device wins."""
    places = np.array(devices)
    won = np.zeros(len(places), dtype=int)
    size = -(-block.rows // (CHUNKS * len(places)))
    while (left := block.rows - int(won.sum())) > 0:
        chunk = min(size, left)
        # A device's rows are taken to lie in the middle of all, with a halo on each side.
        lo = (block.rows - won - chunk) // 2
        bids = master.bids(block, places, lo, lo + won + chunk, way)
        won[int(bids.seconds.argmin())] += chunk
    return [int(rows) for rows in won]
