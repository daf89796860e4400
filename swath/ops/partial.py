"""Partial results: one operator's reduction in parts along new leading axes, and what joins them.

A reduction whose input axis is cut at ``bounds`` becomes a partial operator, whose output has one
entry per part on a new leading axis, and `CombineParts`, which makes the original output. Entry
``p`` needs the input interval ``[bounds[p], bounds[p + 1])`` and nothing else, so the region
algebra sees an axis like any other. Cut along two input axes (a grid), there are two leading axes.

These operators live in `SWATH_DOMAIN`, exist only inside a graph (`swath.graph.reductions` puts
them there) and write standard ONNX operators. Statistics of normalisations: `swath.ops.moments`.

Maximum and minimum: ONNX Runtime itself keeps or drops a NaN by its place among the vector lanes,
so no split of these can promise to do as the unsplit operator does with one. All other kinds
hand a NaN on, as it does.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from math import prod

import numpy as np

from swath.ops.elementwise import broadcast_region
from swath.ops.emitting import emit_concat, emit_crop, emit_reduce, emit_reshape
from swath.ops.region import Interval, Region
from swath.ops.rule import (
    SWATH_DOMAIN,
    BaseRule,
    Demand,
    Emitter,
    Operator,
    Regions,
    register,
)
from swath.ops.split_rule import first_region
from swath.ops.window import WindowTile, explicit_padding, tile_window, windows

POWER_SUM = "PowerSum"
"""The one reduction of parts that ONNX has no operator for: the sum of ``abs(x) ** p``."""

_COST = {"ReduceL1": 2, "ReduceSumSquare": 2, "ReduceLogSumExp": 3, POWER_SUM: 3}
"""FLOPs per entry of a reduction's input; 1 for the others."""


class PartialRule(BaseRule, ABC):
    """What partial operators share: the leading axes, and the loop over the parts of a tile.

    Attributes: ``split_axes`` (of input 0), ``split_bounds`` (those of the axes one after another).
    """

    @abstractmethod
    def part_demand(
        self, op: Operator, region: Region, parts: Mapping[int, Interval]
    ) -> tuple[Region, Regions]:
        """(region made, regions of the inputs) of one part; ``region`` has no leading axes and
        ``parts`` holds the intervals of the split axes."""

    @abstractmethod
    def emit_part(
        self,
        op: Operator,
        region: Region,
        needed: Regions,
        inputs: Sequence[str | None],
        emitter: Emitter,
    ) -> str:
        """Append the operator of one part; returns a tensor of ``region``'s size."""

    def demand(self, op: Operator, wanted: Regions) -> Demand:
        region = first_region(wanted)
        bounds = split_bounds(op)
        lead, rest = region[: len(bounds)], Region(region[len(bounds) :])
        parts = {
            axis: (cuts[first], cuts[last])
            for (axis, cuts), (first, last) in zip(bounds.items(), lead, strict=True)
        }
        made, needed = self.part_demand(op, rest, parts)
        return Demand((Region((*lead, *made)),), needed)

    def emit(
        self, op: Operator, demand: Demand, inputs: Sequence[str | None], emitter: Emitter
    ) -> tuple[str | None, ...]:
        made = first_region(demand.outputs)
        count = len(split_bounds(op))
        rest = Region(made[count:])
        names = []
        for parts in _each_part(op, made):
            _, needed = self.part_demand(op, rest, parts)
            crops = [
                None
                if name is None or held is None or part is None
                else emit_crop(emitter, name, held, part)
                for name, held, part in zip(inputs, demand.inputs, needed, strict=True)
            ]
            name = self.emit_part(op, rest, needed, crops, emitter)
            names.append(emit_reshape(emitter, name, (1, *rest.shape)))
        joined = emit_concat(emitter, names, 0)
        return (joined if count == 1 else emit_reshape(emitter, joined, made.shape),)


def split_bounds(op: Operator) -> dict[int, list[int]]:
    """A partial operator's cut points by split axis, in the order of its leading axes."""
    flat: list[int] = op.attributes["split_bounds"]
    bounds = {}
    start = 0
    for axis, parts in zip(op.attributes["split_axes"], op.output_shape(), strict=False):
        bounds[axis] = flat[start : start + parts + 1]
        start += parts + 1
    return bounds


def _each_part(op: Operator, made: Region) -> Iterator[dict[int, Interval]]:
    bounds = split_bounds(op)
    for indices in product(*(range(*made[place]) for place in range(len(bounds)))):
        yield {
            axis: (cuts[index], cuts[index + 1])
            for (axis, cuts), index in zip(bounds.items(), indices, strict=True)
        }


