"""Graphs as JSON, without their weights: what a plan carries so that it can be simulated alone."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx

from swath.graph.graph import Constant, Graph, Node
from swath.graph.types import OPAQUE, dtype_of, element_type_of
from swath.ops import Tensor

Json = dict[str, Any]


def graph_to_json(graph: Graph) -> Json:
    """The graph without weights: parameters by value, weights by digest."""
    return {
        "name": graph.name,
        "inputs": list(graph.inputs),
        "outputs": list(graph.outputs),
        "opsets": dict(graph.opsets),
        "ir_version": graph.ir_version,
        "nodes": [_node_to_json(node) for node in graph.nodes],
        "tensors": {
            name: [tensor.dtype, None if tensor.shape is None else list(tensor.shape)]
            for name, tensor in graph.tensors.items()
            if name not in graph.constants
        },
        "constants": {
            name: _constant_to_json(constant) for name, constant in graph.constants.items()
        },
        "declared": {
            name: base64.b64encode(value).decode() for name, value in graph.declared.items()
        },
    }


def graph_from_json(data: Mapping[str, Any]) -> Graph:
    """The weightless graph that `graph_to_json` wrote."""
    constants = {name: _constant_from_json(item) for name, item in data["constants"].items()}
    tensors = {name: constant.tensor for name, constant in constants.items()}
    for name, (dtype, shape) in data["tensors"].items():
        tensors[name] = _tensor(dtype, shape)
    return Graph(
        name=data["name"],
        inputs=tuple(data["inputs"]),
        outputs=tuple(data["outputs"]),
        nodes=tuple(_node_from_json(item) for item in data["nodes"]),
        tensors=tensors,
        constants=constants,
        opsets=dict(data["opsets"]),
        ir_version=data["ir_version"],
        declared={name: base64.b64decode(value) for name, value in data["declared"].items()},
    )


def weightless(graph: Graph) -> Graph:
    """The same graph with the data of its weights dropped (digests stay)."""
    data = (None if each.is_parameter else each.data for each in graph.constants.values())
    if graph.original is None and all(each is None for each in data):
        return graph
    constants = {
        name: constant
        if constant.is_parameter
        else Constant(constant.tensor, None, constant.digest)
        for name, constant in graph.constants.items()
    }
    return Graph(
        graph.name, graph.inputs, graph.outputs, graph.nodes, graph.tensors, constants,
        graph.opsets, graph.ir_version, graph.declared,
    )  # fmt: skip


def _node_to_json(node: Node) -> Json:
    return {
        "name": node.name,
        "type": node.type,
        **({"domain": node.domain} if node.domain else {}),
        "inputs": list(node.inputs),
        "outputs": list(node.outputs),
        **({"captures": list(node.captures)} if node.captures else {}),
        "attributes": {key: _value_to_json(value) for key, value in node.attributes.items()},
    }


def _node_from_json(data: Mapping[str, Any]) -> Node:
    return Node(
        data["name"],
        data["type"],
        data.get("domain", ""),
        tuple(data["inputs"]),
        tuple(data["outputs"]),
        {key: _value_from_json(value) for key, value in data["attributes"].items()},
        tuple(data.get("captures", ())),
    )


def _value_to_json(value: Any) -> Any:
    if isinstance(value, onnx.AttributeProto):
        return {"proto": base64.b64encode(value.SerializeToString(deterministic=True)).decode()}
    if isinstance(value, float):
        return {"float": value.hex()}
    if isinstance(value, list | tuple) and any(isinstance(item, float) for item in value):
        return {"floats": [float(item).hex() for item in value]}
    return value


def _value_from_json(value: Any) -> Any:
    if isinstance(value, dict):
        if "proto" in value:
            proto = onnx.AttributeProto()
            proto.ParseFromString(base64.b64decode(value["proto"]))
            return proto
        if "float" in value:
            return float.fromhex(value["float"])
        return [float.fromhex(item) for item in value["floats"]]
    return value


def _constant_to_json(constant: Constant) -> Json:
    shape = constant.tensor.shape
    data = {"dtype": constant.tensor.dtype, "shape": None if shape is None else list(shape)}
    if not constant.is_parameter:
        return {**data, "digest": constant.digest}
    assert constant.data is not None
    proto = onnx.numpy_helper.from_array(constant.data)
    return {**data, "value": base64.b64encode(proto.SerializeToString()).decode()}


def _constant_from_json(data: Mapping[str, Any]) -> Constant:
    tensor = _tensor(data["dtype"], data["shape"])
    if "digest" in data:
        return Constant(tensor, None, data["digest"])
    proto = onnx.TensorProto()
    proto.ParseFromString(base64.b64decode(data["value"]))
    array: np.ndarray = onnx.numpy_helper.to_array(proto)
    return Constant(tensor, array)


def _tensor(dtype: str, shape: list[int] | None) -> Tensor:
    if not dtype:
        return OPAQUE
    itemsize = dtype_of(element_type_of(dtype)).itemsize
    return Tensor(None if shape is None else tuple(shape), dtype, itemsize)
