"""IOP: what becomes a pair, that nothing is put together inside one, and that sums are right."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from onnx import helper

import swath
from swath.cluster import Cluster, Device, Link
from swath.cost import nominal_costs
from swath.errors import PlanError
from swath.graph.geometry import tile_geometry
from swath.graph.graph import Graph
from swath.plan.compile import compile_plan
from swath.plan.memory import peak_memory
from swath.plan.plan import Plan
from swath.plan.validate import validate_memory, validate_plan
from swath.planners import Problem, make_planner
from swath.planners.building.layouts import Split
from swath.planners.methods.iop import _between, _runs
from swath.planners.objective import predicted_seconds
from swath.runtime.clusters import random_inputs
from swath.runtime.verify import unsplit, verify_plan
from tests.tiles import make_model


def cluster(*gflops: float, mbit: float = 1000, memory: int | None = None) -> Cluster:
    devices = tuple(
        Device(f"d{place}", gflops=speed, memory=memory) for place, speed in enumerate(gflops)
    )
    return Cluster(devices, "d0", default_link=Link(mbit * 125e3, 1e-4))


def planned(graph: Graph, of: Cluster) -> Plan:
    plan = make_planner("iop").plan(Problem(graph, nominal_costs(of)))
    validate_plan(plan, graph)
    return plan


def narrowing(*channels: int, between: str = "Relu", groups: int = 1, **attributes: int) -> Graph:
    """Convolutions 3 x 3 from one number of channels to the next, something after each."""
    rng = np.random.default_rng(0)
    nodes, constants = [], {}
    name = "x"
    for place, (read, made) in enumerate(pairwise(channels)):
        shape = (made, read // groups, 3, 3)
        constants[f"w{place}"] = rng.standard_normal(shape, np.float32) / np.float32(3 * read)
        constants[f"b{place}"] = rng.standard_normal(made, np.float32)
        nodes += [
            helper.make_node(
                "Conv", [name, f"w{place}", f"b{place}"], [f"c{place}"], f"conv{place}",
                pads=[1] * 4, group=groups,
            ),
            helper.make_node(
                between, [f"c{place}"], [f"r{place}"], f"between{place}", **attributes
            ),
        ]  # fmt: skip
        name = f"r{place}"
    feeds = {"x": np.zeros((1, channels[0], 32, 32), np.float32)}
    return swath.load(make_model(nodes, feeds, constants, 17, [name]))


def fully_connected() -> Graph:
    """A convolution and a pool, flattened, then features: 384 -> 2000 -> 10."""
    rng = np.random.default_rng(1)
    shapes = {"w": (24, 3, 3, 3), "v": (2000, 384), "a": (2000,), "u": (10, 2000)}
    constants = {
        name: rng.standard_normal(shape, np.float32) * np.float32(0.05)
        for name, shape in shapes.items()
    }
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], "conv", pads=[1] * 4),
        helper.make_node("MaxPool", ["c"], ["p"], "pool", kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Flatten", ["p"], ["f"], "flatten"),
        helper.make_node("Gemm", ["f", "v", "a"], ["g"], "wide", transB=1),
        helper.make_node("Relu", ["g"], ["r"], "relu"),
        helper.make_node("Gemm", ["r", "u"], ["y"], "narrow", transB=1),
    ]
    feeds = {"x": np.zeros((1, 3, 16, 16), np.float32)}
    return swath.load(make_model(nodes, feeds, constants))


def is_exact(plan: Plan, graph: Graph) -> bool:
    """Against the graph as it is, no sum of which is split, at every stage."""
    inputs = random_inputs(graph)
    made = dict.fromkeys(name for tile in plan.tiles for name in tile.outputs)
    known = [name for name in made if name in graph.producers]
    reference = dict(zip(known, unsplit(graph, known, inputs).values(), strict=True))
    return verify_plan(plan, graph, inputs, reference).within_tolerance


@pytest.mark.parametrize("gflops", [(1, 1), (1, 3, 2)])
def test_a_wide_map_between_two_operators_is_never_put_together(gflops):
    graph = narrowing(4, 96, 4)
    plan = planned(graph, cluster(*gflops))
    assert [split.node for split in plan.splits] == ["conv1"]
    assert plan.stages[0].nodes == ("conv0", "between0", "conv1/partial")
    assert not any("r0" in tile.outputs for tile in plan.tiles)
    assert is_exact(plan, graph)


def test_what_a_device_makes_is_what_it_reads_next():
    """The channels that the pair's tiles make of the first operator are all of them, each once."""
    graph = narrowing(4, 96, 4)
    plan = planned(graph, cluster(1, 3, 2))
    split = plan.split_graph
    stage = plan.stages[0]
    nodes = [split.index[name] for name in stage.nodes]
    made = []
    for tile in plan.tiles:
        if tile.stage == stage.name:
            demands = tile_geometry(split, nodes, tile.outputs).demands
            region = demands[split.index["conv0"]].outputs[0]
            assert region is not None
            made.append(region[1])
    assert len(made) == 3
    assert sorted(made) == list(pairwise(plan.splits[0].bounds))