@register("PartialReduce", domain=SWATH_DOMAIN)
class PartialReduce(PartialRule):
    """A reduction that keeps its dimensions. Attributes: ``reduce`` (an ONNX reduction, or
    `POWER_SUM` with ``p``), ``axes`` (all that are reduced)."""

    def part_demand(
        self, op: Operator, region: Region, parts: Mapping[int, Interval]
    ) -> tuple[Region, Regions]:
        shape = op.input_shape()
        axes = op.attributes["axes"]
        data = Region(
            parts.get(axis, (0, shape[axis])) if axis in axes else region[axis]
            for axis in range(len(shape))
        )
        return region, (data,)

    def emit_part(
        self,
        op: Operator,
        region: Region,
        needed: Regions,
        inputs: Sequence[str | None],
        emitter: Emitter,
    ) -> str:
        (name,) = inputs
        assert name is not None
        reduction = op.attributes["reduce"]
        if reduction == POWER_SUM:
            exponent = emitter.constant(np.array(op.attributes["p"], op.input(0).dtype))
            (name,) = emitter.node("Abs", [name])
            (name,) = emitter.node("Pow", [name, exponent])
            reduction = "ReduceSum"
        return emit_reduce(emitter, reduction, name, op.attributes["axes"], keepdims=True)

    def flops(self, op: Operator, outputs: Regions) -> int:
        read = first_region(self.demand(op, outputs).inputs)
        return read.size * _COST.get(op.attributes["reduce"], 1)


@register("PartialConv", domain=SWATH_DOMAIN)
class PartialConv(PartialRule):
    """Conv of one group over some of the input channels, without the bias."""

    def part_demand(
        self, op: Operator, region: Region, parts: Mapping[int, Interval]
    ) -> tuple[Region, Regions]:
        tiles = self.window_tiles(op, region)
        made = Region([region[0], region[1], *(tile.outputs for tile in tiles)])
        data = Region([region[0], parts[1], *(tile.inputs for tile in tiles)])
        kernel = op.input_shape(1)[2:]
        weight = Region([region[1], parts[1], *((0, extent) for extent in kernel)])
        return made, (data, weight)

    def emit_part(
        self,
        op: Operator,
        region: Region,
        needed: Regions,
        inputs: Sequence[str | None],
        emitter: Emitter,
    ) -> str:
        attributes = {
            **explicit_padding(self.window_tiles(op, region)),
            "strides": op.attribute("strides"),
            "dilations": op.attribute("dilations"),
        }
        return emitter.node("Conv", inputs, attributes=attributes)[0]

    def window_tiles(self, op: Operator, region: Region) -> tuple[WindowTile, ...]:
        extents = op.output_shape()[3:]
        return tuple(
            tile_window(window, outputs, extent)
            for window, outputs, extent in zip(
                windows(op, op.input_shape(1)[2:], op.input_shape()),
                region[2:],
                extents,
                strict=True,
            )
        )

    def flops(self, op: Operator, outputs: Regions) -> int:
        demand = self.demand(op, outputs)
        made, data = first_region(demand.outputs), first_region(demand.inputs)
        return 2 * prod(made.shape[1:]) * data.shape[1] * prod(op.input_shape(1)[2:])


@register("PartialMatMul", domain=SWATH_DOMAIN)
class PartialMatMul(PartialRule):
    """MatMul over some of the inner axis, with NumPy's broadcasting of the outer ones."""

    def part_demand(
        self, op: Operator, region: Region, parts: Mapping[int, Interval]
    ) -> tuple[Region, Regions]:
        left, right = op.input(0), op.input(1)
        left_rank, right_rank = len(op.input_shape(0)), len(op.input_shape(1))
        (inner,) = parts.values()
        # The region as if neither input had dropped its row or column axis.
        rows = region[-2 if right_rank > 1 else -1] if left_rank > 1 else (0, 1)
        columns = region[-1] if right_rank > 1 else (0, 1)
        outer = region[: len(region) - (left_rank > 1) - (right_rank > 1)]
        left_region = broadcast_region(Region([*outer, rows, (0, 1)]), left)
        left_region = left_region.replace(left_rank - 1, inner)
        if right_rank == 1:
            return region, (left_region, Region([inner]))
        right_region = broadcast_region(Region([*outer, (0, 1), columns]), right)
        return region, (left_region, right_region.replace(right_rank - 2, inner))

    def emit_part(
        self,
        op: Operator,
        region: Region,
        needed: Regions,
        inputs: Sequence[str | None],
        emitter: Emitter,
    ) -> str:
        return emitter.node("MatMul", inputs)[0]

    def flops(self, op: Operator, outputs: Regions) -> int:
        demand = self.demand(op, outputs)
        made, left = first_region(demand.outputs), first_region(demand.inputs)
        return 2 * prod(made.shape[1:]) * left.shape[-1]


