"""AWAS, the auction of EdgeCI, on fixed blocks.

Chen, Luo, Fang, Xiong: EdgeCI: Distributed Workload Assignment and Model Partitioning for CNN
Inference on Edge Clusters (ACM TOIT 24, 2024).

From the abstract and summaries: a device with a task becomes the master and collects what the
others can do now; auction-based workload assignment (AWAS) gives each partition of the workload to
the device that matches it best; what partitions compute twice is counted; maps are split along one
axis. Reconstructed, the rest: maps pass through the master, as in the group's EdgeLD and EdgeDI,
but a device keeps what it made; rows are sized so that all are done at the same time; the devices
that get any bid for the places from top to bottom, as outer places have one halo and inner ones
two, with the time until the master would have their rows; rows then move from the slowest to the
fastest, and are auctioned again while that changes who is where. A bid holds the device's load (its
costs are those that it has now) and its room: whose memory cannot hold the weights of all its
blocks twice (as stored and as packed), what it receives and sends of them, and the maps that its
part of this block is made from and into, does not bid. A block may also go to one device, if that
one bids less than all take together; so do layers without rows. What is between two pools is a
block, or a layer or residual block where a network has no pools.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np

from swath.ops import split_by_shares
from swath.plan.plan import Plan
from swath.planners.building.balancing import equal_finish, rebalanced
from swath.planners.methods.edgeci.auctions import auctioned
from swath.planners.methods.edgeci.master import Award, Awarding, Master, Way, planned
from swath.planners.methods.edgeci.row_blocks import Block
from swath.planners.methods.edgeci.units import fixed_cuts
from swath.planners.registry import Problem

ROUNDS = 3
"""Auctions of a block, at most; the next one is for the rows that the last one led to."""

TOLERANCE = 1e-3
"""Of an auction, as a share of a bid."""


class Awas:
    """No options."""

    def plan(self, problem: Problem) -> Plan:
        return planned("awas", problem, lambda master: over_fixed_blocks(master, by_auction))


def over_fixed_blocks(master: Master, awarding: Awarding) -> Way:
    """One fixed block after the other, each shared out. Raises PlanError where none has room."""
    way = master.begin()
    for start, stop in pairwise(fixed_cuts(master.blocks.graph)):
        block = master.blocks.block(start, stop)
        award = awarding(master, block, way)
        if award is None:
            raise master.no_room(block, way)
        way = master.after(way, block, award)
    return way


def by_auction(master: Master, block: Block, way: Way) -> Award | None:
    """The sooner of two awards: to the lowest bid for all of the block, and to those who win its
    rows."""
    best = master.alone(block, way, master.bidders)
    if block.rows < 2:
        return best
    able, sizes = master.with_room(block, way, partial(_sized, master, block, way))
    devices = [device for device, count in zip(able, sizes, strict=True) if count]
    rows = [count for count in sizes if count]
    if len(devices) < 2:
        return best
    for _ in range(ROUNDS):
        order = _placed(master, block, way, devices, rows)
        devices, rows = [devices[i] for i in order], [rows[i] for i in order]
        rows = list(rebalanced(rows, partial(_bids, master, block, way, devices)))
        if order == tuple(range(len(order))):
            break
    # Where all wait for the master's port, it is computing that is to be done at the same time.
    other = rebalanced(rows, partial(_own, master, block, way, devices))
    awards = (master.shared(block, way, devices, each) for each in (rows, other))
    return min(awards if best is None else (best, *awards), key=lambda award: award.seconds)


def _sized(master: Master, block: Block, way: Way, devices: Sequence[int]) -> Sequence[int]:
    """The rows of each device, some of them none, all done at the same time in the middle of the
    block, as though each held what it needs of the map before."""
    places = np.array(devices)
    part = max(1, block.rows // len(devices))
    lo = (block.rows - part) // 2
    everything = np.full_like(way.held_hi, np.iinfo(way.held_hi.dtype).max)
    holding = replace(way, held_lo=np.zeros_like(everything), held_hi=everything)
    inner, top, whole = (
        master.bids(block, places, np.array(start), np.array(stop), holding).seconds
        for start, stop in ((lo, lo + part), (0, part), (0, block.rows))
    )
    # Rows in the middle have two halos, those at the top one, and all rows none.
    without_halo = 2 * top - inner
    per_row = np.maximum(whole - without_halo, 0) / max(1, block.rows - part)
    # In half rows, so that who would get most of one is not left out.
    fixed = inner - per_row * part
    halves = equal_finish(2 * block.rows, (per_row / 2).tolist(), fixed.tolist())
    return [hi - lo for lo, hi in split_by_shares(block.rows, halves)]


def _bids(
    master: Master, block: Block, way: Way, devices: Sequence[int], rows: Sequence[int]
) -> list[float]:
    return list(master.offered(block, way, devices, rows).seconds)


def _own(
    master: Master, block: Block, way: Way, devices: Sequence[int], rows: Sequence[int]
) -> list[float]:
    return list(master.offered(block, way, devices, rows).own)


def _placed(
    master: Master, block: Block, way: Way, devices: Sequence[int], rows: Sequence[int]
) -> tuple[int, ...]:
    """Indices of the devices by place from top to bottom: each bids for its own number of rows at
    every place."""
    counts = np.array(rows)[:, None]
    places = np.arange(len(devices))
    spare = block.rows - counts
    lo = spare * places // max(1, len(devices) - 1)
    bids = master.bids(block, np.array(devices)[:, None], lo, lo + counts, way).seconds
    place_of = auctioned(-bids, TOLERANCE * float(bids.mean()))
    return tuple(place_of.index(place) for place in range(len(devices)))