def test_pairs_follow_each_other():
    plan = planned(graph := narrowing(4, 96, 4, 96, 4), cluster(1, 1, mbit=100))
    assert [split.node for split in plan.splits] == ["conv1", "conv3"]
    assert is_exact(plan, graph)


def test_an_operator_is_in_one_pair_the_first_that_saves_time():
    """conv1 could go with conv0 and with conv2."""
    graph = narrowing(4, 96, 24, 4)
    of = cluster(1, 1, mbit=100)
    assert [split.node for split in planned(graph, of).splits] == ["conv1"]
    later = narrowing(4, 24, 96, 4)
    assert [split.node for split in planned(later, of).splits] == ["conv2"]


def test_what_mixes_channels_ends_a_run():
    graph = narrowing(4, 96, 4, between="Softmax", axis=1)
    assert not planned(graph, cluster(1, 1, mbit=100)).splits


def test_groups_are_not_split_over_input_channels():
    graph = narrowing(8, 96, 8, groups=2)
    plan = planned(graph, cluster(1, 1, mbit=100))
    assert not plan.splits
    assert is_exact(plan, graph)


def test_fully_connected_layers_are_pairs_too():
    plan = planned(graph := fully_connected(), cluster(1, 1))
    assert "narrow" in {split.node for split in plan.splits}
    assert is_exact(plan, graph)


def test_a_flattening_lies_inside_a_pair():
    """Bounds of 16 features for each channel."""
    graph = fully_connected()
    shared = Split("channels", ("a", "b", "c"), (1.0, 3.0, 2.0))
    runs = list(_runs(graph))
    assert [len(run) for run in runs] == [3, 2, 1]
    split = _between(graph, runs[0], runs[1], shared)
    assert split is not None
    assert (split.node, split.bounds) == ("wide", (0, 4 * 16, 16 * 16, 24 * 16))


def test_depthwise_convolutions_lie_inside_pairs():
    graph = swath.load("zoo:mobilenet_v3_small@64x64")
    plan = planned(graph, cluster(1, 1))
    assert plan.splits
    assert is_exact(plan, graph)


def test_a_pair_is_sooner_than_its_operators_one_by_one():
    graph = narrowing(4, 96, 4)
    of = cluster(1, 1, mbit=100)
    costs = nominal_costs(of)
    seconds = [
        predicted_seconds(plan, compile_plan(plan), costs)
        for plan in (
            planned(graph, of),
            make_planner("even", split="channels").plan(Problem(graph, costs)),
        )
    ]
    assert seconds[0] < seconds[1]


def test_slow_links_leave_everything_on_one_device():
    plan = planned(narrowing(4, 96, 4), cluster(1, 1, mbit=0.1))
    assert plan.devices_used == ("d0",)
    assert not plan.splits


def test_little_memory_splits_what_one_device_would_keep():
    graph = fully_connected()
    of = cluster(1, 1, mbit=0.1)
    plan = planned(graph, of)
    assert plan.devices_used == ("d0",)
    (kept,) = peak_memory(compile_plan(plan)).values()
    tight = replace(of, devices=tuple(replace(d, memory=kept - 1) for d in of.devices))
    plan = planned(graph, tight)
    validate_memory(plan, compile_plan(plan))
    assert plan.devices_used == ("d0", "d1")


def test_a_device_that_is_too_small_is_left_out():
    graph = narrowing(4, 96, 4)
    of = cluster(1, 1, 1, mbit=100)
    small = replace(of, devices=(*of.devices[:2], replace(of.devices[2], memory=1000)))
    assert planned(graph, small).devices_used == ("d0", "d1")


def test_no_memory_anywhere_is_refused_in_one_line():
    with pytest.raises(PlanError, match=r"needs .* MiB of memory for its tiles but has") as error:
        planned(narrowing(4, 96, 4), cluster(1, 1, memory=1000))
    assert "\n" not in str(error.value)
