"""Random models, cut into random stages and tiles, compared with the unsplit model everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swath.graph.geometry import handed_on, tile_geometry
from swath.graph.graph import Graph
from swath.graph.reductions import ReductionSplit, reducible_axes, split_reductions
from swath.ops import Region, is_covered
from tests.random_graphs import Example, models, partitions, regions
from tests.splitting import TOLERANCE, assert_same
from tests.tiles import build, compare_regions, run_all, run_tile

thorough = settings(
    max_examples=60,
    suppress_health_check=[
        HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large,
    ],
)  # fmt: skip


@thorough
@given(models(), st.data())
def test_any_box_of_an_output_is_made_from_what_it_needs(
    example: Example, data: st.DataObject
) -> None:
    tensors = run_all(example.model, example.feeds)
    graph = build(example.model, tensors)
    for name in graph.outputs:
        whole = Region.whole(tensors[name].shape)
        boxes = data.draw(st.lists(regions(whole), min_size=1, max_size=3))
        compare_regions(graph, name, boxes, tensors)


def run_in_stages(
    graph: Graph, feeds: Mapping[str, np.ndarray], data: st.DataObject
) -> dict[str, np.ndarray]:
    """Every tensor that some stage hands on, put together from tiles that were each given exactly
    what they need of the tensors before. What nobody has made is NaN."""
    count = len(graph.nodes)
    cuts = data.draw(st.lists(st.integers(1, max(1, count - 1)), max_size=2), "cuts")
    made: dict[str, list[Region]] = {name: [graph.tensors[name].whole] for name in feeds}
    held: dict[str, np.ndarray] = dict(feeds)
    for first, last in pairwise(sorted({0, count, *(cut for cut in cuts if cut < count)})):
        nodes = range(first, last)
        tiles: list[dict[str, Region]] = [{} for _ in range(data.draw(st.integers(1, 4), "tiles"))]
        for name in handed_on(graph, nodes):
            tensor = graph.tensors[name]
            held[name] = np.full(tensor.shape, np.nan, tensor.dtype)
            made[name] = data.draw(partitions(tensor.whole, len(tiles)), name)
            for tile, region in zip(tiles, made[name], strict=False):
                tile[name] = region
        for tile in filter(None, tiles):
            geometry = tile_geometry(graph, nodes, tile)
            for name, region in geometry.needs.items():
                assert is_covered(region, made[name])
            for name, part in run_tile(graph, nodes, tile, held).items():
                held[name][tile[name].slices()] = part
    return held


@thorough
@given(models(), st.data())
def test_stages_of_tiles_hand_on_what_the_unsplit_model_makes(
    example: Example, data: st.DataObject
) -> None:
    tensors = run_all(example.model, example.feeds)
    held = run_in_stages(build(example.model, tensors), example.feeds, data)
    for name, value in held.items():
        assert_same(value, tensors[name], name)


@thorough
@given(models(), st.data())
def test_stages_with_split_reductions_do_too(example: Example, data: st.DataObject) -> None:
    tensors = run_all(example.model, example.feeds)
    graph = build(example.model, tensors)
    splits = []
    for position, node in enumerate(graph.nodes):
        for axis in reducible_axes(graph, position):
            if data.draw(st.booleans()):
                extent = graph.operators[position].input_shape()[axis]
                inner = st.lists(st.integers(1, extent - 1), max_size=3, unique=True)
                bounds = (0, *sorted(data.draw(inner)), extent)
                splits.append(ReductionSplit(node.name, axis, bounds))
    held = run_in_stages(split_reductions(graph, splits), example.feeds, data)
    for name in held.keys() & tensors.keys():
        assert_close(held[name], tensors[name], name)


def assert_close(made: Any, expected: np.ndarray, name: str) -> None:
    """As `assert_same`, with the tolerance of sums in another order."""
    assert TOLERANCE.get("float32", 1e-5) <= 1e-4
    np.testing.assert_array_equal(np.isnan(made), np.isnan(expected), name)
    finite = expected[np.isfinite(expected)]
    scale = float(np.abs(finite).max()) if finite.size else 0.0
    np.testing.assert_allclose(made, expected, rtol=0, atol=1e-4 * scale, err_msg=name)
