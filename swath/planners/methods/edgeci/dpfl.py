"""DPFL, the fusing of EdgeCI, with equal shares.

Chen, Luo, Fang, Xiong: EdgeCI: Distributed Workload Assignment and Model Partitioning for CNN
Inference on Edge Clusters (ACM TOIT 24, 2024).

From the abstract and summaries: dynamic-programming fused-layer parallelisation is not recursive
and has no fixed number of blocks. Reconstructed: the best way to each cut is tabulated from the
first layer on, from the best ways to all cuts before; a residual block or an inception module is
never cut; all devices get equal shares of a block's rows, or the master computes it alone, as it
does what has no rows; maps pass through the master, but a device keeps what it made.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from swath.ops import split_evenly
from swath.plan.plan import Plan
from swath.planners.methods.edgeci.master import Award, Awarding, Master, Way, planned
from swath.planners.methods.edgeci.row_blocks import Block
from swath.planners.methods.edgeci.units import unit_cuts
from swath.planners.registry import Problem


class Dpfl:
    """No options."""

    def plan(self, problem: Problem) -> Plan:
        return planned("dpfl", problem, lambda master: over_best_blocks(master, equally))


def over_best_blocks(master: Master, awarding: Awarding) -> Way:
    """The best sequence of blocks, each shared out. Raises PlanError where nobody has room."""
    cuts = unit_cuts(master.blocks.graph)
    ways: list[Way] = [master.begin()]
    for end in range(1, len(cuts)):
        best: Way | None = None
        for start, block in zip(
            range(end - 1, -1, -1), master.blocks.walk_back(cuts, end), strict=True
        ):
            way = ways[start]
            least = block.least_seconds
            # Going further back only adds computing: past the best total there is nothing to find.
            if best is not None and least >= best.seconds:
                break
            if best is not None and way.seconds + least >= best.seconds:
                continue
            award = awarding(master, block, way)
            if award is None:
                continue
            if best is None or way.seconds + award.seconds < best.seconds:
                best = master.after(way, block, award)
        if best is None:
            block = master.blocks.block(cuts[end - 1], cuts[end])
            raise master.no_room(block, ways[end - 1])
        ways.append(best)
    return ways[-1]


def equally(master: Master, block: Block, way: Way) -> Award | None:
    """The sooner of two awards: equal rows to all who have room for them, and the whole block to
    the master, or to another where that one has no room for it."""
    alone = master.alone(block, way, [master.place]) or master.alone(block, way, master.bidders)
    if block.rows < 2:
        return alone
    devices, rows = master.with_room(block, way, partial(_equal, block))
    if len(devices) < 2:
        return alone
    shared = master.shared(block, way, devices, rows)
    return shared if alone is None or shared.seconds < alone.seconds else alone


def _equal(block: Block, devices: Sequence[int]) -> Sequence[int]:
    return [hi - lo for lo, hi in split_evenly(block.rows, len(devices))]
