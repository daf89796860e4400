"""Convolutions of all kinds, in parts; their windows are the acceptance matrix's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from swath.graph.build import build_graph
from swath.graph.geometry import tile_geometry
from tests.splitting import check_node, node_model, prepared

RANDOM = np.random.default_rng(20)


def floats(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape, dtype=np.float32)


@pytest.mark.parametrize(
    ("shape", "weights", "attributes"),
    [
        ((2, 3, 17), (4, 3, 5), {"strides": [2], "pads": [3, 1], "dilations": [2]}),
        ((1, 2, 7, 6, 5), (3, 2, 3, 2, 3), {"strides": [2, 1, 1], "pads": [1, 0, 1, 1, 1, 1]}),
        ((1, 6, 5, 5), (12, 2, 3, 3), {"group": 3, "pads": [1, 1, 1, 1]}),
        ((1, 6, 5, 5), (6, 1, 3, 3), {"group": 6}),
        # Padding beyond the map: the first and last outputs see nothing but zeros.
        ((1, 2, 4, 4), (2, 2, 3, 3), {"pads": [5, 4, 6, 5]}),
        ((1, 2, 3, 4), (2, 2, 2, 2), {"pads": [4, 3, 5, 3], "strides": [2, 3]}),
        ((1, 2, 9, 9), (2, 2, 2, 2), {"strides": [4, 3]}),
        ((1, 1, 1, 1), (1, 1, 1, 1), {}),
    ],
)
def test_convolution_shapes(
    shape: tuple[int, ...], weights: tuple[int, ...], attributes: dict[str, Any]
) -> None:
    bias = floats(weights[0])
    assert not check_node("Conv", [floats(*shape), floats(*weights), bias], attributes).whole
    assert not check_node("Conv", [floats(*shape), floats(*weights)], attributes).whole


@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_stays_in_its_windows(special: float) -> None:
    data = floats(1, 3, 9, 8)
    data[0, 1, 4, 3] = data[0, 2, 8, 7] = data[0, 0, 0, 0] = special
    check_node("Conv", [data, floats(4, 3, 3, 3)], {"pads": [1, 1, 1, 1]})


def test_a_few_channels_of_one_group_read_that_group_only() -> None:
    model, _ = node_model("Conv", [floats(1, 6, 5, 5), floats(12, 2, 3, 3)], {"group": 3})
    graph = build_graph(prepared(model))
    whole = graph.tensors["y0"].whole
    inside = tile_geometry(graph, [0], {"y0": whole.replace(1, (5, 7))}).needs["x0"]
    across = tile_geometry(graph, [0], {"y0": whole.replace(1, (3, 5))}).needs["x0"]
    assert (inside[1], across[1]) == ((2, 4), (0, 4))


TRANSPOSED: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ((1, 2, 5, 4), (2, 3, 3, 3), {}),
    ((1, 2, 5, 4), (2, 3, 2, 2), {"strides": [2, 2]}),
    ((1, 2, 5, 4), (2, 3, 4, 4), {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
    ((1, 2, 5, 4), (2, 3, 3, 3), {"strides": [2, 2], "pads": [1, 0, 1, 2]}),
    ((1, 2, 5, 4), (2, 3, 3, 3), {"strides": [2, 3], "output_padding": [1, 2]}),
    ((1, 2, 5, 4), (2, 3, 3, 3), {"dilations": [2, 3], "pads": [2, 1, 0, 3]}),
    # Between the windows lie outputs that nothing adds to.
    ((1, 2, 5, 4), (2, 3, 1, 2), {"strides": [4, 3]}),
    ((1, 2, 5, 4), (2, 3, 1, 1), {"strides": [3, 3], "output_padding": [2, 2]}),
    ((1, 4, 5, 4), (4, 3, 3, 3), {"strides": [2, 2], "group": 2}),
    ((1, 4, 5, 4), (4, 1, 3, 3), {"strides": [2, 2], "group": 4}),
    ((1, 2, 5, 4), (2, 3, 3, 3), {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    ((1, 2, 5, 4), (2, 3, 3, 3), {"strides": [2, 2], "auto_pad": "SAME_LOWER"}),
    ((1, 2, 5, 4), (2, 3, 3, 3), {"strides": [2, 2], "auto_pad": "VALID"}),
    ((1, 2, 5, 4), (2, 3, 3, 3), {"strides": [2, 2], "output_shape": [10, 8]}),
    ((1, 2, 5, 4), (2, 3, 3, 3), {"strides": [3, 2], "output_shape": [16, 10]}),
    (
        (1, 2, 5, 4),
        (2, 3, 3, 3),
        {"strides": [3, 2], "output_shape": [14, 8], "auto_pad": "SAME_UPPER"},
    ),
    ((2, 2, 6), (2, 3, 5), {"strides": [3], "pads": [2, 1], "output_padding": [2]}),
    ((1, 2, 3, 4, 3), (2, 2, 3, 2, 3), {"strides": [2, 1, 2], "pads": [1, 0, 1, 0, 0, 1]}),
]


@pytest.mark.parametrize(("shape", "weights", "attributes"), TRANSPOSED)
def test_transposed_convolution(
    shape: tuple[int, ...], weights: tuple[int, ...], attributes: dict[str, Any]
) -> None:
    bias = floats(weights[1] * attributes.get("group", 1))
    count = check_node("ConvTranspose", [floats(*shape), floats(*weights), bias], attributes)
    assert count.split
    assert not count.whole


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("group", [1, 2])
def test_integer_convolution(per_channel: bool, group: int) -> None:
    channels = 6
    data = RANDOM.integers(0, 256, (1, 4, 9, 8)).astype(np.uint8)
    weights = RANDOM.integers(-128, 128, (channels, 4 // group, 3, 3)).astype(np.int8)
    bias = RANDOM.integers(-500, 500, channels).astype(np.int32)
    scale = np.array(0.01, np.float32)
    zero = np.array(0, np.int8)
    if per_channel:
        scale = RANDOM.uniform(0.001, 0.02, channels).astype(np.float32)
        zero = np.zeros(channels, np.int8)
    point = np.array(120, np.uint8)
    attributes = {"pads": [1, 0, 2, 1], "strides": [2, 1], "group": group}
    count = check_node(
        "QLinearConv",
        [data, np.float32(0.02), point, weights, scale, zero, np.float32(0.1), point, bias],
        attributes,
    )
    assert not count.whole
    unsigned = weights.view(np.uint8)
    assert not check_node("ConvInteger", [data, unsigned, point], attributes).whole
