"""Reshape, Flatten, Squeeze, Unsqueeze: axes followed through by the order of the elements.

Both shapes are factored into blocks of equal product; blocks do not touch each other. Within a
block a region is made a contiguous run of elements, on one side and on the other in turn, until
both sides hold the same run. Where axes merge or fall apart, the leading ones can thus be split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from swath.ops.emitting import emit_reshape
from swath.ops.region import Interval, Region
from swath.ops.rule import Demand, Emitter, Operator, Regions, register
from swath.ops.split_rule import DataMovement, first_region


@dataclass(frozen=True, slots=True)
class Block:
    """Axes ``inputs`` (half-open) of one shape hold the same elements as ``outputs`` of another."""

    inputs: Interval
    outputs: Interval


def factor(shape_in: Sequence[int], shape_out: Sequence[int]) -> tuple[Block, ...]:
    """The finest blocks of equal product; both shapes hold the same number of elements."""
    blocks = []
    i = j = 0
    while i < len(shape_in) or j < len(shape_out):
        first_i, first_j = i, j
        product_in = product_out = 1
        if i < len(shape_in):
            product_in, i = shape_in[i], i + 1
        if j < len(shape_out):
            product_out, j = shape_out[j], j + 1
        while product_in != product_out:
            if product_in < product_out:
                product_in, i = product_in * shape_in[i], i + 1
            else:
                product_out, j = product_out * shape_out[j], j + 1
        blocks.append(Block((first_i, i), (first_j, j)))
    return tuple(blocks)


def span_of(box: Sequence[Interval], shape: Sequence[int]) -> Interval:
    """From the first to the last element of a box, in row-major order."""
    first = last = 0
    for (lo, hi), extent in zip(box, shape, strict=True):
        first, last = first * extent + lo, last * extent + hi - 1
    return first, last + 1


def box_around(span: Interval, shape: Sequence[int]) -> list[Interval]:
    """The smallest box that is a contiguous run of elements and holds ``span``."""
    first, last = span[0], span[1] - 1
    box: list[Interval] = []
    for axis in range(len(shape)):
        stride = prod(shape[axis + 1 :])
        lo, hi = first // stride, last // stride + 1
        box.append((lo, hi))
        if hi - lo > 1:
            return box + [(0, behind) for behind in shape[axis + 1 :]]
        first, last = first - lo * stride, last - lo * stride
    return box


def same_elements(
    wanted: Sequence[Interval], shape_out: Sequence[int], shape_in: Sequence[int]
) -> tuple[list[Interval], list[Interval]]:
    """Boxes of both shapes that hold the same elements, the first around ``wanted``."""
    span = span_of(wanted, shape_out)
    while True:
        box_out = box_around(span, shape_out)
        box_in = box_around(span_of(box_out, shape_out), shape_in)
        grown = span_of(box_in, shape_in)
        if grown == span_of(box_out, shape_out):
            return box_out, box_in
        span = grown


@register("Reshape", "Flatten", "Squeeze", "Unsqueeze")
class Reshape(DataMovement):
    """Emitted as a Reshape to the shape of its region, whatever it was."""

    def split(self, op: Operator, wanted: Regions) -> Demand | None:
        shape_in, shape_out = op.input_shape(), op.output_shape()
        region = first_region(wanted)
        made: list[Interval] = []
        needed: list[Interval] = []
        for block in factor(shape_in, shape_out):
            box_out, box_in = same_elements(
                region[slice(*block.outputs)],
                shape_out[slice(*block.outputs)],
                shape_in[slice(*block.inputs)],
            )
            made += box_out
            needed += box_in
        return Demand((Region(made),), (Region(needed), *(None for _ in op.inputs[1:])))

    def emit_part(
        self, op: Operator, demand: Demand, inputs: Sequence[str | None], emitter: Emitter
    ) -> tuple[str | None, ...]:
        assert inputs[0] is not None
        return (emit_reshape(emitter, inputs[0], first_region(demand.outputs).shape),)
