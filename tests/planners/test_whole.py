"""One device alone: the one that is done first, whatever it takes to bring the picture there."""

from __future__ import annotations

from dataclasses import replace

import pytest

import swath
from swath.cluster import Cluster, Device, Link, Watts
from swath.cost import Quota, costs_for, nominal_costs
from swath.errors import PlanError
from swath.plan.compile import compile_plan
from swath.planners import Problem, make_planner
from swath.planners.objective import predicted_seconds

GRAPH = swath.load("zoo:squeezenet@64x64")
EQUAL = (Device("a", gflops=1), Device("b", gflops=1), Device("c", gflops=1))
STRONG = (Device("a", gflops=1), Device("b", gflops=50), Device("c", gflops=1))


def chosen(devices: tuple[Device, ...], bandwidth: float) -> tuple[str, ...]:
    cluster = Cluster(devices, "c", default_link=Link(bandwidth, 1e-3))
    return make_planner("whole").plan(Problem(GRAPH, nominal_costs(cluster))).devices_used


def test_of_equal_devices_the_source():
    assert chosen(EQUAL, 1e9) == ("c",)


def test_a_stronger_one_where_its_link_allows():
    assert chosen(STRONG, 1e9) == ("b",)
    assert chosen(STRONG, 1e4) == ("c",)


def test_the_best_one_by_the_objective():
    """The strong one is sooner, the weak one needs less; a deadline leaves only the strong one."""
    devices = (
        Device("weak", gflops=1, watts=Watts(0.1, 1)),
        Device("strong", gflops=5, watts=Watts(0.1, 50)),
    )
    costs = nominal_costs(Cluster(devices, "weak", default_link=Link(1e9, 1e-3)))
    planner = make_planner("whole")

    def used(objective, deadline=None):
        return planner.plan(Problem(GRAPH, costs, objective, deadline)).devices_used

    assert used("latency") == used("throughput") == ("strong",)
    assert used("energy") == ("weak",)
    frugal = planner.plan(Problem(GRAPH, costs, "energy"))
    seconds = predicted_seconds(frugal, compile_plan(frugal), costs)
    assert used("energy", seconds * 1.01) == ("weak",)
    assert used("energy", seconds * 0.99) == ("strong",)
    with pytest.raises(PlanError, match="the best reachable is"):
        used("energy", 1e-6)


def test_one_with_memory_enough():
    roomy, tight = 1 << 30, 1 << 20
    for memories in ((tight, roomy), (tight, None)):
        devices = tuple(
            replace(device, memory=memory)
            for device, memory in zip(STRONG[1:], memories, strict=True)
        )
        assert chosen(devices, 1e9) == ("c",), "the strong one is too small"
    both = tuple(replace(device, memory=tight) for device in STRONG[1:])
    with pytest.raises(PlanError, match=r"needs .* MiB of memory for its tiles but has 1 MiB"):
        chosen(both, 1e9)


def test_a_quota_makes_a_device_weaker():
    cluster = Cluster(EQUAL, "a", default_link=Link(1e9, 1e-3))
    costs = costs_for(cluster, {}, quotas={"a": Quota(0.1, 4e-3, 4e-3)})
    assert make_planner("whole").plan(Problem(GRAPH, costs)).devices_used == ("b",)


def test_shares_follow_quotas():
    cluster = Cluster(EQUAL[:2], "a", default_link=Link(1e9, 1e-5))
    quotas = {"a": Quota(0.1, 4e-3, 4e-3), "b": Quota(0.4, 4e-3, 4e-3)}
    plan = make_planner("even", split="rows").plan(
        Problem(GRAPH, costs_for(cluster, {}, quotas=quotas))
    )
    rows = {tile.device: next(iter(tile.outputs.values())).shape[2] for tile in plan.tiles[:2]}
    assert rows["b"] >= 3 * rows["a"]
    equal = make_planner("even", split="rows").plan(
        Problem(GRAPH, replace(costs_for(cluster, {}), quotas={}))
    )
    rows = {tile.device: next(iter(tile.outputs.values())).shape[2] for tile in equal.tiles[:2]}
    assert abs(rows["b"] - rows["a"]) <= 1
