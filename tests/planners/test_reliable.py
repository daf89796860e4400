"""Plans for reliability: who meets a deadline most often, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from math import inf, sqrt

import pytest

import swath
from swath.cluster import Cluster, Device, Link
from swath.cluster.channel import Gaussian, GilbertElliott
from swath.cost import nominal_costs
from swath.errors import PlanError
from swath.plan.compile import compile_plan
from swath.plan.plan import Plan
from swath.planners import Problem, check_objective, make_planner
from swath.planners.bound import lower_bound
from swath.planners.choosing import choose
from swath.planners.objective import (
    check_deadline,
    figure,
    predicted_reliability,
    predicted_seconds,
    score,
)
from swath.simulate.trials import TRIALS

GRAPH = swath.load("zoo:squeezenet@64x64")

BREAKING = Link(5e6, 1e-3, GilbertElliott(1e4, good_time=30.0, bad_time=10.0))
"""Quick for three quarters of the time; else a picture takes five seconds, a result half a one."""


def problem(
    link: Link, deadline: float, speeds: tuple[float, ...] = (1.0, 20.0), memory: int | None = None
) -> Problem:
    """On a, b, ... with so many GFLOP/s; a is the source."""
    devices = tuple(Device(f"{chr(97 + n)}", each, memory) for n, each in enumerate(speeds))
    costs = nominal_costs(Cluster(devices, "a", default_link=link))
    return Problem(GRAPH, costs, "reliability", deadline)


def soonest(asked: Problem, planner: str) -> Plan:
    return make_planner(planner).plan(replace(asked, objective="latency", deadline=None))


def in_time(asked: Problem, plan: Plan) -> float:
    assert asked.deadline is not None
    found = predicted_reliability(plan, compile_plan(plan), asked.costs, asked.deadline)
    return found.probability


def error(share: float) -> float:
    """Four standard errors of a share of so many trials."""
    return 4 * sqrt(share * (1 - share) / TRIALS)


@pytest.mark.slow
def test_who_has_time_does_not_depend_on_the_link():
    asked = problem(BREAKING, 1.0)
    plan = make_planner("auto").plan(asked)
    assert plan.planner == "auto"
    assert plan.devices_used == ("a",)
    assert in_time(asked, plan) == 1.0
    assert plan == make_planner("auto").plan(asked)


def test_who_has_none_takes_the_chance():
    """The slow source alone is always late; the link is quick there and back in 9 cases of 16."""
    asked = problem(BREAKING, 0.05)
    choice = choose(asked, "auto")
    assert "b" in choice.plan.devices_used
    assert in_time(asked, choice.plan) == pytest.approx(9 / 16, abs=error(9 / 16))
    alone = soonest(problem(Link(1e3, 1e-3), 0.05), "whole")
    assert alone.devices_used == ("a",)
    assert in_time(asked, alone) == 0.0
    # What is to be small is the share of those that are late, however late they are on average.
    assert choice.objective == "reliability"
    assert choice.figure == pytest.approx(1 - in_time(asked, choice.plan))
    assert choice.predicted == predicted_seconds(
        choice.plan, compile_plan(choice.plan), asked.costs
    )


def test_what_is_late_on_average_is_not_refused():
    asked = problem(BREAKING, 0.05)
    plan = soonest(problem(Link(5e6, 1e-3), 0.05), "auto")
    programs = compile_plan(plan)
    check_deadline(asked, inf)
    assert score(asked, plan, programs) == figure(asked, plan, programs) < 1.0


@pytest.mark.slow
def test_nobody_meets_it_more_often():
    asked = problem(Link(1.5e6, 1e-3, Gaussian(6e5, block=0.02)), 0.09, speeds=(2.0, 4.0, 3.0))
    ours = in_time(asked, make_planner("auto").plan(asked))
    assert ours > 0.9
    for planner in ("whole", "dpfp", "edgeci", "auto"):
        other = in_time(asked, soonest(asked, planner))
        assert other <= ours + error(0.5), planner


def test_where_nothing_varies_the_soonest_is_taken():
    asked = problem(Link(1e7, 1e-3), 10.0)
    plan = make_planner("auto").plan(asked)
    seconds, least = (
        predicted_seconds(each, compile_plan(each), asked.costs)
        for each in (plan, soonest(asked, "auto"))
    )
    assert in_time(asked, plan) == 1.0
    assert seconds <= least


def test_what_makes_no_sense_is_refused():
    asked = problem(BREAKING, 1.0)
    with pytest.raises(PlanError, match=r"how often a deadline is met; give one \(--deadline MS\)"):
        replace(asked, deadline=None)
    bound = lower_bound(asked)
    with pytest.raises(PlanError, match="no plan meets a deadline of") as raised:
        choose(replace(asked, deadline=bound * 0.99), "auto")
    assert f"computing alone takes {int(bound * 1e6) / 1e3:.10g} ms" in str(raised.value)
    with pytest.raises(PlanError, match="memory"):
        choose(problem(Link(1e7, 1e-3), 1.0, memory=1 << 20), "auto")


@pytest.mark.parametrize("planner", ["even", "dpfp"])
def test_other_planners_say_who_plans_for_it(planner):
    said = r"knows no objective 'reliability'; it plans for latency \(for reliability: auto\)"
    with pytest.raises(PlanError, match=said):
        choose(problem(BREAKING, 1.0), planner)
    with pytest.raises(PlanError, match=said):
        check_objective(planner, "reliability")
