"""Residual blocks whose maps come and go channels last: only a convolution's maps are turned."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from swath.engine.session import Session
from swath.graph.graph import Graph
from swath.graph.load import load_onnx
from swath.graph.tile import extract_tile
from swath.ops import Region
from swath.runtime.verify import weight_arrays

CHANNELS_LAST = (0, 2, 3, 1)
CHANNELS, ROWS, COLUMNS = 16, 12, 6


def block(*tail: onnx.NodeProto) -> Graph:
    """conv(x) + x, and what is done with the sum ``s`` to make ``y``."""
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((CHANNELS, CHANNELS, 3, 3)).astype(np.float32) * np.float32(0.1)
    bias = rng.standard_normal((1, CHANNELS, 1, 1)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1] * 4, name="conv"),
        helper.make_node("Add", ["c", "x"], ["s"], name="add"),
        *tail,
    ]
    shape = [1, CHANNELS, ROWS, COLUMNS]
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in "xy"]
    weights = [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(bias, "b")]
    weights.append(numpy_helper.from_array(np.float32(0), "low"))
    weights.append(numpy_helper.from_array(np.float32(6), "high"))
    graph = helper.make_graph(nodes, "block", values[:1], values[1:], weights)
    opsets = [helper.make_opsetid("", 17)]
    return load_onnx(helper.make_model(graph, opset_imports=opsets, ir_version=8))


BLOCKS = {
    "relu": [helper.make_node("Relu", ["s"], ["y"], name="relu")],
    "clip": [helper.make_node("Clip", ["s", "low", "high"], ["y"], name="clip")],
    "two activations": [
        helper.make_node("LeakyRelu", ["s"], ["l"], name="leaky", alpha=0.3),
        helper.make_node("Sigmoid", ["l"], ["y"], name="sigmoid"),
    ],
    "the sum twice": [helper.make_node("Mul", ["s", "s"], ["y"], name="mul")],
    "a bias per channel": [helper.make_node("Add", ["s", "b"], ["y"], name="bias")],
}


def ordered_tile(graph: Graph, rows: tuple[int, int]):
    wanted = graph.tensors["y"].whole.replace(2, rows)
    orders = {"x": CHANNELS_LAST, "y": CHANNELS_LAST}
    return extract_tile(graph, range(len(graph.nodes)), {"y": wanted}, orders=orders), wanted


def run(tile, graph: Graph, x: np.ndarray) -> np.ndarray:
    session = Session(tile.model, weight_arrays(tile.weights, graph))
    given = x[tile.inputs["x"].slices()].transpose(CHANNELS_LAST)
    (made,) = session.run({"x": np.ascontiguousarray(given)})
    return made.transpose(np.argsort(CHANNELS_LAST))


@pytest.mark.parametrize("rows", [(0, 5), (4, 8), (7, 12), (0, 12)])
@pytest.mark.parametrize("case", BLOCKS)
def test_the_result_is_the_unsplit_models(case, rows):
    graph = block(*BLOCKS[case])
    x = np.random.default_rng(1).standard_normal((1, CHANNELS, ROWS, COLUMNS)).astype(np.float32)
    x[0, 3, 5, 2], x[0, 4, 9, 0] = np.nan, np.inf
    whole = extract_tile(graph, range(len(graph.nodes)), {"y": graph.tensors["y"].whole})
    (expected,) = Session(whole.model, weight_arrays(whole.weights, graph)).run({"x": x})
    tile, wanted = ordered_tile(graph, rows)
    np.testing.assert_allclose(run(tile, graph, x), expected[wanted.slices()], atol=1e-5)


def operators(tile) -> list[str]:
    return [node.op_type for node in onnx.load_from_string(tile.model).graph.node]


def test_only_what_convolutions_read_and_write_is_turned():
    tile, _ = ordered_tile(block(*BLOCKS["relu"]), (4, 8))
    assert sorted(operators(tile)) == ["Add", "Conv", "Relu", "Slice", "Transpose", "Transpose"]
    turned = [
        node for node in onnx.load_from_string(tile.model).graph.node if node.op_type == "Transpose"
    ]
    assert turned[0].input[0] == "x"
    assert turned[1].input[0] == "c"


def test_what_has_another_shape_stays_in_its_own_order():
    tile, _ = ordered_tile(block(*BLOCKS["a bias per channel"]), (4, 8))
    assert operators(tile)[-1] == "Transpose"


def test_a_map_that_is_read_again_is_not_computed_twice():
    graph = block(*BLOCKS["the sum twice"])
    tile, _ = ordered_tile(graph, (4, 8))
    assert operators(tile).count("Add") == 1
    assert Region(tile.outputs["y"]) == graph.tensors["y"].whole.replace(2, (4, 8))
