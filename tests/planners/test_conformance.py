"""Every registered planner, on every kind of graph and cluster: a valid plan, an exact result."""

from __future__ import annotations

from functools import cache

import pytest

import swath
from swath.cluster import Cluster, Device, Link
from swath.cost import nominal_costs
from swath.errors import PlanError
from swath.graph.graph import Graph
from swath.plan.compile import compile_plan
from swath.plan.validate import validate_memory, validate_plan
from swath.planners import Problem, known_planners, make_planner
from swath.runtime.clusters import random_inputs
from swath.runtime.verify import verify_plan

MODELS = ("zoo:squeezenet@64x64", "zoo:resnet18@64x64", "zoo:mobilenet_v3_small@64x64")

SLOW_LINK = Link(bandwidth=1e6, latency=5e-3)
CLUSTERS = {
    "one": Cluster((Device("a", gflops=5),), "a"),
    "two equal": Cluster((Device("a", gflops=5), Device("b", gflops=5)), "a"),
    "three uneven": Cluster(
        (Device("a", gflops=1), Device("b", gflops=10), Device("c", gflops=3)), "b"
    ),
    "slow links": Cluster((Device("a", gflops=5), Device("b", gflops=5)), "a", "switch", SLOW_LINK),
    "a camera": Cluster(
        (Device("eye", compute=False), Device("b", gflops=5), Device("c", gflops=5)), "eye"
    ),
    "more devices than rows": Cluster(tuple(Device(f"d{i}", gflops=50) for i in range(9)), "d0"),
}


@cache
def graph_of(model: str) -> Graph:
    return swath.load(model)


@pytest.mark.parametrize("cluster", CLUSTERS)
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("info", known_planners(), ids=lambda info: info.name)
def test_a_planner_keeps_its_promises(info, model, cluster):
    graph = graph_of(model)
    problem = Problem(graph, nominal_costs(CLUSTERS[cluster]))
    if len(CLUSTERS[cluster].workers) < info.fewest:
        with pytest.raises(PlanError, match="add devices"):
            make_planner(info.name).plan(problem)
        return
    plan = make_planner(info.name).plan(problem)
    validate_plan(plan, graph)
    validate_memory(plan, compile_plan(plan))
    computing = {device.name for device in CLUSTERS[cluster].workers}
    assert set(plan.devices_used) <= computing
    assert plan.source == CLUSTERS[cluster].source
    found = verify_plan(plan, graph, random_inputs(graph))
    assert found.within_tolerance, found


def test_the_same_problem_gives_the_same_plan():
    problem = Problem(graph_of(MODELS[0]), nominal_costs(CLUSTERS["three uneven"]))
    for info in known_planners():  # All of them can plan for three devices.
        assert make_planner(info.name).plan(problem) == make_planner(info.name).plan(problem)


def test_whole_takes_the_fastest_device():
    graph = graph_of(MODELS[0])
    plan = swath.plan(graph, CLUSTERS["three uneven"], planner="whole")
    assert plan.devices_used == ("b",)
    assert len(plan.stages) == 1


@pytest.mark.parametrize("split", ["rows", "cols", "grid", "channels"])
def test_even_shares_by_speed(split):
    graph = graph_of("zoo:resnet18@64x64")
    plan = swath.plan(graph, CLUSTERS["three uneven"], planner="even", split=split)
    programs = compile_plan(plan)
    work = {
        device: sum(getattr(step, "flops", 0) for step in program.steps)
        for device, program in programs.by_device.items()
    }
    assert max(work, key=lambda device: work[device]) == "b"


def test_even_fuses_more_where_links_are_slow():
    graph = graph_of("zoo:resnet18@64x64")
    quick = swath.plan(graph, CLUSTERS["two equal"], planner="even", split="rows")
    slow = swath.plan(graph, CLUSTERS["slow links"], planner="even", split="rows")
    assert len(slow.stages) < len(quick.stages)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("evn", {}, "did you mean 'even'?"),
        ("zzz", {}, "known are whole, even"),
        ("even", {"splt": "rows"}, "has no option 'splt'; its options: split"),
        ("even", {"split": "diagonal"}, "split 'diagonal' is not known; use one of rows"),
    ],
)
def test_what_is_not_known_is_refused_in_one_line(name, options, message):
    with pytest.raises(PlanError) as error:
        make_planner(name, **options)
    assert message in str(error.value)
