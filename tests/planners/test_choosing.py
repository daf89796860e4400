"""Which plan is taken: the planner's that was asked for, or one device where no split is sooner."""

from __future__ import annotations

from dataclasses import replace

import pytest

import swath
from swath.cluster import Cluster, Device, Link
from swath.cost import nominal_costs
from swath.plan.compile import compile_plan
from swath.planners import Problem
from swath.planners.choosing import choose
from swath.planners.objective import predicted_seconds

GRAPH = swath.load("zoo:squeezenet@64x64")
DEVICES = (Device("a", gflops=1), Device("b", gflops=1))


def problem(link: Link, devices: tuple[Device, ...] = DEVICES) -> Problem:
    return Problem(GRAPH, nominal_costs(Cluster(devices, "a", default_link=link)))


QUICK_LINK = problem(Link(1e9, 1e-5))
SLOW_LINK = problem(Link(1e6, 50e-3))


def test_a_split_that_pays_is_taken():
    choice = choose(QUICK_LINK)
    assert choice.plan.planner == "even"
    assert choice.given_up is None
    assert choice.predicted < choose(QUICK_LINK, "whole").predicted


def test_one_device_is_taken_where_no_split_pays():
    choice = choose(SLOW_LINK)
    assert choice.plan.planner == "whole"
    assert choice.predicted == choose(SLOW_LINK, "whole").predicted
    assert choice.given_up == choose(SLOW_LINK, "even").predicted > choice.predicted


@pytest.mark.parametrize(("planner", "options"), [("even", {}), (None, {"split": "rows"})])
def test_who_asks_for_a_split_gets_it(planner, options):
    choice = choose(SLOW_LINK, planner, **options)
    assert choice.plan.devices_used == ("a", "b")
    assert choice.given_up is None


def test_one_device_that_is_too_small_is_not_taken():
    small = tuple(replace(device, memory=1 << 20) for device in DEVICES)
    assert choose(problem(Link(1e6, 50e-3), small)).plan.planner == "even"


def test_what_is_predicted_is_what_the_simulator_says():
    choice = choose(QUICK_LINK)
    again = predicted_seconds(choice.plan, compile_plan(choice.plan), QUICK_LINK.costs)
    assert choice.predicted == again
    cluster = QUICK_LINK.costs.cluster
    assert swath.simulate(choice.plan, cluster).latencies[0] == pytest.approx(again)
