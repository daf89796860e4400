"""The referee: it tries what it says, leaves out only what cannot win, refuses what is large."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import islice
from typing import Any

import numpy as np
import pytest
from onnx import helper

import swath
from swath.cluster import Cluster, Device, Link, Watts
from swath.cost import nominal_costs
from swath.errors import PlanError
from swath.plan.compile import compile_plan
from swath.plan.memory import peak_memory
from swath.plan.plan import Plan
from swath.plan.validate import validate_memory, validate_plan
from swath.planners import Problem, make_planner
from swath.planners.building.assembling import assemble
from swath.planners.building.fusing import candidate_cuts
from swath.planners.building.layouts import Mode
from swath.planners.methods.brute_force import BruteForce, _Space
from swath.planners.objective import predicted_seconds, score
from swath.runtime.clusters import random_inputs
from swath.runtime.verify import verify_plan
from tests.plan.plans import chain_graph
from tests.planners.small import MOST_PLANS, Instance, instances
from tests.tiles import make_model


@cache
def some(count: int) -> tuple[Instance, ...]:
    return tuple(islice(instances(), count))


def two(mbit: float = 1000, memory: int | None = None, **fields: Any) -> Cluster:
    watts = Watts(idle=1.0, busy=20.0)
    devices = (
        Device("a", gflops=5, watts=watts, memory=memory),
        Device("b", gflops=8, watts=watts, memory=memory),
    )
    return Cluster(devices, "a", default_link=Link(mbit * 125e3, 1e-4), **fields)


def problem(layers: int, cluster: Cluster, **fields: Any) -> Problem:
    return Problem(chain_graph(layers, 64, 24), nominal_costs(cluster), **fields)


def seconds_of(plan: Plan, of: Problem) -> float:
    return predicted_seconds(plan, compile_plan(plan), of.costs)


def all_plans(of: Problem, steps: int, modes: tuple[Mode, ...]) -> list[tuple[float, Plan]]:
    """Every plan of the space, with the seconds that it is said to take at least."""
    space = _Space(of, steps, modes)
    return [
        (least, assemble("test", of, space.layouts, segments, leader=leader))
        for least, segments, leader in space.plans()
    ]


# What is tried


def test_all_plans_of_one_layer():
    """Two devices, halves of rows: each alone, or both, either above, with or without a leader."""
    plans = [plan for _, plan in all_plans(problem(1, two()), 2, ("rows",))]
    seen = {
        (plan.leader, tuple((tile.device, tile.outputs["x1"][2]) for tile in plan.tiles))
        for plan in plans
    }
    halves = ((0, 12), (12, 24))
    assert len(plans) == len(seen) == 6
    assert seen == {
        (None, (("a", (0, 24)),)),
        (None, (("b", (0, 24)),)),
        *((leader, tuple(zip(order, halves, strict=True)))
          for leader in (None, "a") for order in ("ab", "ba")),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("layers", "steps", "modes", "count"),
    [
        (1, 2, "rows", 2 * 2 * 3),
        (2, 4, "rows,cols,channels", 2 * 2 * 11 * 12),
        (3, 2, "rows,channels", 2 * 2 * 4 * 5 * 5),
    ],
)
def test_how_many_there_are(layers, steps, modes, count):
    of = problem(layers, two())
    referee = BruteForce(steps, modes)
    assert referee.count(of) == count
    assert len(all_plans(of, steps, referee.modes)) <= count


def test_no_plan_is_tried_twice():
    plans = [plan for _, plan in all_plans(problem(2, two()), 3, ("rows", "channels"))]
    keys = {
        (plan.leader, tuple((s.nodes) for s in plan.stages),
         tuple((tile.device, tile.stage[0], tuple(tile.outputs.items())) for tile in plan.tiles))
        for plan in plans
    }  # fmt: skip
    assert len(keys) == len(plans)


# What is left out cannot win


@pytest.mark.parametrize("number", [0, 5, 8, 11])
def test_no_plan_is_sooner_than_it_is_said_to_be_at_the_least(number):
    instance = some(12)[number]
    modes = BruteForce(**instance.options).modes
    plans = all_plans(instance.problem, instance.options["steps"], modes)
    for least, plan in plans[:: 1 + len(plans) // 40]:
        assert least <= seconds_of(plan, instance.problem) * (1 + 1e-9)


@pytest.mark.parametrize("mbit", [100, 10_000])
def test_messages_may_leave_while_they_are_sent(mbit):
    of = problem(1, two(mbit))
    for least, plan in all_plans(of, 4, ("rows",)):
        assert least <= seconds_of(plan, of) * (1 + 1e-9)


@pytest.mark.parametrize("network", ["switch", "shared", "star"])
@pytest.mark.parametrize("mbit", [20, 1000])
def test_what_it_finds_is_the_best_of_all(network, mbit):
    cluster = two(mbit, network=network, hub="b" if network == "star" else None)
    of = problem(2, cluster)
    found = BruteForce(2, "rows,channels").plan(of)
    every = [seconds_of(plan, of) for _, plan in all_plans(of, 2, ("rows", "channels"))]
    assert seconds_of(found, of) == min(every)


def test_bursts_are_not_taken_for_slow_links():
    """A bucket of tokens carries what its rate could not."""
    devices = (Device("a", gflops=5), Device("b", gflops=20))
    link = Link(1e5, 1e-4, burst=1e7)
    of = problem(1, Cluster(devices, "a", default_link=link))
    for least, plan in all_plans(of, 2, ("rows",)):
        assert least <= seconds_of(plan, of) * (1 + 1e-9)


@pytest.mark.parametrize("number", [1, 6, 12, 18])
def test_one_device_is_never_better_and_the_result_is_exact(number):
    instance = some(19)[number]
    of = instance.problem
    plan = make_planner("brute-force", **instance.options).plan(of)
    validate_plan(plan, of.graph)
    assert seconds_of(plan, of) <= seconds_of(make_planner("whole").plan(of), of)
    assert verify_plan(plan, instance.graph, random_inputs(instance.graph)).within_tolerance


# Objectives, memory, randomness


def test_energy_under_a_deadline():
    """Sooner than the thriftiest plan asks for more joules; sooner than the soonest cannot be."""
    of = problem(2, two())
    referee = BruteForce(2, "rows")
    thrifty = replace(of, objective="energy")
    lasting, soonest = seconds_of(referee.plan(thrifty), of), seconds_of(referee.plan(of), of)
    assert soonest < lasting
    hurried = replace(thrifty, deadline=(lasting + soonest) / 2)
    plan = referee.plan(hurried)
    assert seconds_of(plan, of) <= hurried.deadline
    joules = [score(thrifty, p, compile_plan(p)) for p in (referee.plan(thrifty), plan)]
    assert joules[0] < joules[1]
    with pytest.raises(PlanError, match="the best reachable is"):
        referee.plan(replace(thrifty, deadline=soonest / 2))


def test_throughput_may_differ_from_latency():
    """Two devices that the network hardly joins: in turn, rather than together."""
    of = problem(2, two(100), objective="throughput")
    plan = BruteForce(2, "rows").plan(of)
    every = [plan for _, plan in all_plans(of, 2, ("rows",))]
    assert score(of, plan, compile_plan(plan)) == min(
        score(of, plan, compile_plan(plan)) for plan in every
    )


def test_memory_decides():
    of = problem(2, two(5))
    alone = BruteForce(2, "rows,channels").plan(of)
    assert len(alone.devices_used) == 1
    (need,) = peak_memory(compile_plan(alone)).values()
    tight = problem(2, two(5, memory=need - 1))
    plan = BruteForce(2, "rows,channels").plan(tight)
    validate_memory(plan, compile_plan(plan))
    assert len(plan.devices_used) == 2
    with pytest.raises(PlanError, match=r"device '.' needs .* MiB of memory for its tiles but has"):
        BruteForce(2, "rows").plan(problem(2, two(5, memory=1000)))


def test_what_is_drawn_at_random_is_not_split():
    nodes = [
        helper.make_node("RandomUniformLike", ["x"], ["r"], "draw"),
        helper.make_node("Add", ["x", "r"], ["y"], "add"),
    ]
    graph = swath.load(make_model(nodes, {"x": np.zeros((1, 2, 8, 8), np.float32)}, {}))
    plan = BruteForce().plan(Problem(graph, nominal_costs(two())))
    validate_plan(plan, graph)
    assert len(plan.tiles) == len(plan.stages)


# Refusals


def test_what_is_too_large_is_refused_in_one_line():
    graph = swath.load("zoo:squeezenet@64x64")
    with pytest.raises(PlanError, match=r"try about 10\^\d+ plans, more than its limit of 20,000"):
        BruteForce().plan(Problem(graph, nominal_costs(two())))
    with pytest.raises(PlanError, match="try 528 plans, more than its limit of 527"):
        BruteForce(limit=527).plan(problem(2, two()))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps 0 is not understood"),
        ({"limit": "many"}, "limit 'many' is not understood"),
        (
            {"modes": "rows,diagonals"},
            "modes 'rows,diagonals' is not understood; list some of rows",
        ),
    ],
)
def test_options_that_are_not_understood(options, message):
    with pytest.raises(PlanError, match=message):
        make_planner("brute-force", **options)


# The instances


def test_there_are_instances_of_every_kind():
    made = list(instances(110))
    assert len({instance.name for instance in made}) == 110
    problems = [instance.problem for instance in made]
    clusters = [of.costs.cluster for of in problems]
    assert {len(cluster.workers) for cluster in clusters} == {1, 2, 3}
    assert {cluster.network for cluster in clusters} == {"switch", "shared", "star"}
    assert any(not cluster.device(cluster.source).compute for cluster in clusters)
    assert {len(candidate_cuts(of.graph)) - 1 for of in problems} >= {2, 3, 4, 5, 6}
    kinds = {node.type for of in problems for node in of.graph.nodes}
    assert kinds >= {"Conv", "Relu", "MaxPool", "Add", "Concat", "Flatten", "Gemm"}
    for instance in made:
        assert BruteForce(**instance.options).count(instance.problem) <= MOST_PLANS


def test_they_are_the_same_every_time():
    for one, other in zip(instances(3), instances(3), strict=True):
        assert one.problem.graph.digest == other.problem.graph.digest
        assert one.problem.costs == other.problem.costs
