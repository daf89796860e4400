"""What is particular to each published method, on networks and clusters where it shows."""

from __future__ import annotations

from functools import cache

import pytest

import swath
from swath.cluster import Cluster, Device, Link
from swath.cost import nominal_costs
from swath.errors import PlanError
from swath.graph.graph import Graph
from swath.plan.compile import compile_plan
from swath.plan.plan import Plan
from swath.plan.program import COORDINATOR
from swath.planners import Problem, make_planner
from swath.planners.building.fusing import candidate_cuts
from swath.planners.objective import predicted_seconds


@cache
def graph_of(model: str) -> Graph:
    return swath.load(model)


def equal(count: int, mbit: float, latency: float = 1e-4) -> Cluster:
    devices = tuple(Device(f"d{number}", gflops=5) for number in range(count))
    return Cluster(devices, "d0", default_link=Link(mbit * 125e3, latency))


def planned(name: str, model: str, cluster: Cluster, **options: object) -> tuple[Plan, float]:
    problem = Problem(graph_of(model), nominal_costs(cluster))
    plan = make_planner(name, **options).plan(problem)
    return plan, predicted_seconds(plan, compile_plan(plan), problem.costs)


@pytest.mark.parametrize("mbit", [20, 1000])
@pytest.mark.parametrize("model", ["zoo:vgg11@64x64", "zoo:resnet18@64x64"])
def test_dpfp_is_sooner_than_modnn(model, mbit):
    """As its paper says: halos between neighbours instead of whole maps through a leader."""
    dpfp, modnn = (planned(name, model, equal(4, mbit))[1] for name in ("dpfp", "modnn"))
    assert dpfp < modnn


def test_dpfp_fuses_more_where_links_are_slow():
    slow, quick = (planned("dpfp", "zoo:vgg11@64x64", equal(3, mbit))[0] for mbit in (5, 5000))
    assert len(slow.stages) < len(quick.stages)


def test_the_best_subset_is_never_worse_and_smaller_where_links_are_slow():
    model = "zoo:resnet18@64x64"
    for mbit in (2, 1000):
        everyone = planned("dpfp", model, equal(5, mbit))
        chosen = planned("dpfp", model, equal(5, mbit), subset=True)
        assert chosen[1] <= everyone[1]
    assert len(planned("dpfp", model, equal(5, 2), subset=True)[0].devices_used) < 5


def test_modnn_sends_everything_through_its_leader():
    plan, _ = planned("modnn", "zoo:squeezenet@64x64", equal(3, 1000))
    assert (plan.exchange, plan.leader) == ("leader", "d0")
    for message in compile_plan(plan).messages:
        assert {message.sender, message.receiver} & {"d0", COORDINATOR}


@pytest.mark.parametrize("mbit", [1, 10, 100])
def test_neurosurgeon_finds_the_best_of_all_cuts(mbit):
    """A weak source and a strong server: no cut that one could make is simulated to be sooner."""
    devices = (Device("weak", gflops=1), Device("strong", gflops=20))
    cluster = Cluster(devices, "weak", default_link=Link(mbit * 125e3, 1e-4))
    plan, seconds = planned("neurosurgeon", "zoo:vgg11@64x64", cluster)
    problem = Problem(graph_of("zoo:vgg11@64x64"), nominal_costs(cluster))
    for cut in candidate_cuts(problem.graph):
        other = two_parts(problem, cut)
        assert seconds <= 1.05 * predicted_seconds(other, compile_plan(other), problem.costs)
    assert len(plan.stages) <= 2


def two_parts(problem: Problem, cut: int) -> Plan:
    from swath.planners.building.assembling import assemble
    from swath.planners.building.fusing import Segment
    from swath.planners.building.layouts import Layouts, Split

    whole = len(problem.graph.nodes)
    parts = [(0, cut, "weak"), (cut, whole, "strong")]
    segments = [Segment(a, b, Split.alone(device)) for a, b, device in parts if a < b]
    return assemble("test", problem, Layouts(problem.graph), segments)


def test_neurosurgeon_sends_everything_where_the_source_computes_nothing():
    devices = (Device("eye", compute=False), Device("b", gflops=5), Device("c", gflops=9))
    plan, _ = planned("neurosurgeon", "zoo:squeezenet@64x64", Cluster(devices, "eye"))
    assert plan.devices_used == ("c",)


def test_subset_is_true_or_false():
    with pytest.raises(PlanError, match="subset 'yes' is not understood; it is true or false"):
        make_planner("dpfp", subset="yes")
