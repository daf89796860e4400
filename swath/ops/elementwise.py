"""Operators that work entry by entry, with NumPy's broadcasting."""

from __future__ import annotations

from swath.ops.region import Region
from swath.ops.rule import Demand, Operator, Regions, Tensor, register
from swath.ops.split_rule import SplitRule, first_region, hull_of, only_asked, whole_inputs

ENTRY_BY_ENTRY = """
    Abs Acos Acosh Add And Asin Asinh Atan Atanh BitCast BitShift BitwiseAnd BitwiseNot
    BitwiseOr BitwiseXor Cast Ceil Celu Clip Cos Cosh Div Elu Equal Erf Exp Floor Gelu Greater
    GreaterOrEqual HardSigmoid HardSwish Identity IsInf IsNaN LeakyRelu Less LessOrEqual Log Max
    Mean Min Mish Mod Mul Neg Not Or PRelu Pow Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin
    Sinh Softplus Softsign Sqrt Sub Sum Swish Tan Tanh ThresholdedRelu Where Xor"""


def broadcast_region(region: Region, tensor: Tensor) -> Region:
    """The part of a broadcast input that an output region reads."""
    shape = tensor.shape
    assert shape is not None
    offset = len(region) - len(shape)
    return Region(
        (0, 1) if extent == 1 else region[offset + axis] for axis, extent in enumerate(shape)
    )


@register(*ENTRY_BY_ENTRY.split())
@register("BiasGelu", "FastGelu", "Gelu", "QuickGelu", domain="com.microsoft")
class Elementwise(SplitRule):
    """Output entry (i, j, ...) reads the entries (i, j, ...) of every input.

    Not split: operators before opset 7, which broadcast along a named axis.
    """

    def split(self, op: Operator, wanted: Regions) -> Demand | None:
        if "broadcast" in op.attributes:
            return None
        region = first_region(wanted)
        return Demand(
            (region,),
            tuple(
                None if tensor is None else broadcast_region(region, tensor) for tensor in op.inputs
            ),
        )


@register("CastLike")
class CastLike(SplitRule):
    """Only the type of input 1 matters: one entry of it is enough."""

    def split(self, op: Operator, wanted: Regions) -> Demand | None:
        region = first_region(wanted)
        return Demand((region,), (region, Region((0, 1) for _ in op.input_shape(1))))


@register("Dropout")
class Dropout(SplitRule):
    """At inference: the data as they are, and a mask that lets all of them pass."""

    def split(self, op: Operator, wanted: Regions) -> Demand | None:
        if op.has_input(2):
            training = op.value(2)
            if training is None or training.any():
                return None
        region = hull_of(wanted)
        return Demand(only_asked(wanted, region), (region, *whole_inputs(op)[1:]))
