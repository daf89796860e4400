"""What the paths through a fused block take, for all blocks and cuts at once.

A block is all that lies before a cut (its end); it is cut into up to so many paths of equal rows
of what it hands on. One walk back (`swath.planners.methods.offload.walk`) gives what each path of
each block computes before every cut, and which strips it needs there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from swath.plan.order import memory_orders
from swath.plan.plan import Plan, Tile
from swath.plan.runs import contiguous_runs
from swath.planners.building.tables import Tables
from swath.planners.methods.offload.blocks import Blocks
from swath.planners.methods.offload.walk import Needed, Walk
from swath.planners.registry import Problem


@dataclass(frozen=True, slots=True)
class Paths:
    """What paths take. ``seconds``: of CPU before a cut, by kind of device, place of the cut, block
    and column.

    What has to be there at a cut, by item, cut, block and column: the strip ``[lo, hi)``, and
    whether it ``is_read`` before the block's end; by item and cut: the number of its ``tensor``
    (-1: no such item) and the bytes of an entry. By tensor: the node that makes it (``maker``, -1:
    none), whether a part of it is copied before it is sent, by a device (``is_cut_out``) and by the
    coordinator (``is_picked_out``).
    """

    blocks: Blocks
    seconds: np.ndarray
    lo: np.ndarray
    hi: np.ndarray
    is_read: np.ndarray
    tensor: np.ndarray
    entry_bytes: np.ndarray
    maker: np.ndarray
    is_cut_out: np.ndarray
    is_picked_out: np.ndarray


def paths_of(problem: Problem, tables: Tables, blocks: Blocks) -> Paths:
    """The paths of all blocks."""
    walk = Walk(tables, blocks)
    found: dict[int, dict[str, Needed]] = {}
    kinds = int(tables.kinds.max()) + 1
    seconds = np.zeros((kinds, *blocks.shape))
    for place in range(blocks.last, -1, -1):
        found[place] = walk.needed(blocks.cuts[place])
        if place:
            seconds[:, place] = walk.back(blocks.cuts[place], blocks.cuts[place - 1])
    slots = _slots([found[place] for place in range(len(blocks.cuts))])
    graph = tables.graph
    as_they_lie = _sent_as_they_lie(problem, tables, slots)
    numbers = {name: number for number, name in enumerate(slots)}
    items = max(slots.values(), default=0) + 1
    shape = (items, *blocks.shape)
    lo, hi = np.zeros(shape, dtype=np.int32), np.zeros(shape, dtype=np.int32)
    is_read = np.zeros(shape, dtype=bool)
    tensor = np.full((items, len(blocks.cuts)), -1)
    entry_bytes = np.zeros((items, len(blocks.cuts)))
    for place, needed in found.items():
        for name, strips in needed.items():
            item = slots[name]
            lo[item, place], hi[item, place] = strips.ends.lo, strips.ends.hi
            is_read[item, place] = strips.is_read
            tensor[item, place] = numbers[name]
            entry_bytes[item, place] = graph.tensors[name].nbytes / tables.extent(name, "rows")
    return Paths(
        blocks, np.cumsum(seconds, axis=1), lo, hi, is_read, tensor, entry_bytes,
        np.array([graph.producers.get(name, -1) for name in slots]),
        np.array([name not in as_they_lie for name in slots]),
        np.array([_is_picked_out(tables, name) for name in slots]),
    )  # fmt: skip


def _slots(found: Sequence[dict[str, Needed]]) -> dict[str, int]:
    """An item for each tensor: the same at all cuts that it crosses, no two at one cut alike."""
    slots: dict[str, int] = {}
    for needed in found:
        taken = {slots[name] for name in needed if name in slots}
        for name in needed:
            if name not in slots:
                slots[name] = next(slot for slot in range(len(taken) + 1) if slot not in taken)
                taken.add(slots[name])
    return slots


def _sent_as_they_lie(problem: Problem, tables: Tables, names: Iterable[str]) -> set[str]:
    """Tensors whose rows lie together in memory where they are made in parts."""
    graph = tables.graph
    tiles = []
    for name in names:
        axis, whole = tables.axis(name, "rows"), graph.tensors[name].whole
        if name in graph.producers and axis is not None:
            middle = (whole[axis][0] + whole[axis][1]) // 2
            halves = ((whole[axis][0], middle), (middle, whole[axis][1]))
            tiles += [Tile("", "", {name: whole.replace(axis, half)}) for half in halves]
    parts = Plan("", "", graph, (), problem.costs.cluster.source, (), tuple(tiles))
    return set(memory_orders(parts, graph))


def _is_picked_out(tables: Tables, name: str) -> bool:
    axis, whole = tables.axis(name, "rows"), tables.graph.tensors[name].whole
    if axis is None or name in tables.graph.producers:
        return False
    lo, hi = whole[axis]
    return hi - lo > 1 and contiguous_runs(whole.replace(axis, (lo, hi - 1)), whole) is None