@register("PartialGemm", domain=SWATH_DOMAIN)
class PartialGemm(PartialRule):
    """Gemm over some of the inner axis, without the added matrix."""

    def part_demand(
        self, op: Operator, region: Region, parts: Mapping[int, Interval]
    ) -> tuple[Region, Regions]:
        rows, columns = region
        (inner,) = parts.values()
        left = Region([inner, rows] if op.attribute("transA", 0) else [rows, inner])
        right = Region([columns, inner] if op.attribute("transB", 0) else [inner, columns])
        return region, (left, right)

    def emit_part(
        self,
        op: Operator,
        region: Region,
        needed: Regions,
        inputs: Sequence[str | None],
        emitter: Emitter,
    ) -> str:
        arguments = list(inputs)
        if emitter.opset < 11:
            arguments.append(emitter.constant(np.zeros(1, op.input(0).dtype)))
        attributes = {key: op.attribute(key) for key in ("alpha", "transA", "transB")}
        return emitter.node("Gemm", arguments, attributes=attributes)[0]

    def flops(self, op: Operator, outputs: Regions) -> int:
        demand = self.demand(op, outputs)
        made, left = first_region(demand.outputs), first_region(demand.inputs)
        return 2 * prod(made.shape[1:]) * left.shape[0 if op.attribute("transA", 0) else 1]


@register("CombineParts", domain=SWATH_DOMAIN)
class CombineParts(BaseRule):
    """From partial results to the result: reduce over the parts, then what comes once.

    Inputs: the partial results, and optionally what is added. Attributes: ``leading`` (how many
    leading axes), ``reduce`` (an ONNX reduction), ``squeezed`` (further axes of extent 1 to drop),
    ``divisor``, ``root`` (2: square root), ``logarithm``, ``addend_axis`` (the addend is a vector
    along this axis; otherwise it broadcasts as NumPy does), ``beta`` (its factor).
    """

    def demand(self, op: Operator, wanted: Regions) -> Demand:
        region = first_region(wanted)
        shape = op.input_shape()
        leading = op.attributes["leading"]
        intervals = iter(region)
        squeezed = op.attribute("squeezed", ())
        rest = [
            (0, 1) if axis in squeezed else next(intervals) for axis in range(len(shape) - leading)
        ]
        parts = Region([*((0, extent) for extent in shape[:leading]), *rest])
        if not op.has_input(1):
            return Demand((region,), (parts,))
        axis = op.attribute("addend_axis")
        addend = broadcast_region(region, op.input(1)) if axis is None else Region([region[axis]])
        return Demand((region,), (parts, addend))

    def emit(
        self, op: Operator, demand: Demand, inputs: Sequence[str | None], emitter: Emitter
    ) -> tuple[str | None, ...]:
        made = first_region(demand.outputs)
        assert inputs[0] is not None
        leading = op.attributes["leading"]
        axes = [*range(leading), *(leading + axis for axis in op.attribute("squeezed", ()))]
        name = emit_reduce(emitter, op.attributes["reduce"], inputs[0], axes, keepdims=False)

        def number(value: float) -> str:
            return emitter.constant(np.array(value, op.input(0).dtype))

        if op.attribute("divisor"):
            (name,) = emitter.node("Div", [name, number(op.attributes["divisor"])])
        if op.attribute("logarithm"):
            (name,) = emitter.node("Log", [name])
        root = op.attribute("root")
        if root == 2:
            (name,) = emitter.node("Sqrt", [name])
        elif root:
            (name,) = emitter.node("Pow", [name, number(1 / root)])
        if op.has_input(1):
            addend = inputs[1]
            assert addend is not None
            axis = op.attribute("addend_axis")
            if axis is not None:
                shape = [-1, *([1] * (len(made) - axis - 1))]
                addend = emit_reshape(emitter, addend, shape)
            if op.attribute("beta", 1.0) != 1.0:
                (addend,) = emitter.node("Mul", [addend, number(op.attributes["beta"])])
            (name,) = emitter.node("Add", [name, addend])
        return (name,)

    def flops(self, op: Operator, outputs: Regions) -> int:
        made = first_region(outputs)
        parts = prod(op.input_shape()[: op.attributes["leading"]])
        once = any(op.attribute(key) for key in ("divisor", "root", "logarithm"))
        return made.size * (parts - 1 + once + op.has_input(1))
