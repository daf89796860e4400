"""Matrix products: rows, columns (output features) and batches; the inner axis is taken whole."""

from __future__ import annotations

from swath.ops.elementwise import broadcast_region
from swath.ops.region import Interval, Region
from swath.ops.rule import Demand, Operator, Regions, Tensor, register
from swath.ops.split_rule import SplitRule, first_region, whole_inputs


@register("Gemm")
class Gemm(SplitRule):
    """``Y = alpha * A' * B' + beta * C``, with A' and B' transposed or not, C broadcast."""

    def split(self, op: Operator, wanted: Regions) -> Demand | None:
        region = first_region(wanted)
        first, second = _gemm_operands(op, region, 0, 1)
        needed: list[Region | None] = [first, second]
        if len(op.inputs) > 2:
            addend = op.inputs[2]
            needed.append(None if addend is None else broadcast_region(region, addend))
        return Demand((region,), tuple(needed))

    def flops(self, op: Operator, outputs: Regions) -> int:
        return 2 * first_region(outputs).size * op.input_shape()[0 if _flag(op, "transA") else 1]


@register("QGemm", domain="com.microsoft")
class QGemm(SplitRule):
    """Inputs: A, its scale and zero point, B, its own (one or one per column), C, and Y's."""

    def split(self, op: Operator, wanted: Regions) -> Demand | None:
        region = first_region(wanted)
        needed = whole_inputs(op)
        needed[0], needed[3] = _gemm_operands(op, region, 0, 3)
        for index in (4, 5, 6):
            if op.has_input(index):
                needed[index] = broadcast_region(region, op.input(index))
        return Demand((region,), tuple(needed))

    def flops(self, op: Operator, outputs: Regions) -> int:
        return 2 * first_region(outputs).size * op.input_shape()[0 if _flag(op, "transA") else 1]


def _flag(op: Operator, name: str) -> bool:
    return bool(op.attribute(name, 0))


def _gemm_operands(op: Operator, region: Region, a: int, b: int) -> tuple[Region, Region]:
    transposed_a, transposed_b = _flag(op, "transA"), _flag(op, "transB")
    inner = (0, op.input_shape(a)[0 if transposed_a else 1])
    rows, columns = region
    return (
        Region([inner, rows] if transposed_a else [rows, inner]),
        Region([columns, inner] if transposed_b else [inner, columns]),
    )


class MatMulRule(SplitRule):
    """NumPy's matmul: leading axes are batches and broadcast, a 1-D operand has no row or column.

    The regions of operands and of their scales and zero points are all broadcast from one region
    each, (batches, rows, inner axis) and (batches, inner axis, columns).
    """

    first, second = 0, 1
    first_parameters: tuple[int, ...] = ()
    second_parameters: tuple[int, ...] = ()
    per_tensor: tuple[int, ...] = ()
    """Parameters that have to be one number for the operator to be split."""

    def split(self, op: Operator, wanted: Regions) -> Demand | None:
        region = first_region(wanted)
        shape_a, shape_b = op.input_shape(self.first), op.input_shape(self.second)
        if any(op.has_input(i) and op.input(i).whole.size > 1 for i in self.per_tensor):
            return None
        axes = list(region)
        columns = axes.pop() if len(shape_b) > 1 else (0, 1)
        rows = axes.pop() if len(shape_a) > 1 else (0, 1)
        inner = (0, shape_a[-1])
        left = [*axes, rows, inner]
        right = [*axes, inner, columns]
        needed = whole_inputs(op)
        needed[self.first] = _operand(op.input(self.first), Region(left), Region([inner]))
        needed[self.second] = _operand(op.input(self.second), Region(right), Region([inner]))
        for index in self.first_parameters:
            if op.has_input(index):
                needed[index] = _parameter(op.input(index), Region(left), rows)
        for index in self.second_parameters:
            if op.has_input(index):
                needed[index] = _parameter(op.input(index), Region(right), columns)
        return Demand((region,), tuple(needed))

    def flops(self, op: Operator, outputs: Regions) -> int:
        return 2 * first_region(outputs).size * op.input_shape(self.first)[-1]


def _operand(tensor: Tensor, region: Region, vector: Region) -> Region:
    return vector if len(tensor.shape or ()) == 1 else broadcast_region(region, tensor)


def _parameter(tensor: Tensor, region: Region, entries: Interval) -> Region:
    """A scale or zero point: one number, one per row (or column), or broadcast like its operand."""
    if tensor.whole.size == 1:
        return tensor.whole
    return Region([entries]) if len(tensor.whole) == 1 else broadcast_region(region, tensor)


@register("MatMul")
class MatMul(MatMulRule):
    pass


@register("MatMulInteger")
class MatMulInteger(MatMulRule):
    """Inputs: A, B, and their zero points."""

    first_parameters, second_parameters = (2,), (3,)


@register("QLinearMatMul")
class QLinearMatMul(MatMulRule):
    """Inputs: a, its scale and zero point, b, its own, and y's."""

    second = 3
    first_parameters, second_parameters, per_tensor = (1, 2), (4, 5), (6, 7)


@register("Einsum")
class Einsum(SplitRule):
    """Where every letter stands once per operand: output letters are split, the others whole."""

    def split(self, op: Operator, wanted: Regions) -> Demand | None:
        terms = _einsum_terms(op)
        if terms is None:
            return None
        region = first_region(wanted)
        *operands, made = terms
        asked = dict(zip(made, region, strict=True))
        needed = []
        for index, letters in enumerate(operands):
            shape = op.input_shape(index)
            needed.append(
                Region(
                    asked.get(letter, (0, extent))
                    for letter, extent in zip(letters, shape, strict=True)
                )
            )
        return Demand((region,), tuple(needed))

    def flops(self, op: Operator, outputs: Regions) -> int:
        terms = _einsum_terms(op)
        region = first_region(outputs)
        if terms is None:
            return region.size
        extents = {
            letter: extent
            for index, letters in enumerate(terms[:-1])
            for letter, extent in zip(letters, op.input_shape(index), strict=True)
        }
        summed = 1
        for letter in extents.keys() - set(terms[-1]):
            summed *= extents[letter]
        return max(1, len(terms) - 1) * region.size * summed


def _einsum_terms(op: Operator) -> list[str] | None:
    """Letters of every operand and of the output; None for forms that are not plain."""
    equation = str(op.attribute("equation", "")).replace(" ", "")
    if "->" not in equation or "." in equation:
        return None
    operands, made = equation.split("->")
    terms = [*operands.split(","), made]
    if any(len(set(letters)) != len(letters) for letters in terms):
        return None
    extents: dict[str, int] = {}
    for index, letters in enumerate(terms[:-1]):
        shape = op.input_shape(index)
        if len(shape) != len(letters):
            return None
        for letter, extent in zip(letters, shape, strict=True):
            if extents.setdefault(letter, extent) != extent:
                return None
    return terms
