"""Every registered planner, on every kind of graph and cluster: a valid plan, an exact result."""

from __future__ import annotations

from functools import lru_cache

import pytest

import swath
from swath import zoo
from swath.cluster import Cluster, Device, Link, Watts
from swath.cost import nominal_costs
from swath.errors import PlanError
from swath.graph.graph import Graph
from swath.plan.compile import compile_plan
from swath.plan.plan import Plan
from swath.plan.validate import validate_memory, validate_plan
from swath.planners import PlannerInfo, Problem, known_planners, make_planner
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


REFUSALS = {
    "brute-force": "more than its limit",
    "offload-brute-force": "more than its limit",
    "nfl-local": "computes nothing, so nothing can stay there",
}
"""What planners say that have no plan for large problems, or for a source that only looks."""


@lru_cache(maxsize=4)
def graph_of(model: str) -> Graph:
    return swath.load(model)


def plan_of(info: PlannerInfo, problem: Problem) -> Plan | None:
    """The planner's plan; None where it says that there is none, and is one that may."""
    try:
        return make_planner(info.name).plan(problem)
    except PlanError as error:
        if info.name not in REFUSALS or REFUSALS[info.name] not in str(error):
            raise
        return None


@pytest.mark.parametrize("cluster", CLUSTERS)
@pytest.mark.parametrize("info", known_planners(), ids=lambda info: info.name)
def test_a_planner_keeps_its_promises(info, cluster):
    """On one of two models in turn."""
    turn = known_planners().index(info) + list(CLUSTERS).index(cluster)
    check_promises(info, graph_of(MODELS[turn % 2]), cluster)


@pytest.mark.slow
@pytest.mark.parametrize("cluster", CLUSTERS)
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("info", known_planners(), ids=lambda info: info.name)
def test_a_planner_keeps_its_promises_on_several_models(info, model, cluster):
    check_promises(info, graph_of(model), cluster)


SPLITTING = [info for info in known_planners() if ".offload." not in info.target]
"""The others search longest, and cut every model alike."""


@pytest.mark.slow
@pytest.mark.parametrize("info", SPLITTING, ids=lambda info: info.name)
@pytest.mark.parametrize(("number", "model"), list(enumerate(zoo.NAMES)))
def test_a_planner_keeps_its_promises_for_every_model_of_the_zoo(number, model, info):
    """On one of the clusters in turn, so that all planners and all models meet all of them."""
    several = [name for name in CLUSTERS if name != "one"]
    turn = number + SPLITTING.index(info)
    check_promises(info, graph_of(f"zoo:{model}@64x64"), several[turn % len(several)])


def check_promises(info: PlannerInfo, graph: Graph, cluster: str) -> None:
    problem = Problem(graph, nominal_costs(CLUSTERS[cluster]), info.objectives[0])
    if len(CLUSTERS[cluster].workers) < info.fewest:
        with pytest.raises(PlanError, match="add devices"):
            make_planner(info.name).plan(problem)
        return
    plan = plan_of(info, problem)
    if plan is None:
        return
    validate_plan(plan, graph)
    validate_memory(plan, compile_plan(plan))
    computing = {device.name for device in CLUSTERS[cluster].workers}
    assert set(plan.devices_used) <= computing
    assert plan.source == CLUSTERS[cluster].source
    found = verify_plan(plan, graph, random_inputs(graph))
    assert found.within_tolerance, found


@pytest.mark.slow
def test_the_same_problem_gives_the_same_plan():
    costs = nominal_costs(CLUSTERS["three uneven"])
    for info in known_planners():  # All of them can plan for three devices.
        problem = Problem(graph_of(MODELS[0]), costs, info.objectives[0])
        assert plan_of(info, problem) == plan_of(info, problem)


POWERED = Cluster(tuple(Device(name, gflops=5, watts=Watts(1, 4)) for name in ("a", "b", "c")), "a")


@pytest.mark.parametrize("objective", ["latency", "throughput", "energy", "reliability"])
@pytest.mark.parametrize("info", known_planners(), ids=lambda info: info.name)
def test_a_planner_plans_for_its_objectives_and_refuses_the_others(info, objective):
    graph = graph_of(MODELS[0])
    problem = Problem(graph, nominal_costs(POWERED), objective, deadline=10.0)
    if objective in info.objectives:
        plan = plan_of(info, problem)
        if plan is not None:
            validate_plan(plan, graph)
    else:
        said = f"{info.name!r} knows no objective {objective!r}; it plans for {info.objectives[0]}"
        with pytest.raises(PlanError, match=said):
            make_planner(info.name).plan(problem)


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
