"""Planners side by side: figures where there is a plan, a reason where there is none."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

import swath
from swath.cluster import Cluster, Device, Link
from swath.cost import nominal_costs
from swath.errors import PlanError
from swath.plan.compile import compile_plan
from swath.plan.plan import Plan
from swath.planners import PlannerInfo, Problem, make_planner, registry
from swath.planners.comparing import Outcome, Refusal, compare
from swath.planners.objective import score

CLUSTER = Cluster(
    (Device("a", gflops=5), Device("b", gflops=5)), "a", default_link=Link(1.25e7, 1e-3)
)


@pytest.fixture(scope="module")
def problem() -> Problem:
    return Problem(swath.load("zoo:resnet18@64x64"), nominal_costs(CLUSTER))


class Slow:
    """A planner that thinks for ever."""

    def plan(self, problem: Problem) -> Plan:
        while True:
            time.sleep(0.01)


class Impossible:
    def plan(self, problem: Problem) -> Plan:
        raise PlanError("this method knows chains only")


@pytest.fixture
def others(monkeypatch):
    for name, planner in (("slow", Slow), ("impossible", Impossible)):
        info = PlannerInfo(name, f"{__name__}:{planner.__name__}", "for these tests")
        monkeypatch.setitem(registry._REGISTRY, name, info)


def test_what_is_reported_is_what_each_plan_does(problem):
    found = dict(compare(problem, ["whole", "even", "dpfp"]))
    assert list(found) == ["whole", "even", "dpfp"]
    for name, outcome in found.items():
        assert isinstance(outcome, Outcome)
        assert outcome.plan == make_planner(name).plan(problem)
        assert outcome.predicted > 0
        assert outcome.planning > 0
    assert found["whole"].redundant == pytest.approx(0.0)
    assert found["even"].redundant > 0
    assert set(found["even"].peaks) == {"a", "b"}


def test_who_has_no_plan_says_why_and_the_others_go_on(problem, others):
    found = dict(compare(problem, ["impossible", "slow", "whole"], budget=0.3))
    assert found["impossible"] == Refusal("this method knows chains only")
    assert found["slow"] == Refusal("not done within 0.3 s; give it more with --budget")
    assert isinstance(found["whole"], Outcome)


def test_each_is_weighed_by_the_objective_or_says_that_it_does_not_know_it(problem):
    streaming = replace(problem, objective="throughput")
    found = dict(compare(streaming, ["whole", "even", "pico"]))
    assert found["even"].reason.startswith(
        "planner 'even' knows no objective 'throughput'; it plans for latency (for throughput: "
    )
    assert found["pico"].figure < found["pico"].predicted
    assert found["whole"].figure == score(
        streaming, found["whole"].plan, compile_plan(found["whole"].plan)
    )


def test_who_misses_the_deadline_says_what_it_can_do(problem):
    found = dict(compare(problem, ["whole", "even", "dpfp"]))
    limit = sorted(outcome.predicted for outcome in found.values())[1]
    bound = dict(compare(replace(problem, deadline=limit), list(found)))
    for name, outcome in found.items():
        if outcome.predicted > limit:
            assert "the best reachable is" in bound[name].reason
        else:
            assert bound[name].predicted == outcome.predicted


def test_outside_of_the_main_thread_nobody_is_interrupted(problem):
    found = {}
    thread = threading.Thread(target=lambda: found.update(compare(problem, ["even"], 1e-6)))
    thread.start()
    thread.join()
    assert isinstance(found["even"], Outcome)


def test_a_name_that_is_not_known_is_refused_before_anything_is_planned(problem):
    with pytest.raises(PlanError, match="did you mean 'dpfp'"):
        next(compare(problem, ["whole", "dfpf"]))
