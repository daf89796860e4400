"""From a prepared ONNX model (constants folded, shapes inferred) to a frozen `Graph`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from swath.graph.graph import Constant, Graph, Node
from swath.graph.types import OPAQUE, tensor_of
from swath.ops import Tensor

_SUBGRAPH_TYPES = (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)
_PLAIN_TYPES = (
    onnx.AttributeProto.FLOAT,
    onnx.AttributeProto.INT,
    onnx.AttributeProto.STRING,
    onnx.AttributeProto.FLOATS,
    onnx.AttributeProto.INTS,
    onnx.AttributeProto.STRINGS,
)


def build_graph(model: onnx.ModelProto, weights: Mapping[str, np.ndarray] | None = None) -> Graph:
    """The graph of a prepared model: nodes have unique names and stand in topological order,
    tensors carry static shapes wherever these can be known.

    ``weights`` are the initializers that the model itself does not hold. Arrays are kept, not
    copied.
    """
    proto = model.graph
    constants = {
        tensor.name: _constant(numpy_helper.to_array(tensor)) for tensor in proto.initializer
    }
    constants.update((name, _constant(array)) for name, array in (weights or {}).items())
    tensors: dict[str, Tensor] = {name: constant.tensor for name, constant in constants.items()}
    for value in (*proto.value_info, *proto.input, *proto.output):
        if value.name not in constants:
            tensors[value.name] = tensor_of(value.type)
    nodes = tuple(_node(node) for node in proto.node)
    for node in nodes:
        for name in (*node.reads, *node.outputs):
            if name:
                tensors.setdefault(name, OPAQUE)
    inputs = tuple(value.name for value in proto.input if value.name not in constants)
    ends = {value.name for value in (*proto.input, *proto.output)}
    return Graph(
        name=proto.name or "model",
        inputs=inputs,
        outputs=tuple(value.name for value in proto.output),
        nodes=nodes,
        tensors=tensors,
        constants=constants,
        opsets={
            "" if entry.domain == "ai.onnx" else entry.domain: entry.version
            for entry in model.opset_import
        },
        ir_version=model.ir_version,
        declared={
            value.name: value.SerializeToString()
            for value in (*proto.value_info, *proto.input, *proto.output)
            if value.name in ends or tensors[value.name].shape is None
        },
    )


def _constant(data: np.ndarray) -> Constant:
    if data.dtype == object or data.size == 0:
        return Constant(OPAQUE, data)
    return Constant(Tensor(tuple(data.shape), data.dtype.name, data.dtype.itemsize), data)


def _node(proto: onnx.NodeProto) -> Node:
    return Node(
        name=proto.name,
        type=proto.op_type,
        domain="" if proto.domain == "ai.onnx" else proto.domain,
        inputs=tuple(proto.input),
        outputs=tuple(proto.output),
        attributes=_attributes(proto.attribute),
        captures=_captures(proto),
    )


def _attributes(protos: Iterable[onnx.AttributeProto]) -> Mapping[str, Any]:
    """Numbers and text as Python's own; tensors, graphs and types stay as ONNX wrote them."""
    attributes: dict[str, Any] = {}
    for proto in protos:
        if proto.type in _PLAIN_TYPES:
            value = helper.get_attribute_value(proto)
            if isinstance(value, bytes):
                value = value.decode()
            elif not isinstance(value, int | float):
                value = [item.decode() if isinstance(item, bytes) else item for item in value]
            # An empty list has lost its type, which ONNX wants to know.
            attributes[proto.name] = value if value != [] else proto
        else:
            attributes[proto.name] = proto
    return attributes


def _captures(node: onnx.NodeProto) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for attribute in node.attribute:
        if attribute.type in _SUBGRAPH_TYPES:
            for body in (attribute.g, *attribute.graphs):
                _collect_captures(body, found)
    return tuple(name for name in found if name not in set(node.input))


def _collect_captures(body: onnx.GraphProto, found: dict[str, None]) -> None:
    inside = {value.name for value in body.input} | {tensor.name for tensor in body.initializer}
    nested: dict[str, None] = {}
    for node in body.node:
        for name in (*node.input, *_captures(node)):
            if name and name not in inside:
                nested[name] = None
        inside.update(node.output)
    for value in body.output:
        if value.name and value.name not in inside:
            nested[value.name] = None
    found.update(nested)
