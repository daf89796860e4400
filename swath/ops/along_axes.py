"""Operators that need some axes whole and keep the shape: Softmax, CumSum, TopK, ...

What lies off those axes is independent and can be split.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from swath.ops.region import Region
from swath.ops.rule import Demand, Emitter, Operator, Regions, register
from swath.ops.split_rule import SplitRule, first_region, hull_of, only_asked, whole_inputs, widen


class AlongAxes(SplitRule):
    """Input 0 and the outputs agree in all extents but those of the whole axes; the other inputs
    are parameters."""

    @abstractmethod
    def axes(self, op: Operator) -> frozenset[int] | None:
        """The axes taken whole; None where they are only known at run time."""

    def split(self, op: Operator, wanted: Regions) -> Demand | None:
        axes = self.axes(op)
        if axes is None:
            return None
        region = hull_of(wanted)
        made = widen(region, _output_shape(op), axes)
        data = widen(region, op.input_shape(), axes)
        return Demand(only_asked(wanted, made), (data, *whole_inputs(op)[1:]))


def _output_shape(op: Operator) -> tuple[int, ...]:
    return next(op.output_shape(index) for index, made in enumerate(op.outputs) if made is not None)


class AlongOneAxis(AlongAxes):
    """The axis is the attribute ``axis``, by default the last."""

    def axes(self, op: Operator) -> frozenset[int] | None:
        return frozenset({int(op.attribute("axis", -1)) % len(op.input_shape())})


@register("LpNormalization")
class LpNormalization(AlongOneAxis):
    def flops(self, op: Operator, outputs: Regions) -> int:
        return 3 * super().flops(op, outputs)


@register("TopK")
class TopK(AlongOneAxis):
    def emit_part(
        self, op: Operator, demand: Demand, inputs: Sequence[str | None], emitter: Emitter
    ) -> tuple[str | None, ...]:
        """Neither of its outputs can be left out."""
        return emitter.node(op.type, inputs, outputs=[True, True], attributes=op.attributes)


@register("Softmax", "LogSoftmax", "Hardmax")
class Softmax(AlongOneAxis):
    """Before opset 13 over everything from ``axis`` (by default 1) on, since then over one axis."""

    def axes(self, op: Operator) -> frozenset[int] | None:
        if op.opset >= 13:
            return super().axes(op)
        rank = len(op.input_shape())
        axis = int(op.attribute("axis", 1))
        return frozenset(range(axis + rank if axis < 0 else axis, rank))

    def flops(self, op: Operator, outputs: Regions) -> int:
        """A maximum, a difference, an exponential, a sum and a quotient per entry."""
        return 5 * super().flops(op, outputs)


@register("CumSum", "CumProd")
class Cumulative(AlongAxes):
    """Input 1 is the axis."""

    def axes(self, op: Operator) -> frozenset[int] | None:
        axis = op.value(1)
        return (
            None if axis is None else frozenset({int(axis.reshape(-1)[0]) % len(op.input_shape())})
        )


@register("MeanVarianceNormalization")
class MeanVarianceNormalization(AlongAxes):
    def axes(self, op: Operator) -> frozenset[int] | None:
        rank = len(op.input_shape())
        return frozenset(axis % rank for axis in op.integers("axes") or (0, 2, 3))

    def flops(self, op: Operator, outputs: Regions) -> int:
        return 6 * super().flops(op, outputs)


@register("OneHot")
class OneHot(SplitRule):
    """Inputs: indices, the depth, (off, on). The new axis is taken whole."""

    def split(self, op: Operator, wanted: Regions) -> Demand | None:
        region = first_region(wanted)
        axis = int(op.attribute("axis", -1)) % len(region)
        made = region.replace(axis, (0, op.output_shape()[axis]))
        indices = Region(interval for other, interval in enumerate(region) if other != axis)
        return Demand((made,), (indices, *whole_inputs(op)[1:]))
