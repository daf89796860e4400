"""What the shortest path over layers, devices and aggregators finds, and how high slices are."""

from __future__ import annotations

from functools import cache
from itertools import product

import pytest

import swath
from swath.cluster import Cluster, Device, Link
from swath.cost import nominal_costs
from swath.errors import PlanError
from swath.graph.graph import Graph
from swath.plan.compile import compile_plan
from swath.plan.memory import peak_memory
from swath.plan.plan import Plan
from swath.plan.program import COORDINATOR
from swath.planners import Problem, make_planner
from swath.planners.building.assembling import assemble
from swath.planners.building.fusing import Segment
from swath.planners.building.gathering import merged
from swath.planners.building.layouts import Layouts, Split
from swath.planners.methods.ofpm.slices import equal_slices, layers_of
from swath.planners.objective import predicted_seconds
from tests.plan.plans import chain_graph

METHODS = ("fpm", "opm", "ofpm")
CHAIN = chain_graph(layers=10, channels=64, rows=64)


@cache
def graph_of(model: str) -> Graph:
    return swath.load(model)


def cluster_of(*gflops: float, mbit: float = 1000, slow: str = "") -> Cluster:
    """Devices d0, d1, ...; d0 is the source. ``slow``: who has links of a tenth of the rate."""
    devices = tuple(Device(f"d{place}", gflops=speed) for place, speed in enumerate(gflops))
    link, thin = (Link(rate * 125e3, 1e-4) for rate in (mbit, mbit / 10))
    links = {
        pair: thin
        for device in devices
        if slow and device.name != slow
        for pair in ((slow, device.name), (device.name, slow))
    }
    return Cluster(devices, "d0", default_link=link, links=links)


def planned(name: str, graph: Graph, cluster: Cluster) -> tuple[Plan, float]:
    problem = Problem(graph, nominal_costs(cluster))
    plan = make_planner(name).plan(problem)
    return plan, predicted_seconds(plan, compile_plan(plan), problem.costs)


@pytest.mark.parametrize("mbit", [1, 20, 100, 1000])
def test_no_other_way_of_a_small_network_is_much_sooner(mbit):
    """Of all ways to compute three layers, by simulation; the path is found by sums, in which
    nothing overlaps."""
    graph = chain_graph(layers=3, channels=32, rows=48)
    cluster = cluster_of(1, 1, mbit=mbit)
    problem = Problem(graph, nominal_costs(cluster))
    layouts = Layouts(graph)
    names = ("d0", "d1")
    ways = [
        [
            *(Segment(layer.start, layer.stop, Split.alone(name)) for name in names),
            *(
                Segment(layer.start, layer.stop, equal_slices(layer, names, name), name)
                for name in names
            ),
        ]
        for layer in layers_of(problem, layouts, names)
    ]
    assert len(ways) == 3
    every = (assemble("test", problem, layouts, merged(path)) for path in product(*ways))
    best = min(predicted_seconds(plan, compile_plan(plan), problem.costs) for plan in every)
    assert planned("fpm", graph, cluster)[1] <= 1.125 * best


def test_layers_run_on_one_device_where_links_are_slow_and_on_many_where_they_are_quick():
    for name in ("fpm", "ofpm"):
        slow, quick = (
            planned(name, graph_of("zoo:resnet18@64x64"), cluster_of(5, 5, 5, 5, mbit=mbit))[0]
            for mbit in (1, 1000)
        )
        assert slow.devices_used == ("d0",)
        assert len(quick.devices_used) == 4


def test_who_has_thin_links_does_not_gather():
    plan, _ = planned("fpm", CHAIN, cluster_of(5, 5, 5, 5, mbit=1000, slow="d0"))
    leaders = [stage.leader for stage in plan.stages]
    assert len(leaders) > 5
    assert "d0" not in leaders[:-1]  # What the last stage makes goes to the source.


@pytest.mark.parametrize("name", METHODS)
def test_what_a_stage_makes_travels_by_its_leader(name):
    plan, _ = planned(name, CHAIN, cluster_of(5, 3, 6, 4))
    assert plan.exchange == "peer"
    leader_of = {
        tensor: plan.stage_by_name[tile.stage].leader
        for tile in plan.tiles
        for tensor in tile.outputs
    }
    seen = 0
    for message in compile_plan(plan).messages:
        for box in message.boxes:
            leader = leader_of.get(box.tensor)
            if leader and COORDINATOR not in (message.sender, message.receiver):
                assert leader in (message.sender, message.receiver)
                seen += 1
    assert seen


@pytest.mark.parametrize("name", METHODS)
def test_fully_connected_layers_are_cut_by_features(name):
    graph = graph_of("zoo:resnet18@64x64")
    plan, _ = planned(name, graph, cluster_of(5, 5, 5, 5))
    (output,) = graph.outputs
    features = [tile.outputs[output][1] for tile in plan.tiles if output in tile.outputs]
    assert len(features) == 4
    assert sum(hi - lo for lo, hi in features) == 1000


def test_slices_are_as_high_as_devices_are_fast():
    plan, _ = planned("opm", CHAIN, cluster_of(2, 2, 8, 4, mbit=10000))
    heights = rows_of_first_stage(plan)
    assert heights["d2"] > heights["d3"] > heights["d1"]
    equal, _ = planned("fpm", CHAIN, cluster_of(4, 4, 4, 4, mbit=10000))
    assert set(rows_of_first_stage(equal).values()) == {16}


def test_slices_are_lower_where_links_are_slow():
    plan, _ = planned("opm", CHAIN, cluster_of(2, 2, 2, 2, mbit=1000, slow="d3"))
    heights = rows_of_first_stage(plan)
    assert heights.get("d3", 0) < heights["d1"] == heights["d2"] <= heights["d0"]


def rows_of_first_stage(plan: Plan) -> dict[str, int]:
    first = plan.stages[0].name
    return {
        tile.device: region[2][1] - region[2][0]
        for tile in plan.tiles
        if tile.stage == first
        for region in tile.outputs.values()
    }


def test_uneven_devices_are_what_opm_is_for_and_ofpm_takes_the_best_of_both():
    cluster = cluster_of(5, 1, 10, 3)
    seconds = {name: planned(name, CHAIN, cluster)[1] for name in ("modnn", *METHODS)}
    assert seconds["opm"] < 0.9 * seconds["modnn"]
    assert seconds["ofpm"] <= min(seconds["fpm"], seconds["opm"])


@pytest.mark.parametrize("name", [*METHODS, "aofl"])
def test_a_device_with_too_little_memory_is_left_out(name):
    graph = graph_of("zoo:squeezenet@64x64")
    # d0, the source, is much the fastest: every method would have it.
    devices = [Device("d0", gflops=50), Device("d1", gflops=5), Device("d2", gflops=4)]
    free = Cluster(tuple(devices), "d0", default_link=Link(1e9, 1e-5))
    need = peak_memory(compile_plan(planned(name, graph, free)[0]))
    devices[0] = Device("d0", gflops=50, memory=need["d0"] // 2)
    tight = Cluster(tuple(devices), "d0", default_link=Link(1e9, 1e-5))
    plan, _ = planned(name, graph, tight)
    programs = compile_plan(plan)
    assert peak_memory(programs).get("d0", 0) <= need["d0"] // 2
    assert plan.devices_used and "d0" not in plan.devices_used
    none = Cluster(tuple(Device(device.name, gflops=5, memory=1000) for device in devices), "d0")
    with pytest.raises(
        PlanError,
        match=r"device 'd\d' needs [\d.]+ MiB of memory for its tiles but has 0.00095 MiB",
    ):
        planned(name, graph, none)
