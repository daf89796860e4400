"""Normalisations, softmaxes and other operators that need some axes whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from swath.graph.build import build_graph
from swath.ops import split_evenly
from tests.splitting import check_node, check_split, node_model, prepared, session
from tests.tiles import compare_regions, run_all

RANDOM = np.random.default_rng(24)


def floats(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape, dtype=np.float32)


def axes_left_whole(extents: tuple[int, ...], split_axes: tuple[int, ...]) -> int:
    return sum(extent > 1 and axis not in split_axes for axis, extent in enumerate(extents))


@pytest.mark.parametrize("opset", [9, 14, 15])
def test_batch_normalization(opset: int) -> None:
    inputs = [floats(2, 6, 5, 4), floats(6), floats(6), floats(6), np.abs(floats(6)) + 0.1]
    assert not check_node("BatchNormalization", inputs, opset=opset).whole
    assert not check_node("BatchNormalization", [inputs[0][:, :, 0, 0], *inputs[1:]]).whole


@pytest.mark.parametrize("size", [1, 3, 5, 7])
@pytest.mark.parametrize("channels", [1, 2, 5, 12])
def test_local_response_normalization_takes_its_neighbours(size: int, channels: int) -> None:
    attributes = {"size": size, "alpha": 0.5, "beta": 0.75, "bias": 1.5}
    count = check_node("LRN", [floats(2, channels, 4, 3)], attributes)
    assert count.whole == (channels == 2 and size > 1), "of two channels each needs both"


@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf, 1e25])
def test_local_response_normalization_keeps_a_running_sum(special: float) -> None:
    """What one channel spoils is spoilt in all later ones, far beyond its neighbours."""
    attributes = {"size": 3, "alpha": 0.5, "beta": 0.75, "bias": 1.5}
    data = floats(1, 12, 4, 3)
    data[0, 2, 1, 1] = data[0, 7, 3, 0] = special
    model, feeds = node_model("LRN", [data], attributes)
    (made,) = session(model.SerializeToString()).run(None, feeds)
    assert np.isnan(made[0, 11, 1, 1])
    assert not check_split(model, feeds).whole


def test_local_response_normalization_is_equal_to_the_last_bit() -> None:
    attributes = {"size": 5, "alpha": 2.0, "beta": 0.75, "bias": 1.5}
    data = floats(1, 40, 6, 5) * np.logspace(3, -3, 40, dtype=np.float32)[:, None, None]
    model, feeds = node_model("LRN", [data], attributes)
    tensors = run_all(prepared(model), feeds)
    graph = build_graph(prepared(model))
    whole = graph.tensors["y0"].whole
    regions = [whole.replace(1, part) for number in (2, 3, 5) for part in split_evenly(40, number)]
    assert compare_regions(graph, "y0", regions, tensors) == (10, 10)


def test_instance_normalization() -> None:
    count = check_node("InstanceNormalization", [floats(2, 6, 5, 4), floats(6), floats(6)])
    assert count.whole == 2


@pytest.mark.parametrize(("opset", "groups"), [(18, 2), (18, 6), (21, 1), (21, 3), (21, 6)])
def test_group_normalization(opset: int, groups: int) -> None:
    parameters = groups if opset < 21 else 6
    count = check_node(
        "GroupNormalization",
        [floats(2, 6, 5, 4), floats(parameters), floats(parameters)],
        {"num_groups": groups},
        opset=opset,
    )
    assert count.whole == 2 + (groups == 1)


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2])
@pytest.mark.parametrize("outputs", [1, 3])
def test_layer_normalization(axis: int, outputs: int) -> None:
    data = floats(4, 3, 5)
    shape = data.shape[axis:]
    attributes = {"axis": axis}
    inputs = [data, floats(*shape), floats(*shape)]
    check_node("LayerNormalization", inputs, attributes, outputs=outputs)
    count = check_node("LayerNormalization", [data, floats(*shape)], attributes)
    assert count.whole == len(shape)
    count = check_node("RMSNormalization", [data, floats(*shape)], attributes, opset=23)
    assert count.whole == len(shape)


@pytest.mark.parametrize("operator", ["Softmax", "LogSoftmax", "Hardmax"])
@pytest.mark.parametrize("axis", [None, 0, 1, 2, -1, -3])
def test_softmax_over_one_axis_or_over_all_behind_it(operator: str, axis: int | None) -> None:
    data = floats(4, 3, 5)
    attributes: dict[str, Any] = {} if axis is None else {"axis": axis}
    count = check_node(operator, [data], attributes, opset=13)
    assert count.whole == 1
    first = 1 if axis is None else axis % 3
    count = check_node(operator, [data], attributes, opset=11)
    assert count.whole == axes_left_whole(data.shape, tuple(range(first)))


@pytest.mark.parametrize(
    ("operator", "attributes", "whole"),
    [
        ("LpNormalization", {"axis": 1, "p": 1}, 1),
        ("LpNormalization", {}, 1),
        ("MeanVarianceNormalization", {}, 2),
        ("MeanVarianceNormalization", {"axes": [1, -1]}, 2),
    ],
)
def test_other_normalizations(operator: str, attributes: dict[str, Any], whole: int) -> None:
    # The default of MeanVarianceNormalization takes batch, rows and columns.
    count = check_node(operator, [floats(1, 3, 5, 4)], attributes)
    assert count.whole == whole


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_along_one_axis(axis: int) -> None:
    data = floats(4, 3, 5)
    position = np.array(axis, np.int64)
    count = check_node("CumSum", [data, position], {"reverse": 1, "exclusive": 1})
    assert count.whole == 1
    assert not check_node("CumSum", [data, position], variable=(0, 1)).split
    count = check_node("TopK", [data, np.array([2])], {"axis": axis}, outputs=2)
    assert count.whole == 2
    indices = RANDOM.integers(-4, 6, (4, 3))
    values = np.array([0, 1], np.float32)
    assert check_node("OneHot", [indices, np.array(5), values], {"axis": axis}).whole == 1


REDUCTIONS = """ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin
    ReduceProd ReduceSum ReduceSumSquare"""


@pytest.mark.parametrize("operator", REDUCTIONS.split())
@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("opset", [11, 18])
def test_reductions_are_split_off_their_axes(operator: str, keepdims: int, opset: int) -> None:
    data = np.abs(floats(4, 3, 5)) + 0.1
    as_input = opset >= 18
    for axes in ([1], [0, -1], [-2, 2]):
        attributes: dict[str, Any] = {"keepdims": keepdims}
        inputs = [data]
        if as_input:
            inputs.append(np.array(axes))
        else:
            attributes["axes"] = axes
        count = check_node(operator, inputs, attributes, opset=opset)
        assert count.split
        assert not count.whole
    check_node(operator, [data], {"keepdims": keepdims}, opset=opset)
    if as_input:
        kept = {"keepdims": keepdims, "noop_with_empty_axes": 1}
        assert not check_node(operator, [data], kept, opset=opset).whole


@pytest.mark.parametrize("operator", ["ArgMax", "ArgMin"])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_positions_of_extremes(operator: str, keepdims: int) -> None:
    data = RANDOM.integers(0, 3, (4, 3, 5)).astype(np.float32)
    for axis, last in ((0, 0), (1, 1), (-1, 0)):
        attributes = {"axis": axis, "keepdims": keepdims, "select_last_index": last}
        assert not check_node(operator, [data], attributes).whole
