"""Quantisation: to integers and back, per tensor or per axis, and ONNX Runtime's int8 operators."""

from __future__ import annotations

from collections.abc import Sequence

from swath.ops.elementwise import broadcast_region
from swath.ops.region import Region
from swath.ops.rule import Demand, Emitter, Operator, Regions, register
from swath.ops.split_rule import SplitRule, first_region, per_entry, whole_inputs


@register("QuantizeLinear", "DequantizeLinear")
@register("QuantizeLinear", "DequantizeLinear", domain="com.microsoft")
class QuantizeLinear(SplitRule):
    """Inputs: x, scale, zero point; blocked scales are taken whole."""

    def split(self, op: Operator, wanted: Regions) -> Demand | None:
        region = first_region(wanted)
        if op.attribute("block_size", 0) or len(op.input_shape(1)) > 1:
            return None
        needed: list[Region | None] = [region]
        for index in range(1, len(op.inputs)):
            if op.has_input(index) and op.input(index).whole.size > 1:
                axis = int(op.attribute("axis", 1)) % len(region)
                needed.append(per_entry(op, index, region[axis]))
            else:
                needed.append(whole_inputs(op)[index])
        return Demand((region,), tuple(needed))


@register("QLinearAdd", "QLinearMul", domain="com.microsoft")
class QLinearBinary(SplitRule):
    """Inputs: A, its scale and zero point, B, its own, and C's; A and B broadcast."""

    def split(self, op: Operator, wanted: Regions) -> Demand | None:
        region = first_region(wanted)
        needed = whole_inputs(op)
        for index in (0, 3):
            needed[index] = broadcast_region(region, op.input(index))
        return Demand((region,), tuple(needed))


@register("QLinearSigmoid", "QLinearLeakyRelu", domain="com.microsoft")
class QLinearUnary(SplitRule):
    """Inputs: X, then scales and zero points of one number each."""

    def split(self, op: Operator, wanted: Regions) -> Demand | None:
        region = first_region(wanted)
        return Demand((region,), (region, *whole_inputs(op)[1:]))


@register("QLinearConcat", domain="com.microsoft")
class QLinearConcat(SplitRule):
    """Inputs: Y's scale and zero point, then (x, its scale, its zero point) of each part."""

    def split(self, op: Operator, wanted: Regions) -> Demand | None:
        region = first_region(wanted)
        axis = int(op.attributes["axis"]) % len(region)
        lo, hi = region[axis]
        needed = whole_inputs(op)
        start = 0
        for index in range(2, len(op.inputs), 3):
            extent = op.input_shape(index)[axis]
            first, last = max(lo - start, 0), min(hi - start, extent)
            if first < last:
                needed[index] = region.replace(axis, (first, last))
            else:
                needed[index : index + 3] = [None] * 3
            start += extent
        return Demand((region,), tuple(needed))

    def emit_part(
        self, op: Operator, demand: Demand, inputs: Sequence[str | None], emitter: Emitter
    ) -> tuple[str | None, ...]:
        """The parts that are not touched are left out, with their parameters."""
        touched = [
            name
            for index in range(2, len(inputs), 3)
            if inputs[index] is not None
            for name in inputs[index : index + 3]
        ]
        return emitter.node(
            op.type, [*inputs[:2], *touched], domain=op.domain, attributes=op.attributes
        )
