"""The end of a residual block, computed in the order of axes in which its maps come and go.

Where a tile gives a map in another order than its own, and ends with adding a map that it was given
in that order, the end is computed in that order too.

Otherwise both maps would be transposed, and the sum back again; so only what the last convolution
made is, which costs nothing: ONNX Runtime reorders a convolution's output anyway.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import onnx

from swath.ops import Emitter, Region

ENTRYWISE = frozenset({"Add", "Sub", "Mul", "Max", "Min", "Relu", "LeakyRelu", "Clip", "Sigmoid"})
"""Operators that commute with a transposition where their operands have one shape."""


@dataclass(slots=True)
class Ordering:
    """What is known of a tile's values: which are there in another order too (``given``: own-order
    name -> the other's), and the regions that names hold."""

    given: dict[str, str] = field(default_factory=dict)
    regions: dict[str, Region] = field(default_factory=dict)


def in_order(
    name: str,
    order: Sequence[int],
    known: Ordering,
    nodes: Sequence[onnx.NodeProto],
    scalars: Mapping[str, onnx.TensorProto],
    emitter: Emitter,
) -> str:
    """A name that holds the value ``name`` with its axes in ``order``; nodes are appended."""
    makers = {output: node for node in nodes for output in node.output}
    readers: dict[str, int] = {}
    for node in nodes:
        for operand in node.input:
            readers[operand] = readers.get(operand, 0) + 1

    def meets_given(value: str, most_readers: int) -> bool:
        """Whether ``value`` ends a chain of entrywise operators that a given map goes into."""
        node = makers.get(value)
        if node is None or node.op_type not in ENTRYWISE or readers.get(value, 0) > most_readers:
            return False
        maps = [operand for operand in node.input if operand and operand not in scalars]
        if any(known.regions.get(operand) != known.regions.get(value) for operand in maps):
            return False
        return any(operand in known.given or meets_given(operand, 1) for operand in maps)

    def ordered(value: str, most_readers: int) -> str:
        if value in known.given:
            return known.given[value]
        if not meets_given(value, most_readers):
            return emitter.node("Transpose", [value], attributes={"perm": order})[0]
        node = makers[value]
        operands = [
            operand if not operand or operand in scalars else ordered(operand, 1)
            for operand in node.input
        ]
        attributes = {attribute.name: attribute for attribute in node.attribute}
        return emitter.node(node.op_type, operands, attributes=attributes)[0]

    return ordered(name, 0)


def needed(nodes: Sequence[onnx.NodeProto], outputs: Sequence[str]) -> list[onnx.NodeProto]:
    """The nodes that the outputs depend on, in the same order."""
    wanted = set(outputs)
    kept = []
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            kept.append(node)
            wanted.update(node.input)
            for attribute in node.attribute:
                if attribute.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS):
                    # Bodies read from outside by name; what they read is not worth finding out.
                    return list(nodes)
    return kept[::-1]
