"""Border tiles first: what others wait for leaves before the rest is computed, where that pays."""

from __future__ import annotations

import numpy as np
import pytest

from swath.cluster import Cluster, Device, Link
from swath.cost import Costs, nominal_costs
from swath.plan.compile import compile_plan
from swath.plan.program import Compute, Send
from swath.plan.validate import validate_plan
from swath.planners.building.borders import borders_first
from swath.runtime.verify import verify_plan
from tests.plan.plans import ROWS, chain_graph, layer_plan, two_devices

GRAPH = chain_graph(channels=16)
INPUTS = {"x0": np.random.default_rng(0).standard_normal((1, 16, ROWS, 8)).astype(np.float32)}


def costs(latency: float, gflops: float = 0.001) -> Costs:
    """Slow devices: even a tile of this small graph takes them long."""
    devices = tuple(Device(name, gflops=gflops) for name in "abc")
    return nominal_costs(Cluster(devices, "a", "switch", Link(1e9, latency)))


def rows_on(plan, device: str, stage: str) -> list[tuple[int, int]]:
    tensor = f"x{int(stage[1]) + 1}"
    return [
        tile.outputs[tensor][2]
        for tile in plan.tiles
        if (tile.device, tile.stage) == (device, stage)
    ]


def test_a_border_leaves_before_the_interior_is_computed():
    plan = borders_first(two_devices(GRAPH), GRAPH, costs(latency=10.0))
    assert rows_on(plan, "a", "s0") == [(5, 6), (0, 5)]
    assert rows_on(plan, "b", "s0") == [(6, 7), (7, 12)]
    assert rows_on(plan, "a", "s2") == [(0, 6)]  # Nobody waits for the last layer.
    kinds = [type(step) for step in compile_plan(plan).by_device["a"].steps]
    assert kinds[:3] == [Compute, Send, Compute]


def test_who_has_two_neighbours_has_two_borders():
    tiles = [
        tile
        for layer in range(3)
        for tile in (("a", layer, 0, 20), ("b", layer, 20, 40), ("c", layer, 40, 60))
    ]
    tall = chain_graph(channels=16, rows=60)
    plan = borders_first(layer_plan(tall, tiles), tall, costs(latency=10.0))
    assert rows_on(plan, "b", "s0") == [(20, 21), (39, 40), (21, 39)]


@pytest.mark.parametrize("latency", [0.0, 1e-6])
def test_nothing_is_cut_where_there_is_nothing_to_hide(latency):
    plan = two_devices(GRAPH)
    assert borders_first(plan, GRAPH, costs(latency)) == plan


def test_a_tile_that_is_all_border_stays_whole():
    tiles = [t for layer in range(3) for t in (("a", layer, 0, 11), ("b", layer, 11, 12))]
    plan = borders_first(layer_plan(GRAPH, tiles), GRAPH, costs(latency=10.0))
    assert rows_on(plan, "b", "s0") == [(11, 12)]


def test_the_result_stays_the_same():
    plan = borders_first(two_devices(GRAPH), GRAPH, costs(latency=10.0))
    validate_plan(plan, GRAPH)
    assert verify_plan(plan, GRAPH, INPUTS).within_tolerance
