"""How AOFL fuses and into how many equal cells: by links, by devices, and as well as any other."""

from __future__ import annotations

from functools import cache
from itertools import combinations, pairwise, product

import pytest

import swath
from swath.cluster import Cluster, Device, Link
from swath.cost import nominal_costs
from swath.graph.graph import Graph
from swath.plan.compile import compile_plan
from swath.plan.plan import Plan
from swath.plan.program import COORDINATOR
from swath.planners import Problem, make_planner
from swath.planners.building.assembling import assemble
from swath.planners.building.fusing import Segment, candidate_cuts
from swath.planners.building.gathering import merged
from swath.planners.building.layouts import Layouts, Split
from swath.planners.objective import predicted_seconds
from tests.plan.plans import chain_graph

CHAIN = chain_graph(layers=10, channels=64, rows=64)


@cache
def graph_of(model: str) -> Graph:
    return swath.load(model)


def cluster_of(*gflops: float, mbit: float = 1000) -> Cluster:
    devices = tuple(Device(f"d{place}", gflops=speed) for place, speed in enumerate(gflops))
    return Cluster(devices, "d0", default_link=Link(mbit * 125e3, 1e-4))


def planned(graph: Graph, cluster: Cluster) -> tuple[Plan, float]:
    problem = Problem(graph, nominal_costs(cluster))
    plan = make_planner("aofl").plan(problem)
    return plan, predicted_seconds(plan, compile_plan(plan), problem.costs)


def shared(plan: Plan) -> list[str]:
    """Stages that several devices compute."""
    tiles = [tile.stage for tile in plan.tiles]
    return [stage.name for stage in plan.stages if tiles.count(stage.name) > 1]


@pytest.mark.parametrize("mbit", [1, 20, 100, 1000])
def test_no_other_fused_sets_are_much_sooner(mbit):
    """Of all sets of three layers, each on one device or in a grid of two or four, by simulation;
    the sets are found by sums, in which nothing overlaps."""
    graph = chain_graph(layers=3, channels=32, rows=48)
    cluster = cluster_of(1, 1, 1, 1, mbit=mbit)
    problem = Problem(graph, nominal_costs(cluster))
    layouts = Layouts(graph)
    names = ("d0", "d1", "d2", "d3")
    splits = [
        (Split.alone("d0"), None),
        *((Split("grid", names[:count], (1.0,) * count), "d0") for count in (2, 4)),
    ]
    first, *inner, last = candidate_cuts(graph)
    found = []
    for count in range(len(inner) + 1):
        for chosen in combinations(inner, count):
            runs = list(pairwise((first, *chosen, last)))
            for ways in product(splits, repeat=len(runs)):
                sets = [
                    Segment(start, stop, split, leader)
                    for (start, stop), (split, leader) in zip(runs, ways, strict=True)
                ]
                plan = assemble("test", problem, layouts, merged(sets))
                found.append(predicted_seconds(plan, compile_plan(plan), problem.costs))
    assert planned(graph, cluster)[1] <= 1.06 * min(found)


def test_sets_grow_where_links_are_slow():
    slow, quick = (planned(CHAIN, cluster_of(5, 5, 5, 5, mbit=mbit))[0] for mbit in (200, 20000))
    assert 0 < len(shared(slow)) < len(shared(quick))
    longest_slow, longest_quick = (
        max(len(plan.stage_by_name[name].nodes) for name in shared(plan)) for plan in (slow, quick)
    )
    assert longest_slow > longest_quick


def test_cells_are_equal_and_a_weak_device_has_none():
    plan, _ = planned(CHAIN, cluster_of(5, 5, 0.2, 5, 5, mbit=10000))
    assert "d2" not in plan.devices_used
    first = plan.stages[0].name
    cells = [
        tile.outputs[tensor].shape
        for tile in plan.tiles
        if tile.stage == first
        for tensor in tile.outputs
    ]
    assert len(cells) == 4 and len(set(cells)) == 1
    *_, rows, columns = cells[0]
    assert (rows, columns) == (32, 4)


def test_everything_between_two_sets_goes_through_the_gateway():
    plan, _ = planned(graph_of("zoo:resnet18@64x64"), cluster_of(5, 5, 5))
    assert len(shared(plan)) > 1
    for message in compile_plan(plan).messages:
        assert {message.sender, message.receiver} & {"d0", COORDINATOR}


def test_what_has_no_rows_runs_on_the_gateway():
    plan, _ = planned(graph_of("zoo:resnet18@64x64"), cluster_of(5, 9, 9))
    last = plan.stages[-1]
    assert [tile.device for tile in plan.tiles if tile.stage == last.name] == ["d0"]
    assert plan.graph.nodes[-1].name in last.nodes
