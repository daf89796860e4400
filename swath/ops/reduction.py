"""Reductions over whole axes: Reduce*, ArgMax and ArgMin. Every other axis can be split.

Splitting a reduced axis means partial results, which are a rewriting of the graph and no rule.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Sequence

from swath.ops.region import Region
from swath.ops.rule import Demand, Operator, Regions, register
from swath.ops.split_rule import SplitRule, first_region, whole_inputs

REDUCTIONS = """
    ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd
    ReduceSum ReduceSumSquare"""


def reduced_region(
    region: Region, shape: Sequence[int], axes: Collection[int], keepdims: bool
) -> Region:
    """The input (of this shape) that a part of a reduction over ``axes`` reads."""
    kept = iter(region)
    intervals = []
    for axis, extent in enumerate(shape):
        if axis not in axes:
            intervals.append(next(kept))
            continue
        intervals.append((0, extent))
        if keepdims:
            next(kept)
    return Region(intervals)


def reduction_axes(op: Operator) -> frozenset[int] | None:
    """The reduced axes of a Reduce*, as attribute or input; None where known at run time only."""
    rank = len(op.input_shape())
    axes = op.integers("axes")
    if op.has_input(1):
        value = op.value(1)
        if value is None:
            return None
        axes = tuple(int(axis) for axis in value.reshape(-1))
    if not axes:
        return frozenset() if op.attribute("noop_with_empty_axes", 0) else frozenset(range(rank))
    return frozenset(axis % rank for axis in axes)


class ReductionRule(SplitRule):
    """The operator keeps its attributes; the slab holds the reduced axes whole."""

    @abstractmethod
    def axes(self, op: Operator) -> frozenset[int] | None:
        """The reduced axes; None where they are only known at run time."""

    def split(self, op: Operator, wanted: Regions) -> Demand | None:
        axes = self.axes(op)
        if axes is None:
            return None
        region = first_region(wanted)
        keepdims = bool(op.attribute("keepdims", 1))
        data = reduced_region(region, op.input_shape(), axes, keepdims)
        return Demand((region,), (data, *whole_inputs(op)[1:]))

    def flops(self, op: Operator, outputs: Regions) -> int:
        """One operation per entry that is read."""
        data = self.demand(op, outputs).inputs[0]
        assert data is not None
        return data.size


@register(*REDUCTIONS.split())
class Reduce(ReductionRule):
    def axes(self, op: Operator) -> frozenset[int] | None:
        return reduction_axes(op)


@register("ArgMax", "ArgMin")
class ArgReduce(ReductionRule):
    """The index of an extreme along one axis."""

    def axes(self, op: Operator) -> frozenset[int] | None:
        return frozenset({int(op.attribute("axis", 0)) % len(op.input_shape())})


@register("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
class GlobalPool(ReductionRule):
    """Batch and channels can be split."""

    def axes(self, op: Operator) -> frozenset[int] | None:
        return frozenset(range(2, len(op.input_shape())))


@register("QLinearGlobalAveragePool", domain="com.microsoft")
class QLinearGlobalPool(GlobalPool):
    """Inputs: x, then the scales and zero points of x and y."""

    def axes(self, op: Operator) -> frozenset[int] | None:
        return None if op.attribute("channels_last", 0) else super().axes(op)
