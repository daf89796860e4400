"""Every operator has a family, and its features count what is computed, read and written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import swath
from swath.cost.features import (
    UNBLOCKING,
    describe,
    family,
    moving,
    taps_on_map,
)
from swath.graph.graph import Graph
from swath.ops import Demand, Operator, Region, Tensor
from swath.ops.window import Window


@pytest.fixture(scope="module")
def mobilenet() -> Graph:
    return swath.load("zoo:mobilenet_v2@64x64")


def part(graph: Graph, position: int, region: Region) -> tuple[Demand, int]:
    op, rule = graph.operators[position], graph.rules[position]
    demand = rule.demand(op, (region,))
    return demand, rule.flops(op, demand.outputs)


@pytest.mark.parametrize(
    ("model", "families"),
    {
        "googlenet@64x64": """stem convolution pointwise activation max-pooling joining
            global-pooling free dense""",
        "mobilenet_v3_small@64x64": """stem pointwise depthwise activation elementwise gating
            global-pooling free dense""",
        "unet@32x32": "stem convolution pointwise activation max-pooling transposed joining",
    }.items(),
)
def test_models_consist_of_these_families(model: str, families: str) -> None:
    assert {family(op) for op in swath.load(f"zoo:{model}").operators} == set(families.split())


def test_a_convolution_is_told_from_a_depthwise_one(mobilenet: Graph) -> None:
    kinds = {
        family(op): int(op.attribute("group", 1)) for op in mobilenet.operators if op.type == "Conv"
    }
    assert kinds["stem"] == kinds["pointwise"] == 1
    assert kinds["depthwise"] > 1


def test_rows_read_all_weights_and_channels_their_own(mobilenet: Graph) -> None:
    position = next(
        position for position, op in enumerate(mobilenet.operators) if family(op) == "pointwise"
    )
    op = mobilenet.operators[position]
    _, channels, height, width = op.output_shape()
    whole = Region.whole(op.output_shape())
    inputs = op.input_shape()[1]

    demand, flops = part(mobilenet, position, whole.replace(2, (0, height // 2)))
    rows = describe(op, flops, demand)
    assert rows.flops == 2 * inputs * channels * (height // 2) * width
    assert rows.weights == 4 * (inputs + 1) * channels
    assert rows.written == 4 * channels * (height // 2) * width
    assert (rows.kernel, rows.channels, rows.width) == (1, channels, width)

    demand, flops = part(mobilenet, position, whole.replace(1, (0, channels // 2)))
    some = describe(op, flops, demand)
    assert some.weights == rows.weights / 2
    assert some.channels == channels // 2
    assert some.read == 4 * inputs * height * width


@given(
    st.integers(1, 12), st.integers(1, 7), st.integers(1, 3), st.integers(1, 3),
    st.integers(0, 3), st.integers(0, 3), st.data(),
)  # fmt: skip
def test_taps_on_padding_do_not_count(
    extent: int, kernel: int, stride: int, dilation: int, begin: int, end: int, data: st.DataObject
) -> None:
    window = Window(extent, kernel, stride, dilation, begin, end)
    outputs = window.outputs()
    if outputs < 1:
        return
    lo = data.draw(st.integers(0, outputs - 1))
    hi = data.draw(st.integers(lo + 1, outputs))
    counted = sum(
        0 <= index * stride - begin + dilation * tap < extent
        for index in range(lo, hi)
        for tap in range(kernel)
    )
    assert taps_on_map(window, (lo, hi)) == counted


def test_reordering_reads_and_writes_the_map_once() -> None:
    features = moving(UNBLOCKING, Region.whole((1, 32, 7, 14)), itemsize=4)
    assert features.read == features.written == 4 * 32 * 7 * 14
    assert (features.channels, features.width) == (32, 14)


def test_of_a_block_that_is_not_full_the_whole_is_read() -> None:
    features = moving(UNBLOCKING, Region.whole((1, 24, 7, 14)), itemsize=4)
    assert features.written == 4 * 24 * 7 * 14
    assert features.read == 4 * 32 * 7 * 14


def test_a_part_of_the_input_channels_is_a_convolution_too() -> None:
    """Partial results stand along a leading axis, which is no batch of theirs."""
    shape, made = Tensor((1, 32, 6, 6), "float32", 4), Tensor((2, 1, 4, 6, 6), "float32", 4)
    weight = Tensor((4, 32, 3, 3), "float32", 4)
    attributes = {"axes": [1], "bounds": [0, 16, 32], "pads": [1, 1, 1, 1]}
    op = Operator(
        "PartialConv", "swath", 17, attributes, (shape, weight), (made,), (None, None), own_inputs=2
    )
    part = Region([(0, 1), (0, 1), (0, 4), (0, 6), (0, 6)])
    inputs = (shape.whole.replace(1, (0, 16)), weight.whole.replace(1, (0, 16)))
    features = describe(op, 1000, Demand((part,), inputs))
    assert family(op) == "convolution"
    assert (features.channels, features.width, features.kernel) == (4, 6, 9)
    assert features.flops == 1000 * (16 / 18) ** 2


def test_parts_of_a_mean_have_the_channels_of_their_map() -> None:
    data, made = Tensor((1, 320, 7, 7), "float32", 4), Tensor((4, 1, 320, 1, 1), "float32", 4)
    attributes = {"op": "ReduceMean", "axes": [2], "bounds": [0, 2, 4, 6, 7]}
    op = Operator("PartialReduce", "swath", 17, attributes, (data,), (made,), (None,), own_inputs=1)
    features = describe(op, 1000, Demand((made.whole.replace(0, (1, 2)),), (data.whole,)))
    assert (features.channels, features.width) == (320, 1)
