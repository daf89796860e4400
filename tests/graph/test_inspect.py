"""Inspection: numbers that can be worked out by hand, and those that papers give."""

from __future__ import annotations

import time

import pytest
from onnx import TensorProto, helper, numpy_helper

import swath
from swath.graph.inspect import activation_peak, inspect_graph, legal_cuts, receptive_field


def graph_of(nodes, inputs, outputs, weights=()):
    def info(items):
        return [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in items.items()]

    graph = helper.make_graph(nodes, "test", info(inputs), info(outputs), list(weights))
    return swath.load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]))


@pytest.fixture(scope="module")
def chain():
    """Two convolutions 3x3, the second of stride 2, with a Relu between; a skip round both."""
    import numpy as np

    weight = numpy_helper.from_array(np.ones((4, 4, 3, 3), np.float32), "w")
    return graph_of(
        [
            helper.make_node("Conv", ["x", "w"], ["a"], "first", pads=[1] * 4),
            helper.make_node("Relu", ["a"], ["b"], "relu"),
            helper.make_node("Conv", ["b", "w"], ["c"], "second", pads=[1] * 4, strides=[2, 2]),
            helper.make_node("MaxPool", ["a"], ["d"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
            helper.make_node("Add", ["c", "d"], ["y"], "sum"),
        ],
        {"x": [1, 4, 16, 16]},
        {"y": [1, 4, 8, 8]},
        [weight],
    )


def test_receptive_fields(chain):
    fields = {
        node.name: receptive_field(chain, position) for position, node in enumerate(chain.nodes)
    }
    assert fields == {
        "first": (3, 3),
        "relu": (3, 3),
        "second": (5, 5),
        "pool": (4, 4),
        "sum": (5, 5),
    }


def test_a_field_ends_where_the_input_does():
    graph = swath.load("zoo:squeezenet@64x64")
    assert receptive_field(graph, len(graph.nodes) - 1) == (64, 64)


@pytest.mark.parametrize(
    ("position", "field"), [(0, 3), (4, 6), (9, 16), (16, 44), (23, 100), (29, 196), (30, 212)]
)
def test_vgg16_has_the_published_receptive_fields(vgg16, position, field):
    """Araujo, Norris, Sim: Computing Receptive Fields of Convolutional Neural Networks, 2019."""
    assert receptive_field(vgg16, position) == (field, field)


@pytest.fixture(scope="module")
def vgg16():
    return swath.load("zoo:vgg16@512x512")


def test_cuts_name_what_crosses(chain):
    crossing = {
        (cut.after, cut.before): {tensor.name for tensor in cut.tensors}
        for cut in legal_cuts(chain)
    }
    assert crossing == {
        ("first", "relu"): {"a"},
        ("relu", "second"): {"a", "b"},
        ("second", "pool"): {"a", "c"},
        ("pool", "sum"): {"c", "d"},
    }
    assert [cut.nbytes for cut in legal_cuts(chain)] == [4096, 8192, 5120, 2048]


def test_no_cut_where_a_shape_is_not_known():
    graph = graph_of(
        [
            helper.make_node("Relu", ["x"], ["a"], "relu"),
            helper.make_node("NonZero", ["a"], ["places"], "where"),
            helper.make_node("Cast", ["places"], ["y"], "cast", to=TensorProto.FLOAT),
            helper.make_node("Neg", ["y"], ["z"], "neg"),
        ],
        {"x": [4]},
        {"z": ["rank", "count"]},
    )
    assert [(cut.after, cut.before) for cut in legal_cuts(graph)] == [("relu", "where")]


def test_activation_peak(chain):
    # While the Relu runs a and b are alive (4096 each); x has ended. Before: x and a.
    # While the second convolution runs: a, b and c.
    assert activation_peak(chain) == 4096 + 4096 + 1024


def test_an_inspection_adds_up(chain):
    found = inspect_graph(chain)
    assert found.parameters == 4 * 4 * 3 * 3
    assert found.weight_bytes == 4 * found.parameters
    assert found.flops == sum(operator.flops for operator in found.operators)
    assert found.operators[0].splittable_axes == (1, 2, 3)
    assert [tensor.name for tensor in found.operators[4].inputs] == ["c", "d"]
    assert swath.inspect(chain) == found


def test_a_deep_network_is_inspected_in_seconds():
    graph = swath.load("zoo:resnet152")
    start = time.monotonic()
    found = swath.inspect(graph)
    assert time.monotonic() - start < 10
    assert len(found.cuts) == len(found.operators) - 1
