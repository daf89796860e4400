"""Pad: constant, reflect, edge and wrap; negative padding crops."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from swath.ops.index_map import FILL, IndexMap, IndexMapRule, emit_indices
from swath.ops.region import Region
from swath.ops.rule import Emitter, Operator, register


@register("Pad")
class Pad(IndexMapRule):
    """Inputs: data, pads, the constant (at most one number), axes; attributes before opset 11."""

    carried = frozenset({2})

    def index_maps(self, op: Operator, output: int) -> Sequence[IndexMap] | None:
        pads = _pads(op)
        if pads is None:
            return None
        mode = op.attribute("mode", "constant")
        maps: list[IndexMap] = []
        for extent, (begin, end) in zip(op.input_shape(), pads, strict=True):
            index = np.arange(-begin, extent + end)
            outside = (index < 0) | (index >= extent)
            if begin == end == 0:
                maps.append(None)
                continue
            if mode == "constant":
                maps.append(np.where(outside, FILL, index))
                continue
            # Where the engine crops, or turns back more than once, its word is taken for it.
            if min(begin, end) < 0 or max(begin, end) >= extent:
                return None
            if mode == "reflect":
                period = extent - 1
                maps.append(period - np.abs(period - index % (2 * period)))
            elif mode == "edge":
                maps.append(np.clip(index, 0, extent - 1))
            elif mode == "wrap":
                maps.append(index % extent)
            else:
                return None
        return maps

    def emit_output(
        self,
        op: Operator,
        region: Region,
        held: Sequence[int],
        indices: Sequence[np.ndarray],
        inputs: Sequence[str | None],
        emitter: Emitter,
    ) -> str:
        """An axis that is padded in the engine's own way is one that is whole here, or whose
        padding is constant; the entries of the others are picked."""
        source = inputs[0]
        assert source is not None
        constant = op.attribute("mode", "constant") == "constant"
        pads = _pads(op)
        assert pads is not None
        begins, ends, picked = [], [], []
        for axis, index in enumerate(indices):
            if constant:
                real = np.flatnonzero(index != FILL)
                begins.append(int(real[0]))
                ends.append(len(index) - 1 - int(real[-1]))
                picked.append(index[real])
            elif region[axis] == (0, op.output_shape()[axis]):
                begins.append(pads[axis][0])
                ends.append(pads[axis][1])
                picked.append(np.arange(held[axis]))
            else:
                begins.append(0)
                ends.append(0)
                picked.append(index)
        source = emit_indices(emitter, source, held, picked)
        if emitter.opset < 11:
            attributes = {**op.attributes, "pads": begins + ends}
            return emitter.node("Pad", [source], attributes=attributes)[0]
        amounts = emitter.constant(np.array(begins + ends, np.int64))
        value = inputs[2] if len(inputs) > 2 else None
        return emitter.node("Pad", [source, amounts, value], attributes=op.attributes)[0]


def _pads(op: Operator) -> list[tuple[int, int]] | None:
    """(before, behind) of every axis; None where they are only known at run time."""
    rank = len(op.input_shape())
    axes = list(range(rank))
    if op.opset < 11:
        amounts = op.integers("pads")
    else:
        value = op.value(1)
        if value is None:
            return None
        amounts = tuple(int(item) for item in value.reshape(-1))
        if op.has_input(3):
            chosen = op.value(3)
            if chosen is None:
                return None
            axes = [int(axis) % rank for axis in chosen.reshape(-1)]
    if len(amounts) != 2 * len(axes):
        return None
    pads = [(0, 0)] * rank
    for position, axis in enumerate(axes):
        pads[axis] = (amounts[position], amounts[position + len(axes)])
    return pads
