"""Slice, Split, Gather, Tile: parts and repetitions of a tensor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from swath.ops.elementwise import broadcast_region
from swath.ops.emitting import emit_gather
from swath.ops.index_map import IndexMap, IndexMapRule, emit_indices
from swath.ops.region import Region
from swath.ops.rule import Demand, Emitter, Operator, Regions, register
from swath.ops.split_rule import DataMovement, first_region


@register("Slice")
class Slice(IndexMapRule):
    """Inputs: data, starts, ends, axes, steps; attributes before opset 10."""

    def index_maps(self, op: Operator, output: int) -> Sequence[IndexMap] | None:
        shape = op.input_shape()
        starts, ends, axes, steps = (self._parameter(op, index) for index in (1, 2, 3, 4))
        if starts is None or ends is None or axes is None or steps is None:
            return None
        axes = axes or tuple(range(len(starts)))
        steps = steps or (1,) * len(starts)
        maps: list[IndexMap] = [None] * len(shape)
        for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
            extent = shape[axis]
            maps[axis] = np.arange(extent)[slice(start, end, step)]
        return maps

    def _parameter(self, op: Operator, index: int) -> tuple[int, ...] | None:
        """() where it is absent, None where it is only known at run time."""
        if op.opset < 10:
            return op.integers(("", "starts", "ends", "axes", "steps")[index])
        if not op.has_input(index):
            return ()
        value = op.value(index)
        return None if value is None else tuple(int(item) for item in value.reshape(-1))


@register("Split")
class Split(IndexMapRule):
    """The sizes are those of the outputs, wherever an opset keeps them."""

    def index_maps(self, op: Operator, output: int) -> Sequence[IndexMap] | None:
        if any(tensor is None for tensor in op.outputs):
            return None
        shape = op.input_shape()
        axis = int(op.attribute("axis", 0)) % len(shape)
        sizes = [op.output_shape(index)[axis] for index in range(len(op.outputs))]
        if sum(sizes) != shape[axis]:
            return None
        start = sum(sizes[:output])
        maps: list[IndexMap] = [None] * len(shape)
        maps[axis] = np.arange(start, start + sizes[output])
        return maps


@register("Tile")
class Tile(IndexMapRule):
    """The repeats are the ratios of the extents."""

    def index_maps(self, op: Operator, output: int) -> Sequence[IndexMap] | None:
        return [
            None if made == extent else np.arange(made) % extent
            for extent, made in zip(op.input_shape(), op.output_shape(), strict=True)
        ]

    def emit_output(
        self,
        op: Operator,
        region: Region,
        held: Sequence[int],
        indices: Sequence[np.ndarray],
        inputs: Sequence[str | None],
        emitter: Emitter,
    ) -> str:
        """Axes that are whole are repeated by the operator, parts of a repetition are picked."""
        source = inputs[0]
        assert source is not None
        whole = [interval == (0, n) for interval, n in zip(region, op.output_shape(), strict=True)]
        repeats = [
            made // extent if is_whole else 1
            for made, extent, is_whole in zip(op.output_shape(), held, whole, strict=True)
        ]
        picked = [
            np.arange(extent) if is_whole else index
            for index, extent, is_whole in zip(indices, held, whole, strict=True)
        ]
        name = emit_indices(emitter, source, held, picked)
        return emitter.node("Tile", [name, emitter.constant(np.array(repeats, np.int64))])[0]


@register("Gather")
class Gather(DataMovement):
    """Output axes: the data's before ``axis``, those of the indices, the data's behind it.

    Indices that are constant tell which slab of the gathered axis a part reads.
    """

    def split(self, op: Operator, wanted: Regions) -> Demand | None:
        region = first_region(wanted)
        axis, index_region = self._index_region(op, region)
        behind = region[axis + len(index_region) :]
        chosen = self._chosen(op, index_region)
        extent = op.input_shape()[axis]
        read = (0, extent) if chosen is None else (int(chosen.min()), int(chosen.max()) + 1)
        data = Region([*region[:axis], read, *behind])
        return Demand((region,), (data, index_region if chosen is None else None))

    def emit_part(
        self, op: Operator, demand: Demand, inputs: Sequence[str | None], emitter: Emitter
    ) -> tuple[str | None, ...]:
        region, data = first_region(demand.outputs), demand.inputs[0]
        axis, index_region = self._index_region(op, region)
        chosen = self._chosen(op, index_region)
        if chosen is None:
            return super().emit_part(op, demand, inputs, emitter)
        assert data is not None
        assert inputs[0] is not None
        return (emit_gather(emitter, inputs[0], chosen - data[axis][0], axis),)

    def _index_region(self, op: Operator, region: Region) -> tuple[int, Region]:
        axis = int(op.attribute("axis", 0)) % len(op.input_shape())
        return axis, Region(region[axis : axis + len(op.input_shape(1))])

    def _chosen(self, op: Operator, index_region: Region) -> np.ndarray | None:
        value = op.value(1)
        if value is None:
            return None
        extent = op.input_shape()[int(op.attribute("axis", 0))]
        return np.asarray(value[index_region.slices()], np.int64) % extent


@register("GatherElements")
class GatherElements(DataMovement):
    """Each output reads along ``axis`` at an index of its own, at its own place on the others."""

    def split(self, op: Operator, wanted: Regions) -> Demand | None:
        region = first_region(wanted)
        shape = op.input_shape()
        axis = int(op.attribute("axis", 0)) % len(shape)
        return Demand((region,), (region.replace(axis, (0, shape[axis])), region))


@register("Expand")
class Expand(DataMovement):
    """Broadcasts; the sliced operator's target is the shape of its region."""

    def split(self, op: Operator, wanted: Regions) -> Demand | None:
        region = first_region(wanted)
        return Demand((region,), (broadcast_region(region, op.input(0)), None))

    def emit_part(
        self, op: Operator, demand: Demand, inputs: Sequence[str | None], emitter: Emitter
    ) -> tuple[str | None, ...]:
        target = emitter.constant(np.array(first_region(demand.outputs).shape, np.int64))
        return emitter.node("Expand", [inputs[0], target])
