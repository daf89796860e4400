"""Operators that move values: padding, slicing, gathering, rearranging."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from swath.graph.build import build_graph
from swath.graph.geometry import tile_geometry
from tests.splitting import check_node, node_model, prepared

RANDOM = np.random.default_rng(22)


def floats(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape, dtype=np.float32)


def integers(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


PADDINGS = [(opset, mode) for opset in (9, 11, 19) for mode in ("constant", "reflect", "edge")] + [
    (19, "wrap")
]


@pytest.mark.parametrize(("opset", "mode"), PADDINGS)
@pytest.mark.parametrize("pads", [(0, 0, 2, 3, 0, 0, 1, 4), (1, 1, 3, 0, 1, 0, 0, 3), (0,) * 8])
def test_padding(opset: int, mode: str, pads: tuple[int, ...]) -> None:
    data = floats(2, 3, 5, 6)
    if opset < 11:
        count = check_node("Pad", [data], {"mode": mode, "pads": list(pads)}, opset=opset)
    else:
        value = np.array(1.5, np.float32) if mode == "constant" else None
        inputs = [data, integers(*pads), value][: 3 if mode == "constant" else 2]
        count = check_node("Pad", inputs, {"mode": mode}, opset=opset)
    assert not count.whole


def test_padding_of_some_axes() -> None:
    data, value = floats(2, 3, 5, 6), np.array(2, np.float32)
    inputs = [data, integers(1, 2, 0, 3), value, integers(-1, 1)]
    assert not check_node("Pad", inputs, opset=18).whole


@pytest.mark.parametrize("pads", [(-1, 2, 3, -2), (-2, -1, -1, 0), (4, 9, 9, 4)])
def test_padding_that_crops_or_is_wider_than_the_map(pads: tuple[int, ...]) -> None:
    assert not check_node("Pad", [floats(5, 6), integers(*pads)]).whole
    check_node("Pad", [floats(5, 6), integers(*pads)], {"mode": "edge"})


def test_only_the_border_of_a_reflected_map_reads_what_is_reflected() -> None:
    model, _ = node_model("Pad", [floats(9, 4), integers(3, 0, 3, 0)], {"mode": "reflect"})
    graph = build_graph(prepared(model))
    whole = graph.tensors["y0"].whole

    def rows(lo: int, hi: int) -> tuple[int, int]:
        return tile_geometry(graph, [0], {"y0": whole.replace(0, (lo, hi))}).needs["x0"][0]

    assert rows(0, 3) == (1, 4)
    assert rows(3, 7) == (0, 4)
    assert rows(12, 15) == (5, 8)


@pytest.mark.parametrize(
    ("starts", "ends", "axes", "steps"),
    [
        ((1, 2), (9, 7), (0, 1), (1, 1)),
        ((1, 0), (9, 100), (0, 1), (3, 2)),
        ((-1, 2**31), (-100, -(2**31)), (0, -1), (-1, -2)),
        ((8, 5), (0, 0), (-2, 1), (-3, -1)),
        ((-3,), (2**31,), (1,), (1,)),
    ],
)
def test_slices(starts: Any, ends: Any, axes: Any, steps: Any) -> None:
    inputs = [floats(10, 8), *(integers(*each) for each in (starts, ends, axes, steps))]
    count = check_node("Slice", inputs)
    assert count.split
    assert not count.whole


def test_slice_before_opset_10() -> None:
    attributes = {"axes": [0, 1], "starts": [2, -3], "ends": [9, 100]}
    assert not check_node("Slice", [floats(10, 8)], attributes, opset=9).whole


def test_slice_whose_bounds_are_known_at_run_time_only_is_whole() -> None:
    inputs = [floats(10, 8), integers(1), integers(9)]
    assert not check_node("Slice", inputs, variable=(0, 1, 2)).split


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("opset", [11, 13, 18])
def test_split(axis: int, opset: int) -> None:
    sizes = (1, 3, 2)
    inputs: list[np.ndarray | None] = [floats(6, 6)]
    attributes: dict[str, Any] = {"axis": axis}
    if opset < 13:
        attributes["split"] = list(sizes)
    else:
        inputs.append(integers(*sizes))
    assert not check_node("Split", inputs, attributes, outputs=3, opset=opset).whole


def test_uneven_split_by_a_number_of_outputs() -> None:
    attributes = {"axis": 0, "num_outputs": 3}
    assert not check_node("Split", [floats(7, 4)], attributes, outputs=3, opset=18).whole


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_concat(axis: int) -> None:
    shapes = [[4, 4, 4], [4, 4, 4], [4, 4, 4]]
    for extent, shape in zip((1, 3, 2), shapes, strict=True):
        shape[axis] = extent
    inputs = [floats(*shape) for shape in shapes]
    assert not check_node("Concat", inputs, {"axis": axis}, variable=(0, 1, 2)).whole


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
@pytest.mark.parametrize("block", [1, 2, 3])
def test_depth_to_space_and_back(mode: str, block: int) -> None:
    attributes = {"blocksize": block, "mode": mode}
    count = check_node("DepthToSpace", [floats(2, 2 * block**2, 5, 4)], attributes)
    assert count.whole == (mode == "DCR"), "with CRD channels can be split too"
    data = floats(2, 3, 5 * block, 4 * block)
    count = check_node("SpaceToDepth", [data], {"blocksize": block})
    assert count.whole == 1


@pytest.mark.parametrize("indices", [[0, 3, -1], [[1, 2], [2, 4]], 2, [4, 4, 4]])
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("variable", [(0,), (0, 1)])
def test_gather(indices: Any, axis: int, variable: tuple[int, ...]) -> None:
    inputs = [floats(5, 6, 5), np.array(indices, np.int64)]
    assert check_node("Gather", inputs, {"axis": axis}, variable=variable).split


def test_gather_with_constant_indices_reads_their_slab() -> None:
    model, _ = node_model("Gather", [floats(9, 2), integers(7, 2, 3, 4)])
    graph = build_graph(prepared(model))
    part = graph.tensors["y0"].whole.replace(0, (1, 4))
    assert tile_geometry(graph, [0], {"y0": part}).needs["x0"][0] == (2, 5)


@pytest.mark.parametrize("upper", [0, 1])
@pytest.mark.parametrize("diagonal", [-4, -1, 0, 2, 9])
def test_trilu(upper: int, diagonal: int) -> None:
    inputs = [floats(2, 5, 7), np.array(diagonal, np.int64)]
    assert not check_node("Trilu", inputs, {"upper": upper}).whole


def test_repetition() -> None:
    assert not check_node("Tile", [floats(2, 3, 4), integers(1, 2, 3)]).whole
    assert check_node("Expand", [floats(3, 1, 4), integers(2, 3, 5, 4)]).split
    assert check_node("Transpose", [floats(2, 3, 4, 5)], {"perm": [0, 3, 1, 2]}).split


def test_samples_of_a_whole_map() -> None:
    grid = RANDOM.uniform(-1.2, 1.2, (2, 6, 4, 2)).astype(np.float32)
    assert not check_node("GridSample", [floats(2, 3, 5, 6), grid], variable=(0, 1)).whole
    boxes = RANDOM.uniform(0, 8, (5, 4)).astype(np.float32)
    attributes = {"output_height": 3, "output_width": 2, "sampling_ratio": 2}
    inputs = [floats(2, 4, 8, 8), boxes, integers(0, 1, 1, 0, 0)]
    assert check_node("RoiAlign", inputs, attributes, variable=(0, 1, 2)).split
    corners = np.array([[0, 1, 1, 6, 5], [1, 0, 2, 7, 7], [1, 3, 3, 4, 4]], np.float32)
    attributes = {"pooled_shape": [3, 2], "spatial_scale": 1.0}
    assert check_node("MaxRoiPool", [floats(2, 4, 8, 8), corners], attributes).split
