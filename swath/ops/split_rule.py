"""What most rules stand on: they understand some forms of an operator and take the others whole.

A rule that does not recognise the attributes or parameters at hand says so by returning None from
`SplitRule.split`; the operator then needs all of its inputs and is emitted as it was.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from functools import reduce

from swath.ops.region import Interval, Region
from swath.ops.rule import WHOLE, BaseRule, Demand, Emitter, Operator, Regions, whole_demand


class SplitRule(BaseRule, ABC):
    """Computes an operator in parts where `split` understands it, and whole where it does not."""

    def demand(self, op: Operator, wanted: Regions) -> Demand:
        return self.split(op, wanted) or whole_demand(op)

    @abstractmethod
    def split(self, op: Operator, wanted: Regions) -> Demand | None:
        """What the wanted regions take; None where this form of the operator is taken whole."""

    def emit(
        self, op: Operator, demand: Demand, inputs: Sequence[str | None], emitter: Emitter
    ) -> tuple[str | None, ...]:
        if demand == whole_demand(op):
            return WHOLE.emit(op, demand, inputs, emitter)
        return self.emit_part(op, demand, inputs, emitter)

    def emit_part(
        self, op: Operator, demand: Demand, inputs: Sequence[str | None], emitter: Emitter
    ) -> tuple[str | None, ...]:
        """Append the sliced operator; by default the operator itself, on the slabs it is given,
        without the optional outputs that were not asked for."""
        asked = [region is not None for region in demand.outputs]
        return emitter.node(
            op.type,
            inputs[: op.own_inputs],
            outputs=[True, *asked[1:]],
            domain=op.domain,
            attributes=self.sliced_attributes(op, demand),
        )


class DataMovement(SplitRule):
    """An operator that only moves values: no floating-point operations."""

    def flops(self, op: Operator, outputs: Regions) -> int:
        return 0


def first_region(regions: Regions) -> Region:
    """The region of the first output that was asked for."""
    return next(region for region in regions if region is not None)


def hull_of(regions: Regions) -> Region:
    """The hull of what is asked of outputs that have the same shape."""
    return reduce(Region.hull, (region for region in regions if region is not None))


def only_asked(wanted: Regions, region: Region) -> Regions:
    """The same region for every output that was asked for."""
    return tuple(None if asked is None else region for asked in wanted)


def whole_inputs(op: Operator) -> list[Region | None]:
    """Every input whole: what a rule starts from when it narrows a few of them."""
    return [None if tensor is None else tensor.whole for tensor in op.inputs]


def widen(region: Region, shape: Sequence[int], axes: Collection[int]) -> Region:
    """The region with these axes (of a tensor of this shape) taken whole."""
    return Region(
        (0, shape[axis]) if axis in axes else interval for axis, interval in enumerate(region)
    )


def per_entry(op: Operator, index: int, interval: Interval) -> Region | None:
    """Region of a parameter that is either one number or a vector with one entry per channel."""
    if not op.has_input(index):
        return None
    shape = op.input_shape(index)
    return Region([interval]) if shape and shape[0] > 1 else Region.whole(shape)
