"""Reshape and what follows axes through it."""

from __future__ import annotations

from math import prod

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from swath.graph.build import build_graph
from swath.graph.geometry import tile_geometry
from swath.ops.region import Interval
from swath.ops.reshape import factor, same_elements
from tests.splitting import check_node, check_split, prepared

SHAPES = st.lists(st.sampled_from([1, 2, 3, 4, 6]), max_size=4)


@st.composite
def two_shapes_and_a_box(
    draw: st.DrawFn,
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[Interval, ...]]:
    """Two shapes of the same size, and a box that is not empty in the second."""
    shape_in = tuple(draw(SHAPES))
    rest, shape_out = prod(shape_in), []
    while rest > 1:
        extent = draw(st.sampled_from([n for n in range(1, rest + 1) if rest % n == 0]))
        shape_out.append(extent)
        rest //= extent
        if len(shape_out) == 4:
            shape_out.append(rest)
            break
    box = []
    for extent in shape_out:
        lo = draw(st.integers(0, extent - 1))
        box.append((lo, draw(st.integers(lo + 1, extent))))
    return shape_in, tuple(shape_out), tuple(box)


@given(two_shapes_and_a_box())
def test_both_boxes_hold_the_same_elements_in_the_same_order(
    case: tuple[tuple[int, ...], tuple[int, ...], tuple[Interval, ...]],
) -> None:
    shape_in, shape_out, wanted = case
    made, needed = same_elements(wanted, shape_out, shape_in)
    elements = np.arange(prod(shape_in))
    ours = elements.reshape(shape_out)[tuple(slice(*interval) for interval in made)]
    theirs = elements.reshape(shape_in)[tuple(slice(*interval) for interval in needed)]
    assert np.array_equal(ours.reshape(-1), theirs.reshape(-1))
    for (lo, hi), (wanted_lo, wanted_hi) in zip(made, wanted, strict=True):
        assert lo <= wanted_lo
        assert wanted_hi <= hi


@given(two_shapes_and_a_box())
def test_blocks_have_equal_products_and_cover_both_shapes(
    case: tuple[tuple[int, ...], tuple[int, ...], tuple[Interval, ...]],
) -> None:
    shape_in, shape_out, _ = case
    blocks = factor(shape_in, shape_out)
    for block in blocks:
        assert prod(shape_in[slice(*block.inputs)]) == prod(shape_out[slice(*block.outputs)])
    assert [axis for block in blocks for axis in range(*block.inputs)] == [*range(len(shape_in))]
    assert [axis for block in blocks for axis in range(*block.outputs)] == [*range(len(shape_out))]


@pytest.mark.parametrize(
    ("shape", "target", "split_axes"),
    [
        ((2, 3, 4, 5), (2, 3, 20), (0, 1, 2)),
        ((2, 6, 4, 4), (2, 2, 3, 4, 4), (0, 1, 3, 4)),
        ((1, 8, 1, 1), (1, 8), (1,)),
        ((1, 8), (1, 8, 1, 1), (1,)),
        ((6, 4), (4, 6), (0,)),
        ((1,), (), ()),
        ((), (1, 1), ()),
        ((2, 3), (2, -1, 1), (0, 1)),
    ],
)
def test_axes_are_followed_through(
    shape: tuple[int, ...], target: tuple[int, ...], split_axes: tuple[int, ...]
) -> None:
    data = np.arange(prod(shape), dtype=np.float32).reshape(shape)
    count = check_node("Reshape", [data, np.array(target, np.int64)])
    made = data.reshape(target).shape
    assert count.whole == sum(
        extent > 1 and axis not in split_axes for axis, extent in enumerate(made)
    )


@pytest.mark.parametrize(
    ("operator", "parameter", "opset"),
    [("Squeeze", [1], 13), ("Unsqueeze", [0, 3], 13), ("Squeeze", None, 17)],
)
def test_squeeze_and_unsqueeze(operator: str, parameter: list[int] | None, opset: int) -> None:
    inputs = [np.random.default_rng(0).standard_normal((4, 1, 6), np.float32)]
    if parameter is not None:
        inputs.append(np.array(parameter, np.int64))
    assert not check_node(operator, inputs, opset=opset).whole


def test_flatten_splits_its_first_axis() -> None:
    data = np.random.default_rng(0).standard_normal((4, 3, 2, 2), np.float32)
    assert not check_node("Flatten", [data], {"axis": 1}).whole
    assert check_node("Flatten", [data], {"axis": 2}).split


def channel_shuffle(groups: int) -> onnx.ModelProto:
    shape = (1, 12, 6, 5)
    nodes = [
        helper.make_node("Reshape", ["x", "apart"], ["a"]),
        helper.make_node("Transpose", ["a"], ["b"], perm=[0, 2, 1, 3, 4]),
        helper.make_node("Reshape", ["b", "together"], ["y"]),
    ]
    apart = np.array([1, groups, 12 // groups, 6, 5], np.int64)
    return helper.make_model(
        helper.make_graph(
            nodes,
            "shuffle",
            [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, shape)],
            [
                onnx.numpy_helper.from_array(apart, "apart"),
                onnx.numpy_helper.from_array(np.array(shape, np.int64), "together"),
            ],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )


@pytest.mark.parametrize("groups", [2, 3, 12])
def test_channel_shuffle_is_split_along_the_map(groups: int) -> None:
    model = channel_shuffle(groups)
    feeds = {"x": np.random.default_rng(0).standard_normal((1, 12, 6, 5), np.float32)}
    check_split(model, feeds)
    graph = build_graph(prepared(model))
    whole = graph.tensors["y"].whole
    for axis in (2, 3):
        part = whole.replace(axis, (1, 3))
        assert tile_geometry(graph, range(3), {"y": part}).needs["x"] == part
    channels = whole.replace(1, (0, 12 // groups))
    assert tile_geometry(graph, range(3), {"y": channels}).needs["x"][2:] == whole[2:]
