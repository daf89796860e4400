"""Our own planner: never worse than the referee and the published ones, and within its memory."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

import swath
from swath.cluster import Cluster, Device, Link
from swath.cost import nominal_costs
from swath.errors import PlanError
from swath.plan.compile import compile_plan
from swath.plan.memory import peak_memory
from swath.plan.plan import Plan
from swath.planners import Problem, known_planners, make_planner
from swath.planners.bound import lower_bound
from swath.planners.choosing import choose
from swath.planners.comparing import Outcome, compare
from swath.planners.objective import predicted_seconds
from swath.runtime.clusters import random_inputs
from swath.runtime.verify import verify_plan
from swath.zoo.builder import Network
from tests.planners.small import Instance, instances

SMALL = tuple(instances(120))


def seconds(plan: Plan, problem: Problem) -> float:
    return predicted_seconds(plan, compile_plan(plan), problem.costs)


def against_the_referee(instance: Instance) -> None:
    problem = instance.problem
    best = make_planner("brute-force", **instance.options).plan(problem)
    ours = make_planner("auto").plan(problem)
    assert seconds(ours, problem) <= 1.01 * seconds(best, problem)
    assert lower_bound(problem) <= min(seconds(ours, problem), seconds(best, problem))


@pytest.mark.parametrize("instance", SMALL[::10], ids=lambda instance: instance.name)
def test_it_finds_what_exhaustion_finds(instance):
    against_the_referee(instance)


@pytest.mark.slow
@pytest.mark.parametrize(
    "instance", [each for place, each in enumerate(SMALL) if place % 10], ids=lambda i: i.name
)
def test_it_finds_what_exhaustion_finds_in_many_cases(instance):
    against_the_referee(instance)


def cluster(speeds: tuple[float, ...], mbit: float, **fields: Any) -> Cluster:
    devices = tuple(Device(f"d{place}", gflops=speed) for place, speed in enumerate(speeds))
    return Cluster(devices, "d0", default_link=Link(mbit * 125e3, 1e-3), **fields)


@pytest.mark.parametrize(
    ("model", "described"),
    [
        ("resnet18@64x64", cluster((5, 5, 5, 5), 100)),
        pytest.param(
            "vgg11@64x64",
            cluster((2, 9, 4), 20, network="shared"),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "mobilenet_v3_small@128x128",
            cluster((5, 1, 3, 8, 2), 1000, network="star", hub="d0"),
            marks=pytest.mark.slow,
        ),
        pytest.param("googlenet@64x64", cluster((5, 50), 300), marks=pytest.mark.slow),
        pytest.param(
            "unet@128x128", cluster((2.5, 10, 2.5, 2.5, 2.5), 100), marks=pytest.mark.slow
        ),
    ],
    ids=["resnet18", "vgg11", "mobilenet", "googlenet", "unet"],
)
def test_no_other_planner_is_faster(model, described):
    problem = Problem(swath.load(f"zoo:{model}"), nominal_costs(described))
    names = [info.name for info in known_planners() if "latency" in info.objectives]
    found = {n: o.predicted for n, o in compare(problem, names) if isinstance(o, Outcome)}
    assert len(found) > 10
    assert found["auto"] <= 1.005 * min(found.values())


def limited(described: Cluster, mebibytes: float) -> Cluster:
    memory = int(mebibytes * 2**20)
    devices = tuple(dataclasses.replace(d, memory=memory) for d in described.devices)
    return dataclasses.replace(described, devices=devices)


def test_it_stays_within_little_memory():
    """No device could hold the model; together they can."""
    graph = swath.load("zoo:vgg11@64x64")
    limit = 6 * graph.weight_bytes // 10
    described = limited(cluster((5, 5, 5, 5), 1000), limit / 2**20)
    plan = make_planner("auto").plan(Problem(graph, nominal_costs(described)))
    assert len(plan.devices_used) > 1
    assert max(peak_memory(compile_plan(plan)).values()) <= limit
    assert verify_plan(plan, graph, random_inputs(graph)).within_tolerance


@pytest.mark.parametrize(
    ("rival", "model", "described"),
    [
        *(
            pytest.param(
                rival,
                "squeezenet@112x112",
                limited(cluster((10, 2.5, 10, 2.5, 2.5), 10, network="shared"), 8),
                marks=[] if rival == "edgeci" else pytest.mark.slow,
            )
            for rival in ("dpfl", "edgeci", "iop")
        ),
        # The last layer's weights are all that the faster one has no room for.
        pytest.param(
            "edgeci", "mobilenet_v2", limited(cluster((10, 2.5), 100), 18.6), marks=pytest.mark.slow
        ),
    ],
)
def test_no_other_planner_is_faster_in_little_memory(rival, model, described):
    """One device would be soonest, and has too little for it: as much as fits remains there."""
    graph = swath.load(f"zoo:{model}")
    problem = Problem(graph, nominal_costs(described))
    with pytest.raises(PlanError, match="MiB of memory"):
        choose(problem, "whole")
    ours, theirs = (make_planner(name).plan(problem) for name in ("auto", rival))
    assert seconds(ours, problem) <= seconds(theirs, problem)


def test_memory_that_no_plan_fits_is_refused():
    graph = swath.load("zoo:vgg11@64x64")
    described = limited(cluster((5, 5), 1000), graph.weight_bytes / 20 / 2**20)
    with pytest.raises(
        PlanError, match=r"device 'd\d' needs \d+ MiB of memory for its tiles but has"
    ):
        make_planner("auto").plan(Problem(graph, nominal_costs(described)))


@pytest.mark.parametrize("count", [5, 8, 20])
def test_more_devices_are_no_harm(count):
    """Handing out and taking in costs a slow source much: it does nothing else here, and few of the
    others are worth their messages."""
    network = Network("small", seed=0)
    value = network.input((1, 3, 56, 56))
    for layer, stride in enumerate((2, 2, 2, 1)):
        value = network.conv(value, f"conv{layer}", 32, 3, stride=stride, padding=1)
    graph = swath.load(network.finish(value))

    def soonest(devices: int) -> float:
        problem = Problem(graph, nominal_costs(cluster((1.0,) * devices, 1000)))
        return seconds(make_planner("auto").plan(problem), problem)

    assert soonest(count) <= soonest(3)


@pytest.mark.slow
def test_many_devices_for_few_rows():
    graph = swath.load("zoo:squeezenet@64x64")
    problem = Problem(graph, nominal_costs(cluster((5.0,) * 40, 1000)))
    plan = make_planner("auto").plan(problem)
    assert seconds(plan, problem) <= seconds(make_planner("whole").plan(problem), problem)
