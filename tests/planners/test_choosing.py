"""Which plan is taken: the planner's that was asked for, or one device where no split is sooner."""

from __future__ import annotations

from dataclasses import replace

import pytest

import swath
import swath.api
from swath.cluster import Cluster, Device, Link, Watts
from swath.cost import nominal_costs
from swath.errors import PlanError
from swath.plan.compile import compile_plan
from swath.plan.memory import peak_memory
from swath.planners import Problem
from swath.planners.choosing import choose
from swath.planners.objective import figure, predicted_seconds

GRAPH = swath.load("zoo:squeezenet@64x64")
DEVICES = (Device("a", gflops=1), Device("b", gflops=1))


def problem(link: Link, devices: tuple[Device, ...] = DEVICES) -> Problem:
    return Problem(GRAPH, nominal_costs(Cluster(devices, "a", default_link=link)))


QUICK_LINK = problem(Link(1e9, 1e-5))
SLOW_LINK = problem(Link(1e6, 50e-3))


def test_a_split_that_pays_is_taken():
    choice = choose(QUICK_LINK)
    assert choice.plan.planner == "auto"
    assert choice.plan.devices_used == ("a", "b")
    assert choice.given_up is None
    assert choice.predicted < choose(QUICK_LINK, "whole").predicted


def test_one_device_is_taken_where_no_split_pays():
    choice = choose(SLOW_LINK)
    assert choice.plan.devices_used == ("a",)
    assert choice.predicted == choose(SLOW_LINK, "whole").predicted
    assert choice.given_up == choose(SLOW_LINK, "even").predicted > choice.predicted


@pytest.mark.parametrize("options", [{}, {"split": "rows"}])
def test_who_asks_for_a_split_gets_it(options):
    choice = choose(SLOW_LINK, "even", **options)
    assert choice.plan.devices_used == ("a", "b")
    assert choice.given_up is None


def test_one_device_that_is_too_small_is_not_taken():
    """FC layers are split by features, so that half of the memory does."""
    graph = swath.load("zoo:alexnet@64x64")
    costs = nominal_costs(Cluster(DEVICES, "a", default_link=Link(1e6, 50e-3)))
    alone, split = (choose(Problem(graph, costs), name).plan for name in ("whole", "even"))
    most, least = (max(peak_memory(compile_plan(plan)).values()) for plan in (alone, split))
    assert least < most
    small = tuple(replace(device, memory=(least + most) // 2) for device in DEVICES)
    cramped = nominal_costs(replace(costs.cluster, devices=small))
    assert choose(Problem(graph, cramped)).plan.devices_used == ("a", "b")
    with pytest.raises(PlanError, match=r"needs .* MiB of memory for its tiles but has"):
        choose(Problem(graph, cramped), "whole")
    tiny = tuple(replace(device, memory=1 << 20) for device in DEVICES)
    nowhere = nominal_costs(replace(costs.cluster, devices=tiny))
    with pytest.raises(PlanError, match=r"needs .* MiB of memory for its tiles but has 1 MiB"):
        choose(Problem(graph, nowhere))


@pytest.mark.parametrize("objective", ["latency", "throughput", "energy"])
def test_what_is_to_be_small_is_told(objective):
    devices = tuple(replace(device, watts=Watts(1, 5)) for device in DEVICES)
    asked = replace(problem(Link(1e9, 1e-5), devices), objective=objective)
    choice = choose(asked, "whole")
    programs = compile_plan(choice.plan)
    assert choice.objective == objective
    assert choice.predicted == predicted_seconds(choice.plan, programs, asked.costs)
    assert choice.figure == figure(asked, choice.plan, programs)


def test_an_objective_that_is_not_known_is_refused():
    with pytest.raises(PlanError, match="'even' knows no objective 'throughput'"):
        choose(replace(QUICK_LINK, objective="throughput"), "even")


def test_a_plan_that_comes_too_late_is_refused():
    seconds = choose(SLOW_LINK, "even").predicted
    best = choose(SLOW_LINK).predicted
    with pytest.raises(PlanError, match="the best reachable is"):
        choose(replace(SLOW_LINK, deadline=(seconds + best) / 2), "even")
    assert choose(replace(SLOW_LINK, deadline=(seconds + best) / 2)).predicted == best
    with pytest.raises(PlanError, match="the best reachable is"):
        choose(replace(SLOW_LINK, deadline=best / 2))


def test_without_an_objective_a_planner_does_what_it_is_for():
    costs = QUICK_LINK.costs
    assert swath.api.choose(GRAPH, costs, "pico").objective == "throughput"
    assert swath.api.choose(GRAPH, costs, "even").objective == "latency"
    with pytest.raises(PlanError, match="knows no objective 'latency'"):
        swath.plan(GRAPH, costs.cluster, "pico", objective="latency")


def test_what_is_predicted_is_what_the_simulator_says():
    choice = choose(QUICK_LINK)
    again = predicted_seconds(choice.plan, compile_plan(choice.plan), QUICK_LINK.costs)
    assert choice.predicted == again
    cluster = QUICK_LINK.costs.cluster
    assert swath.simulate(choice.plan, cluster).latencies[0] == pytest.approx(again)
