"""PICO: pieces of a DAG, pipelines of device groups, and what they are for: throughput."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import pairwise

import pytest

import swath
from swath.cluster import Cluster, Device, Link
from swath.cost import nominal_costs
from swath.errors import PlanError
from swath.graph.graph import Graph
from swath.plan.compile import compile_plan
from swath.plan.plan import Plan
from swath.planners import Problem, make_planner
from swath.planners.building.fusing import candidate_cuts
from swath.planners.methods.pico.pieces import LONGEST_PIECE, piece_cuts
from swath.planners.objective import predicted_interval, predicted_seconds


@cache
def graph_of(model: str) -> Graph:
    return swath.load(model)


def problem(model: str, gflops: list[float], mbit: float = 1000) -> Problem:
    devices = tuple(Device(f"d{number}", gflops=speed) for number, speed in enumerate(gflops))
    cluster = Cluster(devices, "d0", default_link=Link(mbit * 125e3, 1e-4))
    return Problem(graph_of(model), nominal_costs(cluster), "throughput")


def interval(problem: Problem, plan: Plan) -> float:
    return predicted_interval(plan, compile_plan(plan), problem.costs)


def groups(plan: Plan) -> list[set[str]]:
    """The devices of each stage."""
    return [{t.device for t in plan.tiles if t.stage == stage.name} for stage in plan.stages]


@pytest.mark.parametrize(
    "model", ["zoo:resnet18@64x64", "zoo:densenet121@64x64", "zoo:googlenet@64x64"]
)
def test_pieces_are_short_and_one_tensor_passes_where_that_can_be(model):
    graph = graph_of(model)
    candidates, cuts = candidate_cuts(graph), piece_cuts(graph)
    assert set(cuts) <= set(candidates)
    places = [candidates.index(cut) for cut in cuts]
    assert all(b - a <= LONGEST_PIECE for a, b in pairwise(places))
    for cut in candidates[1:-1]:
        made = {name for node in graph.nodes[:cut] for name in node.outputs}
        passing = {name for node in graph.nodes[cut:] for name in node.reads if name in made} | {
            name for node in graph.nodes[cut:] for name in node.reads if name in graph.inputs
        }
        if len(passing) == 1:
            assert cut in cuts


def test_a_chain_is_cut_everywhere():
    graph = graph_of("zoo:tiny_yolov2@128x128")
    assert piece_cuts(graph) == candidate_cuts(graph)


@pytest.mark.parametrize("model", ["zoo:tiny_yolov2@128x128", "zoo:resnet18@64x64"])
@pytest.mark.parametrize("count", [2, 4])
def test_more_devices_bring_more_results(model, count):
    """Towards as many times more as there are devices; the paper has 1.8 to 6.8 with 2 to 8."""
    asked = problem(model, [1.0] * count)
    alone = interval(asked, make_planner("whole").plan(asked))
    plan = make_planner("pico").plan(asked)
    assert interval(asked, plan) < alone / (0.7 * count)
    stages = groups(plan)
    assert all(a.isdisjoint(b) for i, a in enumerate(stages) for b in stages[i + 1 :])


def test_the_strongest_device_gets_the_stage_with_most_to_do():
    asked = problem("zoo:tiny_yolov2@128x128", [1, 1, 2])
    cluster = asked.costs.cluster
    plan = make_planner("pico").plan(asked)
    busy = swath.simulate(plan, cluster).busy
    work = {name: busy[name] * cluster.device(name).gflops for name in plan.devices_used}
    assert max(work, key=lambda name: work[name]) == "d2"


def test_a_deadline_bounds_the_pipeline():
    """The paper's bound on latency: sooner done, but fewer results in the same time."""
    asked = problem("zoo:tiny_yolov2@128x128", [2.0] * 4, mbit=200)
    planner = make_planner("pico")
    free = planner.plan(asked)
    seconds = predicted_seconds(free, compile_plan(free), asked.costs)
    with pytest.raises(PlanError, match="the best reachable is") as error:
        planner.plan(replace(asked, deadline=1e-6))
    best = float(str(error.value).split()[-2]) / 1e3
    assert best < seconds
    for deadline in (best, (best + seconds) / 2):
        plan = planner.plan(replace(asked, deadline=deadline))
        assert predicted_seconds(plan, compile_plan(plan), asked.costs) <= deadline
        assert interval(asked, plan) > interval(asked, free)


def test_a_device_that_is_too_small_is_left_out():
    asked = problem("zoo:tiny_yolov2@128x128", [5.0] * 3)
    cluster = asked.costs.cluster
    small = replace(cluster.devices[1], memory=1 << 20)
    cramped = replace(cluster, devices=(cluster.devices[0], small, cluster.devices[2]))
    plan = make_planner("pico").plan(replace(asked, costs=nominal_costs(cramped)))
    assert "d1" not in plan.devices_used
