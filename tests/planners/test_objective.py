"""How good a plan is for an objective, and what a problem may ask."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest

import swath
from swath.cluster import Cluster, Device, Link, Watts
from swath.cost import nominal_costs
from swath.errors import PlanError
from swath.plan.compile import compile_plan
from swath.planners import Problem, check_objective, first_objective, make_planner
from swath.planners.objective import (
    check_deadline,
    figure,
    predicted_interval,
    predicted_joules,
    predicted_seconds,
    score,
)

GRAPH = swath.load("zoo:squeezenet@64x64")
DEVICES = (
    Device("a", gflops=1, watts=Watts(idle=1, busy=3)),
    Device("b", gflops=1, watts=Watts(idle=2, busy=2)),
)
PROBLEM = Problem(GRAPH, nominal_costs(Cluster(DEVICES, "a", default_link=Link(1e8, 1e-4))))
PLAN = make_planner("modnn").plan(PROBLEM)
PROGRAMS = compile_plan(PLAN)
COSTS = PROBLEM.costs


def test_figures_are_seconds_and_joules():
    seconds, interval = (
        predict(PLAN, PROGRAMS, COSTS) for predict in (predicted_seconds, predicted_interval)
    )
    assert interval < seconds, "several are in flight"
    joules = predicted_joules(PLAN, PROGRAMS, COSTS)
    # Both idle all the time; a needs 2 W more while it computes.
    assert 3 * seconds < joules < 5 * seconds
    expected = {"latency": seconds, "throughput": interval, "energy": joules}
    for objective, value in expected.items():
        asked = replace(PROBLEM, objective=objective)
        assert figure(asked, PLAN, PROGRAMS) == score(asked, PLAN, PROGRAMS) == value


@pytest.mark.parametrize("objective", ["latency", "throughput", "energy"])
def test_who_misses_the_deadline_is_infinitely_bad(objective):
    seconds = predicted_seconds(PLAN, PROGRAMS, COSTS)
    late = replace(PROBLEM, objective=objective, deadline=seconds * 0.99)
    in_time = replace(PROBLEM, objective=objective, deadline=seconds * 1.01)
    assert score(late, PLAN, PROGRAMS) == inf
    assert score(in_time, PLAN, PROGRAMS) == figure(in_time, PLAN, PROGRAMS) < inf


def test_nobody_knows_the_energy_of_a_device_without_watts():
    devices = (DEVICES[0], replace(DEVICES[1], watts=None))
    costs = nominal_costs(Cluster(devices, "a"))
    with pytest.raises(PlanError, match=r"device .b. has no watts.*; give watts"):
        predicted_joules(PLAN, PROGRAMS, costs)


def test_the_best_reachable_can_be_asked_for():
    """Who reads the figure in the refusal and gives it as the deadline is not refused again."""
    seconds = 0.0123456789
    with pytest.raises(PlanError) as error:
        check_deadline(replace(PROBLEM, deadline=0.005), seconds)
    said = str(error.value)
    assert said == "the deadline of 5 ms is not met; the best reachable is 12.346 ms"
    check_deadline(replace(PROBLEM, deadline=12.346e-3), seconds)
    check_deadline(PROBLEM, inf)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"objective": "speed"}, "objective 'speed' is not known; use one of latency, throughput"),
        ({"deadline": 0.0}, "a deadline of 0 ms is none"),
        ({"deadline": -1.0}, "a deadline of -1000 ms is none"),
        ({"deadline": float("nan")}, "a deadline of nan ms is none"),
        ({"deadline": inf}, "a deadline of inf ms is none"),
    ],
)
def test_what_makes_no_sense_is_refused(asked, said):
    with pytest.raises(PlanError, match=said):
        replace(PROBLEM, **asked)


def test_an_objective_that_a_planner_does_not_know_is_refused_with_those_who_do():
    with pytest.raises(PlanError) as error:
        check_objective("even", "energy")
    assert "'even' knows no objective 'energy'; it plans for latency" in str(error.value)
    assert "whole" in str(error.value)
    check_objective("whole", "energy")
    assert (first_objective("pico"), first_objective("coedge")) == ("throughput", "latency")
    with pytest.raises(PlanError, match="did you mean 'even'"):
        check_objective("evn", "latency")
