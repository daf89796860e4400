"""Small models, every tensor of them, and tiles of them: what tests of graphs and stages share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference

from swath.graph.build import build_graph
from swath.graph.graph import Graph
from swath.graph.tile import extract_tile
from swath.ops import Region
from tests import splitting


def make_model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, np.ndarray],
    constants: Mapping[str, np.ndarray],
    opset: int = 17,
    outputs: Sequence[str] | None = None,
) -> onnx.ModelProto:
    """A model whose outputs are its last node's (or those named), with shapes inferred."""
    for index, node in enumerate(nodes):
        node.name = node.name or f"n{index}"
    graph = helper.make_graph(
        nodes,
        "test",
        [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape
            )
            for name, value in inputs.items()
        ],
        [
            helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None)
            for name in outputs or nodes[-1].output
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8 if opset < 20 else 10
    )
    return shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)


def run_all(model: onnx.ModelProto, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every tensor of the unsplit model, inputs included."""
    names = [name for node in model.graph.node for name in node.output if name]
    exposed = onnx.ModelProto.FromString(model.SerializeToString())
    del exposed.graph.output[:]
    exposed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    values = splitting.session(exposed.SerializeToString()).run(names, dict(feeds))
    return {**feeds, **dict(zip(names, values, strict=True))}


def build(model: onnx.ModelProto, values: Mapping[str, np.ndarray] | None = None) -> Graph:
    """The model's graph; with ``values`` (every tensor), shapes are theirs. Inference leaves some
    open, and in ceil mode it counts windows that ONNX Runtime does not make."""
    if values is not None:
        model = onnx.ModelProto.FromString(model.SerializeToString())
        del model.graph.value_info[:]
        for name, value in values.items():
            element_type = helper.np_dtype_to_tensor_dtype(value.dtype)
            info = helper.make_tensor_value_info(name, element_type, value.shape)
            model.graph.value_info.append(info)
            for output in model.graph.output:
                if output.name == name:
                    output.CopyFrom(info)
    return build_graph(model)


def run_tile(
    graph: Graph,
    nodes: Sequence[int],
    outputs: Mapping[str, Region],
    held: Mapping[str, np.ndarray],
) -> dict[str, Any]:
    """The tile's outputs, given whole tensors to cut just the regions it needs from."""
    tile = extract_tile(graph, nodes, outputs)
    made = splitting.TileRunner(graph, held).run(tile)
    for name, region in outputs.items():
        assert made[name].shape == region.shape, (name, made[name].shape, region)
    return made


def compare_regions(
    graph: Graph, output: str, regions: Iterable[Region], tensors: Mapping[str, np.ndarray]
) -> tuple[int, int]:
    """Make each region of an output by a tile of all nodes and compare it with the unsplit result.

    Returns how many were equal to the last bit, and how many there were.
    """
    exact = count = 0
    nodes = range(len(graph.nodes))
    runner = splitting.TileRunner(graph, tensors)
    for region in regions:
        made = runner.run(extract_tile(graph, nodes, {output: region}))[output]
        expected = tensors[output][region.slices()]
        splitting.assert_same(made, expected, f"{output}{region}")
        exact += np.array_equal(made, expected, equal_nan=made.dtype.kind == "f")
        count += 1
    return exact, count
